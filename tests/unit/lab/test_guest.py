"""How a guest is started, and how its end is told."""

from __future__ import annotations

import io
import subprocess
import time
from pathlib import Path

import pytest

from chaoskernel import process
from chaoskernel.errors import LabError
from chaoskernel.lab import guest, parent_death, script
from chaoskernel.lab.kernel import Kernel

KERNEL = Kernel(Path("/cache/boot/vmlinuz-6.1"), "6.1", None, "cached")
MAIL = Path("/tmp/mail")
JOB = script.Job(("true",), Path("/work"))


def test_the_command_line_boots_the_kernel_and_runs_the_script() -> None:
    line = guest.command_line(KERNEL, JOB, guest.Machine(3, "1G"), "tcg", MAIL)
    for word in (
        "--kimg=/cache/boot/vmlinuz-6.1",
        "--cpus=3",
        "--memory=1G",
        "--disable-kvm",
        "--rwdir=/run/chaoskernel/mail=/tmp/mail",
        "--script-sh=sh /run/chaoskernel/mail/script",
    ):
        assert word in line


def test_hardware_is_used_where_it_works() -> None:
    line = guest.command_line(KERNEL, JOB, guest.Machine(), "kvm", MAIL)
    assert "--disable-kvm" not in line
    assert not [word for word in line if "tcg" in word]


def test_an_emulated_guest_never_translates_code_that_another_processor_writes() -> None:
    line = guest.command_line(KERNEL, JOB, guest.Machine(2), "tcg", MAIL)
    assert "--cpus=2" in line
    assert "--qemu-opt=tcg,thread=single" in line


def test_a_guest_that_hangs_ends() -> None:
    line = guest.command_line(KERNEL, JOB, guest.Machine(), "tcg", MAIL)
    assert "--kopt=softlockup_panic=1" in line


def test_the_guest_writes_only_where_it_may() -> None:
    job = script.Job(("true",), Path("/work"), rw=(Path("/out"),))
    line = guest.command_line(KERNEL, job, guest.Machine(), "tcg", MAIL)
    assert [word for word in line if word.startswith("--rwdir")] == [
        "--rwdir=/run/chaoskernel/mail=/tmp/mail",
        "--rwdir=/run/chaoskernel/rw0=/out",
    ]
    assert "--rw" not in line


def test_an_initramfs_is_booted_when_the_kernel_has_one() -> None:
    stock = Kernel(Path("/k/boot/vmlinuz-6"), "6", None, "stock", Path("/k/boot/initramfs"))
    line = guest.command_line(stock, JOB, guest.Machine(), "tcg", MAIL)
    at = line.index("--qemu-opt=-initrd")
    assert line[at + 1] == "--qemu-opt=/k/boot/initramfs"
    plain = guest.command_line(KERNEL, JOB, guest.Machine(), "tcg", MAIL)
    assert not [word for word in plain if "initrd" in word]


def test_without_a_command_there_is_a_shell() -> None:
    job = script.Job((), Path("/work"))
    line = guest.command_line(KERNEL, job, guest.Machine(), "tcg", MAIL)
    assert "--shell=/run/chaoskernel/mail/script" in line


def test_output_is_copied_apart_until_its_end() -> None:
    out, err = io.BytesIO(), io.BytesIO()
    with process.spawn(
        ["sh", "-c", "echo out; echo err >&2"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        guest.pump(child, (out, err), time.monotonic() + 10)
    assert (out.getvalue(), err.getvalue()) == (b"out\n", b"err\n")


def test_a_silent_guest_ends_with_its_time() -> None:
    start = time.monotonic()
    with (
        pytest.raises(TimeoutError),
        process.spawn(["sleep", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child,
    ):
        guest.pump(child, (io.BytesIO(), io.BytesIO()), start + 0.1)
    assert time.monotonic() - start < 5


def test_a_talkative_guest_ends_with_its_time() -> None:
    start = time.monotonic()
    with (
        pytest.raises(TimeoutError),
        process.spawn(["yes"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child,
    ):
        guest.pump(child, (io.BytesIO(), io.BytesIO()), start + 0.1)
    assert time.monotonic() - start < 5


def test_a_directory_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    odd = tmp_path / "a=b"
    odd.mkdir()
    with pytest.raises(LabError, match="cannot be shared"):
        guest.writable([odd])
    with pytest.raises(LabError, match="not a directory"):
        guest.writable([tmp_path / "absent"])


def test_only_root_goes_without_a_user_namespace() -> None:
    assert "--user" not in parent_death.tied(["true"], root=True)
    assert "--user" in parent_death.tied(["true"], root=False)
    assert parent_death.tied(["true"], root=True)[-1] == "true"

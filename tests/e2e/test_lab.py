"""The lab from outside: statuses, limits, and that no guest outlives its command.

Runs on the host, with the kernel that `chaoskernel lab build` has made.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from chaoskernel.kernel import processes
from tests.waiting import within

LAB = [str(Path(sys.executable).with_name("chaoskernel")), "lab", "run"]
LOST, OVERTIME = 125, 124
BOOT_SECONDS = 60


@pytest.fixture(autouse=True, scope="module")
def host() -> None:
    if os.environ.get("CHAOSKERNEL_IN_LAB") == "1":
        pytest.skip("a lab within the lab")


def in_lab(
    *command: str, options: tuple[str, ...] = (), seconds: float = 180
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LAB, *options, "--", *command],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


def test_the_status_is_the_commands_and_its_streams_stay_apart() -> None:
    ended = in_lab("sh", "-c", "echo out; echo err >&2; exit 7")
    assert (ended.returncode, ended.stdout) == (7, "out\n")
    said, err = ended.stderr.splitlines()
    assert said.startswith("booting Linux ")
    assert err == "err"


def test_words_with_spaces_and_quotes_arrive_as_they_are() -> None:
    words = ["a b", "it's", '"', "$HOME", "*", ""]
    ended = in_lab("printf", "<%s>", *words)
    assert ended.stdout == "".join(f"<{word}>" for word in words)


def test_the_guest_has_the_kernel_and_cannot_touch_the_hosts_files() -> None:
    host_file = Path(__file__)
    before = host_file.read_bytes()
    ended = in_lab("sh", "-c", f"uname -r; echo gone > {host_file}; echo > /etc/chaoskernel-was")
    assert ended.stdout.strip() != os.uname().release
    assert host_file.read_bytes() == before
    assert not Path("/etc/chaoskernel-was").exists()


def test_a_stock_kernel_boots_with_what_faults_and_tests_need(tmp_path: Path) -> None:
    """Debian's own 6.1: fetched once, then booted from the cache."""
    built = subprocess.run(
        [*LAB[:-1], "build", "--package", "linux-image-amd64"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert built.returncode == 0, built.stderr
    report = tmp_path / "report"
    look = f"""
        uname -r
        head -c 2 /sys/kernel/btf/vmlinux | od -An -tx1 | tr -d ' '
        for kind in debugfs tracefs cgroup2 bpf; do
          grep -q " $kind " /proc/mounts && echo "$kind"
        done
        stat -f -c %T /tmp
        test -b /dev/ram0 && test -c /dev/loop-control && echo devices
        truncate -s 16M /tmp/disk && mkfs.ext4 -q /tmp/disk && mkdir /tmp/there &&
          mount -o loop /tmp/disk /tmp/there && stat -f -c %T /tmp/there
        grep -c "root / 9p .*loose" /proc/mounts
        {sys.executable} -c "print(1)"
        exit 7
    """
    ended = in_lab(
        "sh", "-c", f"exec >{report}; {look}",
        options=("--package", "linux-image-amd64", "--rw", str(tmp_path)),
    )  # fmt: skip
    assert ended.returncode == 7, ended.stderr
    release, *found = report.read_text().split()
    assert re.fullmatch(r"\d+\.\d+\.\d+-\d+-amd64|\d+\.\d+\.\d+\+deb\d+-amd64", release)
    assert found == [
        *("9feb", "debugfs", "tracefs", "cgroup2", "bpf", "tmpfs", "devices", "ext2/ext3"),
        *("1", "1"),
    ]


def test_a_service_has_a_disk_and_a_port_and_may_change_its_directory(tmp_path: Path) -> None:
    (tmp_path / "page").write_text("of the host\n")
    serve = f"""
        stat -f -c %T /srv/disk; stat -c %t:%T /dev/vda
        echo of the guest >{tmp_path}/page
        exec {sys.executable} -S -m http.server --directory {tmp_path} 8000
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ("--disk", "64M", "--copy", str(tmp_path), "--port", f"{port}:8000")
    with subprocess.Popen([*LAB, *options, "--", "sh", "-c", serve], stdout=subprocess.PIPE) as lab:
        try:
            assert within(BOOT_SECONDS, lambda: page(port) == "of the guest\n", 1)
            assert lab.stdout
            assert lab.stdout.readline() == b"ext2/ext3\n"
        finally:
            lab.terminate()
    assert (tmp_path / "page").read_text() == "of the host\n"


def page(port: int) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/page", timeout=10) as answer:
            return str(answer.read().decode())
    except OSError:  # it has not begun to listen
        return ""


def test_a_directory_can_be_made_writable(tmp_path: Path) -> None:
    ended = in_lab("sh", "-c", f"echo kept > {tmp_path}/file", options=("--rw", str(tmp_path)))
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "file").read_text() == "kept\n"


def test_a_guest_that_is_lost_is_not_a_failed_command() -> None:
    ended = in_lab("sh", "-c", "echo c > /proc/sysrq-trigger; sleep 60")
    assert ended.returncode == LOST
    assert "guest" in ended.stderr.strip().splitlines()[-1]


def test_the_limit_ends_the_guest() -> None:
    started = time.monotonic()
    ended = in_lab("sleep", "100", options=("--timeout", "20"))
    assert ended.returncode == OVERTIME
    assert 20 <= time.monotonic() - started < 35


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_no_guest_outlives_its_command(number: signal.Signals) -> None:
    command = subprocess.Popen([*LAB, "--", "sleep", "300"], stdout=subprocess.DEVNULL)
    try:
        assert within(BOOT_SECONDS, lambda: "qemu" in commands_below(command.pid))
        below = processes.with_descendants([command.pid], processes.snapshot())
    finally:
        command.send_signal(number)
        command.wait(timeout=30)
    assert within(5, lambda: not below & processes.snapshot().keys())


def commands_below(pid: int) -> str:
    running = processes.snapshot()
    return " ".join(running[found].command for found in processes.with_descendants([pid], running))

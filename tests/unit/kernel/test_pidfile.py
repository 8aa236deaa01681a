"""A pid file is believed by systemd's rules, and nothing of it is shown."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.kernel import pidfile

NOBODY = 65534
SECRET = "TOPSECRET-first-20-and-more"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to give files away")


@pytest.fixture
def nobodys() -> Iterator[int]:
    """A process of somebody else's."""
    child = subprocess.Popen(["sleep", "60"], user=NOBODY)
    yield child.pid
    child.kill()
    child.wait()


def refusal(path: Path | str) -> str:
    with pytest.raises(InvalidFault) as caught:
        pidfile.read(str(path))
    assert str(caught.value).startswith(f"pid_files: '{path}'"[:40])
    assert SECRET[:4] not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "42",
        "42\n",
        " 42 \n\n",
        "\n42\n",
        "42\r\n",
        "42\n/var/lib/postgresql/15/main\n1700000000\n5432\n/run/postgresql\n*\n 5  6\nready\n",
        "42\nprogram\nhost\n",
        "42\n43\n",
        "42\n" + "x" * 100_000,
    ],
)
def test_the_first_line_counts(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pid"
    path.write_text(text)
    assert pidfile.read(str(path)) == 42


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n\n",
        SECRET.encode(),
        b"12 13",
        b"-4",
        b"\xef\xbb\xbf42",
        b"4\x002",
        b"\xd9\xa4",
        b"1" * 1000,
        b" " * 1000 + b"42",
        b"42" + SECRET.encode(),
    ],
)
def test_a_file_that_holds_no_pid_is_refused_and_not_quoted(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "pid"
    path.write_bytes(text)
    line = refusal(path)
    assert line.endswith("first line holds a process id; name the process by pids or commands")


def test_a_link_is_refused_whoever_made_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    link = tmp_path / "a.pid"
    link.symlink_to(tmp_path / "secret")
    assert "is not allowed: it is a symbolic link" in refusal(link)
    assert "is not allowed: it is a symbolic link" in refusal(f"{link}/")
    assert "is not allowed: it is a symbolic link" in refusal(f"{link}/.")


def test_a_link_on_the_way_is_followed_where_it_is_the_callers(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/x.pid").write_text("42")
    (tmp_path / "absolute").symlink_to(tmp_path / "run")
    (tmp_path / "relative").symlink_to("run/../run/.")
    (tmp_path / "both").symlink_to("relative")
    for name in ("absolute", "relative", "both", "run/../absolute"):
        assert pidfile.read(f"{tmp_path}/{name}/x.pid") == 42
    (tmp_path / "round").symlink_to("round")
    assert "its links lead to each other" in refusal(tmp_path / "round/x.pid")


@as_root
def test_a_strangers_link_on_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/x.pid").write_text(SECRET)
    link = tmp_path / "var"
    link.symlink_to("run")
    os.lchown(link, NOBODY, NOBODY)
    line = refusal(tmp_path / "var/x.pid")
    assert "is not allowed: var in it is a symbolic link of user 65534" in line


def test_what_may_block_is_not_opened(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    before = time.monotonic()
    for path in ("/dev/zero", "/dev/tty", fifo, tmp_path):
        assert "is not a regular file" in refusal(path)
    assert time.monotonic() - before < 5


@pytest.mark.parametrize(
    "path",
    [
        "/proc/kmsg",
        "/proc/self/stat",
        "/proc/sys/kernel/pid_max",
        "/sys/kernel/tracing/trace_pipe",
        "/sys/kernel/debug/tracing/trace_pipe",
        "/sys/kernel/uevent_seqnum",
        "/sys/fs/cgroup/cgroup.procs",
    ],
)
def test_a_file_of_the_kernels_own_is_not_read(path: str) -> None:
    """/proc/sys/kernel/pid_max would do as a number, and /proc/kmsg loses what is read."""
    if not Path(path).exists():
        pytest.skip("this kernel has none")
    assert "is not a regular file" in refusal(path)


def test_a_file_that_everybody_may_write_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("42")
    path.chmod(0o666)
    assert "is not believed: everybody may write to it" in refusal(path)


@as_root
def test_a_service_names_its_own_processes_and_no_others(tmp_path: Path, nobodys: int) -> None:
    path = tmp_path / "pid"
    path.write_text(str(nobodys))
    os.chown(path, NOBODY, NOBODY)
    assert pidfile.read(str(path)) == nobodys
    path.write_text(str(os.getpid()))
    line = refusal(path)
    assert "is not believed: it belongs to user 65534, and the process in it does not" in line
    assert str(os.getpid()) not in line.replace(str(path), "")


@as_root
def test_a_process_that_runs_a_setuid_program_is_not_its_users_alone(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    program = "import os, sys; os.setresuid(65534, 0, 0); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-S", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        child.stdout.readline()
        path.write_text(str(child.pid))
        os.chown(path, NOBODY, NOBODY)
        assert "is not believed" in refusal(path)
        assert child.stdin
        child.stdin.close()


@as_root
def test_a_file_that_is_exchanged_meanwhile_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is opened is what was looked at."""
    path = tmp_path / "pid"
    path.write_text("42")
    look = pidfile._checked

    def exchanged(name: str, file: int) -> int:
        owner = look(name, file)
        path.unlink()
        os.mkfifo(path)
        return owner

    monkeypatch.setattr(pidfile, "_checked", exchanged)
    assert pidfile.read(str(path)) == 42


def test_a_file_that_is_absent_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none")
    (tmp_path / "file").write_text("1")
    assert "Not a directory" in refusal(tmp_path / "file/x")
    assert "is not a regular file" in refusal("/")

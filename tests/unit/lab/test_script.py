"""The guest's script keeps what the command is given, letter by letter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from chaoskernel.lab import script


def perform(job: script.Job, mail: Path) -> subprocess.CompletedProcess[str]:
    """Run the part of the script that needs no guest, with its work directory on this host."""
    _, _, ending = script.text(job, "dumb").partition("\ncd /\n")
    local = ending.replace(script.MAIL, str(mail))
    return subprocess.run(["sh", "-c", local], capture_output=True, text=True, check=False)


def test_arguments_survive_quoting(tmp_path: Path) -> None:
    odd = "a 'b' \"c\" $d `e`\nf"
    done = perform(script.Job(("printf", "%s", odd), Path("/")), tmp_path)
    assert done.stdout == odd


def test_the_status_is_mailed(tmp_path: Path) -> None:
    perform(script.Job(("sh", "-c", "exit 7"), Path("/")), tmp_path)
    assert (tmp_path / script.STATUS).read_text() == "7\n"


def test_programs_beside_this_one_are_found_last(tmp_path: Path) -> None:
    own = str(Path(sys.executable).parent)
    lines = perform(script.Job(("env",), Path("/")), tmp_path).stdout.splitlines()
    (path,) = (line for line in lines if line.startswith("PATH="))
    assert path.split(":")[-1] == own
    elsewhere = script.text(script.Job(("env",), Path("/"), shown=(Path("/work"),)), "dumb")
    assert own not in elsewhere


def test_the_environment_is_what_was_passed(tmp_path: Path) -> None:
    job = script.Job(("env",), Path("/"), env={"A": "b c", "PATH": "/bin"})
    lines = perform(job, tmp_path).stdout.splitlines()
    assert "A=b c" in lines
    assert "PATH=/bin" in lines
    assert {line.partition("=")[0] for line in lines} <= {
        "A",
        "PATH",
        "HOME",
        "LANG",
        "TERM",
        "PWD",
    }


def test_a_directory_below_tmp_is_kept_in_sight() -> None:
    lines = script.text(script.Job(("true",), Path("/tmp/work")), "dumb").splitlines()
    fresh = lines.index("mount -t tmpfs -o mode=1777 tmpfs /tmp")
    assert "mount --bind /tmp/work /run/chaoskernel/cwd" in lines[fresh - 1]
    assert "mount --bind /run/chaoskernel/cwd /tmp/work" in lines[fresh + 1]


def test_writable_directories_are_put_in_their_place() -> None:
    job = script.Job(("true",), Path("/"), rw=(Path("/a b"),))
    assert "mkdir -p '/a b' && mount --bind /run/chaoskernel/rw0 '/a b'" in script.text(job, "dumb")


def test_modules_are_in_place_before_tmp_hides_them() -> None:
    modules = Path("/tmp/c d/lib/modules/6.1.0-56-amd64")
    job = script.Job(("true",), Path("/"), modules=modules)
    lines = script.text(job, "dumb").splitlines()
    place = "/run/chaoskernel/modules"
    bound = lines.index(f"mkdir -p {place} /lib/modules && mount --bind '{modules}' {place}")
    linked = lines.index(f"ln -sfn {place} /lib/modules/6.1.0-56-amd64")
    assert bound < linked < lines.index("mount -t tmpfs -o mode=1777 tmpfs /tmp")
    assert "modprobe" not in script.text(script.Job(("true",), Path("/")), "dumb")

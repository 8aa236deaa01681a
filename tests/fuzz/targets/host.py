"""Files of the host: of its users, and of its kernel."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from chaoskernel.errors import ChaosKernelError
from chaoskernel.fault.pods import PodContainer, PodScope
from chaoskernel.kernel import cgroups, pidfile, podgroups
from chaoskernel.kernel.processes import snapshot
from chaoskernel.kernel.symbols import Symbols
from tests.fuzz import mutate
from tests.fuzz.target import Broken, Target, require, require_clean, require_told

_PID_FILES = ("42\n", "1234", "4711\n/var/lib/postgresql\n1700000000\n5432\n")
_SECRET = "TOPSECRET-first-line"
_NUMBERS = ("0", "-1", "+5", " ", "\n", "0x10", "1e3", "9" * 20, "9" * 5000, "٣", "４２", "_")


def _written(file: Path, given: str) -> Path:
    file.write_bytes(given.encode("utf-8", "surrogatepass"))
    return file


def _try_pid_file(given: str, scratch: Path) -> None:
    """Read a pid file, which may be something else than a file; see `_SPECIAL`."""
    file = scratch / "service.pid"
    if make := _SPECIAL.get(given):
        make(file)
    else:
        _written(file, given)
    try:
        pid = pidfile.read(str(file))
        require(str(pid) in given, "a number that is not in the file")
    except Exception as error:
        require(_SECRET not in str(error), "what is in a file of others is shown")
        raise
    finally:
        shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink()


def _secret(file: Path) -> None:
    file.symlink_to(_written(file.with_suffix(".secret"), _SECRET))


def _sparse(file: Path) -> None:
    file.touch()
    os.truncate(file, 100 << 30)


_SPECIAL: dict[str, Callable[[Path], None]] = {
    "a fifo": os.mkfifo,
    "a directory": Path.mkdir,
    "a link to a secret": _secret,
    "a link to itself": lambda file: file.symlink_to(file),
    "a link to /dev/zero": lambda file: file.symlink_to("/dev/zero"),
    "a link to /dev/tty": lambda file: file.symlink_to("/dev/tty"),
    "a large sparse file": _sparse,
}


_COMMANDS = ("victim", "a) S 1 2 3", "(sd-pam)")


def _try_stat(given: str, scratch: Path) -> None:
    """Read what /proc tells of a process whose command is anything."""
    entry = scratch / "proc/42"
    entry.mkdir(parents=True, exist_ok=True)
    _written(entry / "stat", f"42 ({given}) S 1 42 42 0 -1 4194560 {'0 ' * 12} 7 {'0 ' * 30}\n")
    require(snapshot(entry.parent)[42].started == 7, "another start time")


_MOUNTS = (
    "cgroup2 @/cgroup cgroup2 rw,nosuid 0 0\nproc /proc proc rw 0 0\n",
    "cgroup @/v1/memory cgroup rw,memory 0 0\ncgroup @/v1/pids cgroup rw,pids 0 0\n",
    "/dev/sda1 /mnt\\040with\\040room ext4 rw 0 0\ncgroup2 @/cgroup cgroup2 rw 0 0\n",
    "//server/with\\040share /mnt cifs rw,username=a 0 0\ncgroup2 @/cgroup cgroup2 rw 0 0\n",
)
_CGROUP = "0::/user.slice/shell\n12:memory,cpu:/else:where\n"
_PART = "\n#\n"
_HOSTS = tuple(
    _PART.join((mounts, _CGROUP, path))
    for mounts in _MOUNTS
    for path in ("/a.slice/b", "docker://" + "a" * 64)
)


def _as_mounted(mounts: str) -> str:
    """Have hierarchies lie below the scratch folder, and not be all of this host's files."""
    lines = [line.split(" ") for line in mounts.replace("\0", "").split("\n")]
    for fields in lines:
        if not re.fullmatch(r"@(?:/\w+)*", fields[1] if len(fields) > 1 else "@"):
            fields[1] = "@/elsewhere"
    return "\n".join(" ".join(fields) for fields in lines)


def _try_cgroups(given: str, scratch: Path) -> None:
    """Look for a control group on a host with these mounts and these groups of ours."""
    mounts, _, rest = given.partition(_PART)
    own, _, path = rest.partition(_PART)
    proc = scratch / "proc"
    if not proc.exists():
        (proc / "self").mkdir(parents=True)
        for root in ("cgroup", "v1/memory", "v1/pids"):
            for place in ("a.slice/b", f"docker/{'a' * 64}"):
                tree = scratch / root / place
                tree.mkdir(parents=True)
                (tree / "cgroup.procs").write_text("42\n")
                if root == "cgroup":
                    (tree / "cgroup.events").write_text("populated 1\n")
                    (tree.parent / "cgroup.events").write_text("populated 1\n")
        (proc / "cgroups").write_text("#subsys_name\thierarchy\nmemory\t7\t9\t1\npids\t3\t9\t1\n")
    _written(proc / "self/mounts", _as_mounted(mounts).replace("@", str(scratch)))
    _written(proc / "self/cgroup", own)
    named = [path.replace("@", str(scratch))]
    is_path = named[0].startswith("/")
    hierarchy, found = cgroups.scoped(named if is_path else [], [] if is_path else named, proc=proc)
    if not hierarchy or not found:
        raise Broken("nothing is found, and nothing is wrong")
    for group in found:
        inside = group.directory.resolve().is_relative_to(hierarchy.directory.resolve())
        require(inside, "a directory outside of the hierarchy")


_UID = "0c8b4b9e-1d2f-4a6b-9c3d-5e6f7a8b9c0d"
_MOUNTINFO = (
    f"812 5 8:1 /var/lib/kubelet/pods/{_UID}/containers/app/01ab /dev/termination-log rw - ext4 x\n"
)


_MOUNTED = (_MOUNTINFO, _MOUNTINFO + _PART + "42\n")


def _try_mountinfo(given: str, scratch: Path) -> None:
    """Look for the container of a pod whose processes have these mounts."""
    place = scratch / f"cgroup/kubepods/burstable/pod{_UID}/{'a' * 64}"
    if not place.exists():
        place.mkdir(parents=True)
        (scratch / "proc/42").mkdir(parents=True)
    head, _, processes = given.partition(_PART)
    _written(place / "cgroup.procs", processes or "42\n")
    _written(scratch / "proc/42/mountinfo", head)
    pod = PodScope("shop", "db-0", _UID, "n", (PodContainer("app"),))
    names = podgroups.ContainerNames(scratch / "proc")
    for group in podgroups.groups_of(pod, scratch / "cgroup", names):
        require(group.directory == place, "another container")


_KALLSYMS = (
    "ffffffff81000000 T _text\nffffffff81001000 T __x64_sys_mount\nffffffff81002000 t f.isra.0\n"
    "ffffffff81003000 t m_start\nffffffff81004000 t m_start\nffffffff81005000 d data\n"
    "ffffffffc0000000 t ext4_fill_super\t[ext4]\nffffffff81006000 t g.constprop.0.cold\n",
    "0000000000000000 T _text\n0000000000000000 T __x64_sys_mount\n0000000000000000 t f.isra.0\n",
)


def _try_kallsyms(given: str, _: Path) -> None:
    names = Symbols(lambda: given.encode("utf-8", "surrogatepass"), "x86_64")
    for address in (0, 1, 0xFFFFFFFF81001010, 2**64 - 1, 2**70):
        require_clean(str(names.kernel_text.place(address)))
    names.address("m_start")
    refused = []
    for name in ("f", "g", "ext4_fill_super", "m_start", "sys_mount"):
        try:
            require_clean(names.resolve(name))
        except ChaosKernelError as error:
            require_told(error)
            refused.append(error)
    if len(refused) == 5:
        raise refused[0]


TARGETS = (
    Target(
        "pid-files",
        4,
        mutate.texts(_PID_FILES, _NUMBERS),
        _try_pid_file,
        _PID_FILES,
        (*_SPECIAL, "", "\0" * 4096, "9" * 100_000, "\n" * 100_000, _SECRET, "0", "1"),
    ),
    Target(
        "processes",
        2,
        mutate.texts(_COMMANDS, (*_NUMBERS, ")", "(", ") ", "\n")),
        _try_stat,
        _COMMANDS,
    ),
    Target(
        "cgroups",
        4,
        mutate.texts(
            _HOSTS,
            (_PART, "..", "/../", "//", "\\040", "cgroup2 ", "cgroup ", ":", "::", "0", "memory,"),
        ),
        _try_cgroups,
        _HOSTS,
        (_PART, "a b\n", "\n\n", "cgroup2\n", "x" * 100_000, "/a" * 40_000),
    ),
    Target(
        "mountinfo",
        3,
        mutate.texts(
            _MOUNTED,
            ("/../", "app", "containers/", _PART, "0", "/1", "self", "../..", "\\040", _UID),
        ),
        _try_mountinfo,
        _MOUNTED,
        (_PART + "x" * 100_000, _PART + "/etc/passwd\n", "/" * 100_000),
    ),
    Target(
        "kallsyms",
        4,
        mutate.texts(
            _KALLSYMS,
            ("f" * 400, "0", " T ", "\t[x]", "m_start", "f.isra.0", "f", "-1", "0x", "\u00e9"),
        ),
        _try_kallsyms,
        _KALLSYMS,
        ("", "\n" * 100_000, "x" * 100_000, " T f\n", "zz T f\n", "ffffffff81000000 T \n"),
    ),
)

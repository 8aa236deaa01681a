"""What processes ask of the kernel: their system calls, and the file or peer of each."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import ipaddress
import os
import socket
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from chaoskernel.bpf import abi
from chaoskernel.bpf.placement import Attach, Entry, Layout, Placement
from chaoskernel.engine import core, libbpf
from chaoskernel.engine.seed import groups_of, seed
from chaoskernel.engine.tables import Table
from chaoskernel.errors import UnsupportedKernel
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from chaoskernel.kernel import files, processes
from chaoskernel.kernel.syscalls import numbered

BIO = "bio"
"""In place of a system call's name: block I/O that the process itself starts."""

_NR_BIO = abi.NR_CALLS - 1
_CALLS = Entry("watch_call", Attach.RAW_TRACEPOINT, "sys_enter")
_BIOS = Entry("watch_bio", Attach.RAW_TRACEPOINT, "block_bio_queue")
_u32, _u64 = ctypes.c_uint32, ctypes.c_uint64


class Key(ctypes.Structure):
    """`struct chaos_call_key`."""

    _fields_ = (("object", _u64), ("port", _u64), ("number", _u32), ("mode", _u32))


class End(ctypes.Structure):
    """`struct chaos_end`."""

    _fields_ = (("family", _u32), ("port", _u32), ("address", _u64 * 2))


class Value(ctypes.Structure):
    """`struct chaos_call`."""

    _fields_ = (
        ("count", _u64),
        ("end", End),
        ("pid", _u32),
        ("device", _u32),
        ("names", ctypes.c_char * abi.NAME_LENGTH * abi.NR_NAMES),
    )


class Seen(NamedTuple):
    """A system call that was made, for one file or peer.

    :param call: its name, such as pwrite64.
    :param times: how often.
    :param file: its path; empty where it has none, or is not known.
    :param peer: as a fault's `peers` has it; likewise.
    :param on_socket: it was made for a socket.
    """

    call: str
    times: int
    file: str = ""
    peer: str = ""
    on_socket: bool = False


class Watch:
    """The calls of processes, as they come."""

    def __init__(self, module: core.CoreModule, table: Table) -> None:
        self._module = module
        self._table = table
        self._names = {number: call.name for number, call in numbered()} | {_NR_BIO: BIO}
        self._places: dict[tuple[int, int, int, int], str] = {}  # a process may end before its call

    def calls(self) -> list[Seen]:
        """Return what was seen so far, what came most often first."""
        found = [self._seen(key, value) for key, value in self._table.items()]
        return sorted(found, key=lambda seen: -seen.times)

    def lost(self) -> int:
        """Return how many calls were not kept, because there was no room for their files."""
        return int(self._module.counters()["unlisted"])

    def _seen(self, key: Key, value: Value) -> Seen:
        call = self._names[int(key.number)]
        on_socket = stat.S_ISSOCK(key.mode)
        identity = (key.object, key.port, key.number, key.mode)
        if identity not in self._places:
            self._places[identity] = _place(key, value)
        place = self._places[identity]
        return Seen(
            call,
            int(value.count),
            "" if on_socket else place,
            place if on_socket else "",
            on_socket,
        )


@contextlib.contextmanager
def watched(scope: Scope) -> Iterator[Watch]:
    """Watch the processes of a scope, with their descendants; nothing of theirs fails.

    :raises ChaosKernelError: the scope names what is not there, or the kernel cannot be watched.
    """
    processes.require_kernels_ids()
    core.require_core("processes are watched")
    groups = groups_of(scope)
    hierarchy = groups.hierarchy
    layout = Layout(
        cgroup_controller=hierarchy.controller if hierarchy else "",
        cgroup_hierarchy=hierarchy.number if hierarchy else 0,
    )
    # A fault without hooks: what follows processes and control groups, and nothing else.
    fault = Fault("watch", Kind.ALLOCATION, scope, dry_run=True)
    placement = Placement((), (), layout)
    with contextlib.ExitStack() as undo:
        module = undo.enter_context(core.loaded("", fault, placement, (_CALLS, _BIOS)))
        about = module.table("watched", _u32, _u32)
        for number, call in numbered():
            about[number] = int(call.about)
        for entry in module.entries[:-2]:
            undo.callback(module.attach(entry))
        seed(module, scope, groups.named)
        _attach_watchers(module, undo)
        yield Watch(module, module.table("calls", Key, Value))


def _attach_watchers(module: core.CoreModule, undo: contextlib.ExitStack) -> None:
    try:
        undo.callback(module.attach(_CALLS))
    except libbpf.Refused as refused:
        raise UnsupportedKernel(
            f"system calls cannot be watched here: {refused.message}",
            needs="CONFIG_HAVE_SYSCALL_TRACEPOINTS and CONFIG_BPF_EVENTS give what it takes",
        ) from refused
    undo.callback(module.attach(_BIOS))


def _place(key: Key, value: Value) -> str:
    """Return the file or peer of a call; empty where it has none, or is not known."""
    if int(key.number) == _NR_BIO:
        return _disk(int(value.device))
    if stat.S_ISSOCK(key.mode):
        return _peer(value)
    if not key.object:
        return ""
    text = bytes(value.names[0]) if value.device else _text(value)
    if not value.device:
        return _absolute(os.fsdecode(text), int(value.pid))
    return _path([bytes(name.value) for name in value.names], int(value.device), int(value.pid))


def _text(value: Value) -> bytes:
    return bytes(ctypes.string_at(ctypes.addressof(value.names), abi.NR_TEXT)).split(b"\0")[0]


def _absolute(path: str, pid: int) -> str:
    if path.startswith("/"):
        return os.path.normpath(path)
    try:
        return os.path.normpath(Path(f"/proc/{pid}/cwd").readlink() / path)
    except OSError:  # the process has ended
        return path


def _path(names: Sequence[bytes], device: int, pid: int) -> str:
    """Return the path of a file by the names on its way to the root of its file system."""
    given = [name for name in names if name]
    if not given:
        return ""
    if given[-1] != b"/":
        # Deeper than what is kept; or no file that has a path, such as an eventfd.
        return f"…/{_joined(given)}" if len(given) == len(names) else ""
    inside = "/" + _joined(given[:-1])
    numbers = (device >> 20, device & 0xFFFFF)
    for mount in _mounts(pid):
        root = mount.root.rstrip("/")
        if mount.device == numbers and (inside == root or inside.startswith(f"{root}/")):
            return os.path.normpath(f"{mount.point}/{inside[len(root) :]}")
    return ""


def _joined(names: Sequence[bytes]) -> str:
    return os.fsdecode(b"/".join(reversed(names)))


def _mounts(pid: int) -> list[files.Mount]:
    """Return a process's mounts, those of whole file systems first; or else this process's."""
    for owner in (str(pid), "self"):
        with contextlib.suppress(OSError):
            found = files.mounts_of(Path(f"/proc/{owner}/mountinfo").read_bytes())
            return sorted(found, key=lambda mount: (len(mount.root), len(mount.point)))
    return []


def _disk(device: int) -> str:
    numbers = f"{device >> 20}:{device & 0xFFFFF}"
    try:
        return f"/dev/{Path(f'/sys/dev/block/{numbers}').readlink().name}"
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EINVAL):
            raise
        return numbers


def _peer(value: Value) -> str:
    """Return a peer as a fault's `peers` has it; empty where it has no address."""
    family, port = int(value.end.family), int(value.end.port)
    raw = bytes(value.end.address)
    if family == socket.AF_UNIX:
        name = bytes(ctypes.string_at(ctypes.addressof(value.names), 108))
        path = name.split(b"\0")[0] or b"@" + name[1:].split(b"\0")[0]
        return f"unix:{os.fsdecode(path)}" if path != b"@" else ""
    if family == socket.AF_INET:
        address: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.IPv4Address(raw[12:])
    elif family == socket.AF_INET6:
        wide = ipaddress.IPv6Address(raw)
        address = wide.ipv4_mapped or wide
    else:
        return ""
    if address.is_unspecified:
        return f":{port}" if port else ""
    host = f"[{address}]" if address.version == 6 and port else str(address)
    return f"{host}:{port}" if port else host

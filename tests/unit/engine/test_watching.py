"""What is told of a call: its file or peer, as a fault takes it."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from chaoskernel.engine import watching
from chaoskernel.engine.watching import Key, Value
from chaoskernel.kernel import files

MOUNTS = [
    files.Mount((0, 22), "/", "root"),
    files.Mount((254, 0), "/srv/disk", "/dev/vda"),
    files.Mount((254, 0), "/mnt/inner", "/dev/vda", root="/inner"),
]


def peer_of(family: int, port: int, address: bytes = b"", name: bytes = b"") -> str:
    value = Value()
    value.end.family, value.end.port = family, port
    value.end.address[:] = [int.from_bytes(part, "little") for part in (address[:8], address[8:])]
    value.names[0].value = name
    return watching._place(Key(1, port, 42, stat.S_IFSOCK), value)


@pytest.mark.parametrize(
    ("peer", "said"),
    [
        ((socket.AF_INET, 80, bytes(10) + b"\xff\xff\x0a\0\0\5"), "10.0.0.5:80"),
        ((socket.AF_INET, 0, bytes(10) + b"\xff\xff\x0a\0\0\5"), "10.0.0.5"),
        ((socket.AF_INET6, 80, bytes(15) + b"\1"), "[::1]:80"),
        ((socket.AF_INET6, 80, bytes(10) + b"\xff\xff\x7f\0\0\1"), "127.0.0.1:80"),
        ((socket.AF_INET, 8000, bytes(10) + b"\xff\xff\0\0\0\0"), ":8000"),
        ((socket.AF_UNIX, 0, b"", b"/run/x.sock"), "unix:/run/x.sock"),
        ((socket.AF_NETLINK, 0), ""),
    ],
)
def test_a_peer_is_written_as_a_fault_takes_it(peer: tuple[int, int], said: str) -> None:
    assert peer_of(*peer) == said


def path_of(*names: bytes, device: tuple[int, int] = (254, 0)) -> str:
    value = Value()
    value.device = device[0] << 20 | device[1]
    for place, name in zip(value.names, names, strict=False):
        place.value = name
    return watching._place(Key(1, 0, 0, stat.S_IFREG), value)


def test_a_file_has_the_path_that_its_process_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_mounts", lambda _pid: MOUNTS)
    assert path_of(b"notes.db", b"/") == "/srv/disk/notes.db"
    assert path_of(b"b", b"a", b"/", device=(0, 22)) == "/a/b"
    assert path_of(b"/", device=(254, 0)) == "/srv/disk"
    assert path_of(b"anon", device=(0, 99)) == ""  # an eventfd, a pipe
    deep = [b"%d" % n for n in range(10)]
    assert path_of(*deep) == "…/9/8/7/6/5/4/3/2/1/0"


def test_a_path_that_a_program_wrote_is_made_whole() -> None:
    value = Value()
    value.pid = os.getpid()
    value.names[0].value = b"notes/../x"
    assert watching._place(Key(1, 0, 257, stat.S_IFREG), value) == str(Path.cwd() / "x")
    value.names[0].value = b"/etc//passwd"
    assert watching._place(Key(1, 0, 257, stat.S_IFREG), value) == "/etc/passwd"

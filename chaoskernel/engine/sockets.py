"""Provocations of hooks about sockets: a module that is imported where a fault has such a hook."""

from __future__ import annotations

import contextlib
import socket


def sockets() -> None:
    """Make two sockets."""
    for end in socket.socketpair():
        end.close()


def connect() -> None:
    """Connect one socket of this process's to another."""
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as other:
        other.bind("")
        other.listen(1)
        one.connect(other.getsockname())


def bind() -> None:
    """Have the kernel choose a name."""
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("")


def accept() -> None:
    """Ask for a connection where none waits."""
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("")
        one.listen(1)
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            one.accept()


def send_and_receive() -> None:
    """Send a byte from one socket to the other."""
    one, other = socket.socketpair()
    with one, other:
        one.send(b"\0")
        other.recv(1)

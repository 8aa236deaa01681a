"""A program that uses sockets on command, and tells each call's error number.

talker.py is the side that controls it.  It reads one call a line, as a JSON list of its name and
its arguments, and answers with a number (0: it worked).
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_NETWORK = 0x40000000  # CLONE_NEWNET, include/uapi/linux/sched.h
_SECONDS = 5.0


class Calls:
    """What the process can do with the one socket that it has at a time."""

    def __init__(self) -> None:
        self._socket = socket.socket()

    def open(self, family: str, kind: str) -> None:
        self._socket.close()
        self._socket = socket.socket(getattr(socket, family), getattr(socket, kind))
        self._socket.settimeout(_SECONDS)

    def connect(self, address: Any) -> None:
        self._socket.connect(_address(address))

    def connect_to(self, address: str) -> None:
        """Connect to an address that is given byte by byte, in hexadecimal."""
        raw = bytes.fromhex(address)
        if _LIBC.connect(self._socket.fileno(), raw, len(raw)):
            raise OSError(ctypes.get_errno(), "connect")

    def bind(self, address: Any) -> None:
        self._socket.bind(_address(address))

    def listen(self) -> None:
        self._socket.listen(8)

    def accept(self, address: Any) -> None:
        """Accept a connection that another thread of control of this process has made."""
        with socket.socket(self._socket.family, self._socket.type) as other:
            other.connect(_address(address))
            self._socket.accept()[0].close()

    def send(self) -> None:
        self._socket.send(b"x")

    def write(self) -> None:
        os.write(self._socket.fileno(), b"x")

    def send_to(self, address: Any) -> None:
        self._socket.sendto(b"x", _address(address))

    def receive(self) -> None:
        self._socket.recv(1)

    def new_network(self) -> None:
        """Make a network namespace, in which the kernel makes sockets for itself."""
        child = os.fork()
        if not child:
            os._exit(ctypes.get_errno() if _LIBC.unshare(_NEW_NETWORK) else 0)
        if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            raise OSError(code, os.strerror(code))


def _address(given: Any) -> Any:
    if isinstance(given, list):
        return tuple(given)
    return "\0" + given[1:] if given.startswith("@") else given


def _ended(call: Any, arguments: list[Any]) -> int:
    try:
        call(*arguments)
    except TimeoutError:
        return -1
    except OSError as error:
        return error.errno or -1
    return 0


def serve() -> None:
    calls = Calls()
    print("ready", flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(_ended(getattr(calls, name), arguments), flush=True)


if __name__ == "__main__":
    serve()

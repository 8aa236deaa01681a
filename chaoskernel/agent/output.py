"""How an agent and its owner write: neither's life must depend on the other's reading.

A pipe that nobody reads, a terminal that is held (Ctrl-S) or a file on a disk that hangs would
keep a writer for ever, and with it the end of the fault.  So a thread writes, and what it cannot
get rid of is dropped and counted.
"""

from __future__ import annotations

import collections
import contextlib
import os
import select
import signal
import stat
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from chaoskernel.agent import protocol

BACKLOG = 1 << 20
"""Bytes that wait to be written; a final message is some 400,000 at most."""

_ALWAYS = (protocol.ARMED, protocol.ERROR, protocol.DISARMED)
"""Types of which there is one message, which is kept whatever else waits."""

_AGAIN_SECONDS = 0.2
_NOBODY_READS = 1
"""Exit status when the reader is gone."""


def end_process() -> None:
    """End this process at once; the kernel detaches its fault."""
    os._exit(_NOBODY_READS)


class Output:
    """Messages on their way to a descriptor, in order and whole.

    :param backlog: bytes that may wait; a message that has no room is dropped.
    :param gone: called when the reader is gone (EPIPE); what is said then is lost.
    """

    def __init__(
        self,
        descriptor: int,
        *,
        backlog: int = BACKLOG,
        gone: Callable[[], object] = end_process,
    ) -> None:
        self._descriptor = descriptor
        self._backlog = backlog
        self._gone = gone
        self._lines: collections.deque[bytes] = collections.deque()
        self._bytes = 0
        self._unread = 0
        self._closed = False
        self._news = threading.Condition()
        # Signals are for the main thread, which they wake: a new thread inherits what is blocked.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            threading.Thread(target=self._write, daemon=True).start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @property
    def unread(self) -> int:
        """How many messages were dropped because nobody read those before them."""
        with self._news:
            return self._unread

    def say(self, message: Mapping[str, Any]) -> None:
        """Have a message written; never wait for that."""
        line = protocol.encode(message).encode()
        with self._news:
            full = self._bytes + len(line) > self._backlog
            if self._closed or (full and message.get("type") not in _ALWAYS):
                self._unread += 1
                return
            self._lines.append(line)
            self._bytes += len(line)
            self._news.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until all that was said is written; tell whether that came in time."""
        with self._news:
            return self._news.wait_for(lambda: not self._lines, seconds)

    def close(self) -> None:
        """Have the descriptor closed once all that was said is written."""
        with self._news:
            self._closed = True
            self._news.notify_all()

    def _write(self) -> None:
        try:
            while line := self._next():
                self._put(line)
                with self._news:
                    self._lines.popleft()
                    self._bytes -= len(line)
                    self._news.notify_all()
        except ConnectionError:
            self._gone()
        with self._news:
            self._closed = True
            self._unread += len(self._lines)
            self._lines.clear()
            self._news.notify_all()
        os.close(self._descriptor)

    def _next(self) -> bytes:
        """Return the line that is to be written next; empty when there will be none."""
        with self._news:
            self._news.wait_for(lambda: self._closed or bool(self._lines))
            return self._lines[0] if self._lines else b""

    def _put(self, line: bytes) -> None:
        """Write a line, however long that takes: half of one would spoil the next.

        :raises ConnectionError: the reader is gone.
        """
        left = memoryview(line)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except ConnectionError:
                raise
            except BlockingIOError:  # whoever shares it has made it so
                select.select([], [self._descriptor], [], _AGAIN_SECONDS)
            except OSError:  # no space, no memory: both may come back
                time.sleep(_AGAIN_SECONDS)


def never_block(descriptor: int) -> None:
    """Have writes to a pipe or a terminal fail (EAGAIN) where they would wait.

    For standard error: an interpreter's last words, and those of the engine's library, must not
    hold up an agent.  It is opened anew, since others may share what was inherited.
    """
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind):
        return
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        own = os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:  # a socket, or another user's
        with contextlib.suppress(OSError):
            os.set_blocking(descriptor, False)
        return
    os.dup2(own, descriptor)
    os.close(own)

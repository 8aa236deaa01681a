"""What ends an agent: a request, its deadline, a signal, the death of its owner."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple, NoReturn

from chaoskernel.agent import protocol
from chaoskernel.errors import AgentError
from chaoskernel.kernel import boottime

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_READ_BYTES = 65536
_NAP_SECONDS = 0.5
"""Longest wait without a look at the clock: who is stopped in the middle of one (SIGSTOP), and then
continued, waits once more for all that was left of it."""

DEADLINE = "deadline"
"""The reason when nothing else was."""

ORPHANED = 3
"""Exit status after the owner's death: nobody is left to read it but a tracer."""


class Request(NamedTuple):
    """One line that came in."""

    text: str


class Requests:
    """The lines that come in on a descriptor."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._pending = bytearray()
        self._ended = False

    def line(self, *, timeout: float | None = None) -> str | None:
        """Wait for a line; return None once the input has ended.

        :param timeout: seconds.
        :raises TimeoutError: no whole line came within that time.
        :raises AgentError: the line is longer than a line may be.
        """
        end = math.inf if timeout is None else boottime.now() / 1e9 + timeout
        looked = 0
        while (found := self._pending.find(b"\n", looked)) < 0:
            looked = len(self._pending)
            if looked > protocol.MAX_LINE:
                raise AgentError(f"a line of more than {protocol.MAX_LINE} bytes came in")
            if self._ended:
                return None
            nap = min(_NAP_SECONDS, max(0.0, end - boottime.now() / 1e9))
            if select.select([self.descriptor], [], [], nap)[0]:
                chunk = os.read(self.descriptor, _READ_BYTES)
                self._ended = not chunk
                self._pending += chunk
            elif boottime.now() / 1e9 >= end:
                raise TimeoutError
        line = self._pending[:found].decode(errors="replace")
        del self._pending[: found + 1]
        return line

    def rest(self) -> str:
        """Return what came in after the last line feed; once the input has ended, that is all."""
        return self._pending.decode(errors="replace")


class _Signalled(BaseException):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Lifeline:
    """Within this context the signals that end an agent end its fault, and its wait, instead.

    :param at_once: called by the signal's handler: whatever the agent is doing is not waited for.
    """

    def __init__(self, requests: Requests, at_once: Callable[[], object] = lambda: None) -> None:
        self._requests = requests
        self._at_once = at_once
        self._signal = ""
        self._waiting = False

    @staticmethod
    def tie_to(owner: int) -> None:
        """End this process, whatever it is doing, when its parent ends.

        A thread of its own watches, because the main one may be inside the
        compiler for seconds.  PR_SET_PDEATHSIG would not do: it fires when the
        parent's thread ends, and the toolkit starts activities from short-lived
        threads.

        :param owner: the parent's pid as the parent knows it; when it is no
            longer the parent, it has ended already.
        """
        try:
            descriptor = os.pidfd_open(owner)
        except ProcessLookupError:
            os._exit(ORPHANED)
        if os.getppid() != owner:
            os._exit(ORPHANED)
        threading.Thread(target=_end_with, args=(descriptor,), daemon=True).start()

    def __enter__(self) -> Lifeline:
        for number in _ENDING:
            signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        # What is being undone now is not to be cut short.
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)

    def wait(self, *, until: int) -> Request | str:
        """Wait for a request; return why to end where there is a reason to.

        The end of the input is none: a fault may be piped in, and then lasts
        until its deadline.

        :param until: CLOCK_BOOTTIME, ns.
        """
        try:
            self._waiting = True
            if self._signal:
                return self._signal
            line = self._requests.line(timeout=_seconds_to(until))
            if line is not None:
                return Request(line)
            while left := _seconds_to(until):
                time.sleep(min(_NAP_SECONDS, left))
        except _Signalled as signalled:
            return signalled.name
        except TimeoutError:
            pass
        finally:
            self._waiting = False
        return DEADLINE

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signal = signal.Signals(number).name
        self._at_once()
        if self._waiting:
            self._waiting = False
            raise _Signalled(self._signal)


def _seconds_to(moment: int) -> float:
    return max(0.0, (moment - boottime.now()) / 1e9)


def _end_with(descriptor: int) -> NoReturn:
    with contextlib.suppress(InterruptedError):
        select.select([descriptor], [], [])
    os._exit(ORPHANED)

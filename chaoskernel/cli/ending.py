"""How a command that holds something ends when a signal comes."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def by_signals(leave: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Have SIGTERM and SIGHUP call a handler in the block, so that it ends as by Ctrl-C.

    :param leave: raises what unwinds the block.
    """
    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

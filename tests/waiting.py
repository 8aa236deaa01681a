"""Waiting for what comes by itself."""

from __future__ import annotations

import time
from collections.abc import Callable


def within(seconds: float, condition: Callable[[], bool], pause: float = 0.1) -> bool:
    """Wait until a condition holds; tell whether that came in time.

    :param pause: seconds between two looks.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True

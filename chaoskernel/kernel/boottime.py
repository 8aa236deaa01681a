"""The clock of deadlines and events: it counts from boot, and goes on while the host is suspended.

CLOCK_MONOTONIC stands still then, so that a fault of five minutes would outlive a night of it.
"""

from __future__ import annotations

import time


def now() -> int:
    """Return CLOCK_BOOTTIME in nanoseconds, as bpf_ktime_get_boot_ns() does."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

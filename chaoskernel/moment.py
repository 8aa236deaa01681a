"""Moments as text.  Standard library only, without datetime, whose import takes long."""

from __future__ import annotations

import time


def iso(moment: float) -> str:
    """Return seconds since the epoch as ISO 8601, UTC, as datetime writes it."""
    micros = round(moment * 1e6)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(micros // 1_000_000))
    fraction = micros % 1_000_000
    return f"{text}.{fraction:06d}+00:00" if fraction else f"{text}+00:00"

"""Error numbers, as users write them: by name, or by number.  Standard library only."""

from __future__ import annotations

import errno
import re
from typing import Any

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.checks import is_int

MAX_ERRNO = 4095
"""Largest error number that a kernel function can return (include/linux/err.h)."""


def errno_of(value: Any) -> Any:
    """Return the number of an error that is given by name, such as EMFILE, or by number.

    :raises InvalidFault: there is no error of that name.
    """
    if not isinstance(value, str):
        return value
    if re.fullmatch("[0-9]{1,9}", value):
        return int(value)
    number = error_number(value)
    if not number:
        raise InvalidFault(
            "errno",
            value,
            "the name or number of an error",
            hint=without_sign(value) or "such as ENOMEM, EIO or 28",
        )
    return number


def error_number(name: str) -> int:
    """Return the number of an error's name, such as EIO; 0 where there is none of that name."""
    number = getattr(errno, name, 0) if re.fullmatch("E[A-Z0-9]+", name) else 0
    return number if is_int(number) else 0


def error_text(number: Any) -> Any:
    """Return the name of an error number; what has none is returned as it is."""
    return errno.errorcode.get(number, number) if is_int(number) else number


def without_sign(given: Any) -> str:
    """Return how to write an error that has a sign or lower case; empty for anything else."""
    text = str(given).strip()[:20]
    bare = text.lstrip("+-").upper()
    number = int(bare) if re.fullmatch("[0-9]{1,9}", bare) else error_number(bare)
    if not 0 < number <= MAX_ERRNO or bare == str(given):
        return ""
    return f"write {bare}" + (", without a sign" if text[0] in "+-" else "")

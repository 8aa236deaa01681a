"""Plain fields of what is read from a file have the types that they are declared with."""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

_Read = TypeVar("_Read")
_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
}


def checked(read: _Read) -> _Read:
    """Return a dataclass's instance whose plain fields are what they are declared to be.

    :raises ValueError: one is something else.
    """
    for field in dataclasses.fields(read):  # type: ignore[arg-type]
        types = _TYPES.get(str(field.type))
        value: Any = getattr(read, field.name)
        if types and (not isinstance(value, types) or (value is True and bool not in types)):
            raise ValueError(f"{field.name} is not {field.type}")
    return read

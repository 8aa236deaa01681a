"""Which files a fault is about: a part of the Fault, and validates itself as the others do.

Standard library only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.checks import check_flag, only, sequence_of

MAX_PATHS = 64
_MAX_BYTES = 4096  # PATH_MAX, include/uapi/linux/limits.h


@dataclasses.dataclass(frozen=True, slots=True)
class Where:
    """Files by what they are, whatever they are called when they are used.

    :param paths: files, and directories with all that is or will be below them.
    :param devices: block devices that are mounted, or mount points: all of the file system.
    :param any_file: every file, standard streams, pipes and sockets among them.
    """

    paths: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    any_file: bool = False

    def __post_init__(self) -> None:
        for key in ("paths", "devices"):
            for path in getattr(self, key):
                _check_path(key, path)
            if len(getattr(self, key)) > MAX_PATHS:
                raise InvalidFault(
                    key,
                    f"{len(getattr(self, key))} of them",
                    f"at most {MAX_PATHS}",
                    hint="name a directory that has them",
                )
        check_flag("any_file", self.any_file)
        if self.any_file and self.named:
            raise InvalidFault(
                "any_file", True, "possible together with paths or devices", hint="keep one"
            )

    @property
    def named(self) -> tuple[str, ...]:
        """All that is named, paths first."""
        return self.paths + self.devices

    def to_json(self) -> dict[str, Any]:
        """Return this as an object of JSON types."""
        return {
            "paths": list(self.paths),
            "devices": list(self.devices),
            "any_file": self.any_file,
        }


def where_of(document: Mapping[str, Any]) -> Where:
    """Return what a document says.

    :raises InvalidFault: a key is unknown or has an impossible value.
    """
    only(document, [field.name for field in dataclasses.fields(Where)], "where.")
    return Where(
        paths=sequence_of("paths", document.get("paths", [])),
        devices=sequence_of("devices", document.get("devices", [])),
        any_file=document.get("any_file", False),
    )


def _check_path(key: str, path: Any) -> None:
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        raise InvalidFault(
            key, path, "an absolute path", hint="write it as /var/lib/postgresql, for one"
        )
    if len(path.encode(errors="surrogateescape")) >= _MAX_BYTES:
        raise InvalidFault(key, path[:40], f"a path of less than {_MAX_BYTES} bytes")

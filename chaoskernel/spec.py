"""The Fault and its parts: what to make fail, where, how often and for how long.

A Fault knows no host.  Its parts validate themselves, so a Fault that exists is
a Fault that makes sense.  `to_json` and `from_json` are exact inverses; the JSON
document is what travels to the agent.  Standard library only.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from chaoskernel.errors import InvalidFault

MAX_FRAMES = 16
"""Longest call chain: bpfki and inject.py keep as many."""

MAX_DURATION = 24 * 60 * 60.0
"""Longest duration of a fault, in seconds."""

MAX_TIMES = 2**63 - 1
MAX_PID = 2**22
"""PID_MAX_LIMIT of 64-bit kernels (include/linux/threads.h)."""

_Named = TypeVar("_Named", bound=enum.StrEnum)
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,126}")


class Hook(enum.StrEnum):
    """A function that the kernel calls to ask whether a request is to fail."""

    SLAB = "slab"
    PAGE = "page"
    BIO = "bio"

    @property
    def function(self) -> str:
        """The kernel's name of the hook (KernelChaos: failtype 0, 1 and 2)."""
        return _HOOK_FUNCTIONS[self]


_HOOK_FUNCTIONS = {
    Hook.SLAB: "should_failslab",
    Hook.PAGE: "should_fail_alloc_page",
    Hook.BIO: "should_fail_bio",
}


class Mechanism(enum.StrEnum):
    """A way to override the hook's return value."""

    AUTO = "auto"
    FMOD_RET = "fmod_ret"
    KPROBE = "kprobe"


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """One function of a call chain (KernelChaos: `failKernRequest.callchain[]`).

    :param funcname: a kernel function, or a system call by its portable name.
    """

    funcname: str

    def __post_init__(self) -> None:
        if not isinstance(self.funcname, str) or not _FUNCTION.fullmatch(self.funcname):
            raise InvalidFault(
                "callchain.funcname",
                self.funcname,
                "the name of a kernel function",
                hint="take a name from /proc/kallsyms, such as ext4_mount or sys_mount",
            )


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How often, and for how long.

    :param probability: percent, above 0 and up to 100; drawn once per entry of the
        outermost frame, or per hook call when the chain is empty.
    :param times: most injections; 0 is no limit.
    :param duration: seconds from the moment the fault is armed.
    """

    probability: float = 100.0
    times: int = 0
    duration: float = 300.0

    def __post_init__(self) -> None:
        if not _is_number(self.probability) or not 0 < self.probability <= 100:
            raise InvalidFault(
                "probability",
                self.probability,
                "a percentage above 0 and up to 100",
                hint="1 is one per cent, 100 is always",
            )
        if not _is_int(self.times) or not 0 <= self.times <= MAX_TIMES:
            raise InvalidFault(
                "times",
                self.times,
                f"a whole number from 0 to {MAX_TIMES}",
                hint="0 sets no limit",
            )
        if not _is_number(self.duration) or not 0 < self.duration <= MAX_DURATION:
            raise InvalidFault(
                "duration",
                self.duration,
                f"a time above 0 and up to {MAX_DURATION:g} s",
                hint="write it as 30s, 5m or 1h30m; every fault ends by itself",
            )


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """Whose requests may fail.

    :param pids: processes, each with all its descendants.
    :param pid_files: files that each hold one such process id, read when the
        fault starts, on the host where it starts.
    :param system_wide: every process but the agent and its ancestors.
    """

    pids: tuple[int, ...] = ()
    pid_files: tuple[str, ...] = ()
    system_wide: bool = False

    def __post_init__(self) -> None:
        for pid in self.pids:
            if not _is_int(pid) or not 1 < pid <= MAX_PID:
                raise InvalidFault(
                    "pids", pid, f"a process id from 2 to {MAX_PID}", hint="ps -e shows them"
                )
        for path in self.pid_files:
            if not isinstance(path, str) or not path.startswith("/"):
                raise InvalidFault("pid_files", path, "an absolute path", hint="write it from / on")
        if not isinstance(self.system_wide, bool):
            raise InvalidFault("system_wide", self.system_wide, "true or false")
        named = bool(self.pids or self.pid_files)
        if named and self.system_wide:
            raise InvalidFault(
                "system_wide", True, "possible together with pids or pid_files", hint="keep one"
            )
        if not named and not self.system_wide:
            raise InvalidFault(
                "scope",
                "",
                "a scope",
                hint="name pids or pid_files, or say system_wide: true to hit every process",
            )


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One fault, wherever it is to be injected.

    :param name: unique among the faults of an experiment.
    :param callchain: outermost frame first; the frames need not be adjacent.
    """

    name: str
    hook: Hook
    scope: Scope
    callchain: tuple[Frame, ...] = ()
    limits: Limits = dataclasses.field(default_factory=Limits)
    mechanism: Mechanism = Mechanism.AUTO

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise InvalidFault(
                "name",
                self.name,
                "a name",
                hint="use up to 63 letters, digits, dots, dashes and underscores",
            )
        if len(self.callchain) > MAX_FRAMES:
            raise InvalidFault(
                "callchain",
                f"{len(self.callchain)} frames",
                f"at most {MAX_FRAMES} frames",
                hint="leave out the frames that do not tell the paths apart",
            )

    def to_json(self) -> dict[str, Any]:
        """Return the fault as a document of JSON types."""
        return {
            "name": self.name,
            "fault": self.hook.value,
            "callchain": [{"funcname": frame.funcname} for frame in self.callchain],
            "limits": dataclasses.asdict(self.limits),
            "scope": {
                "pids": list(self.scope.pids),
                "pid_files": list(self.scope.pid_files),
                "system_wide": self.scope.system_wide,
            },
            "mechanism": self.mechanism.value,
        }

    @classmethod
    def from_json(cls, document: Any) -> Fault:
        """Return the fault that a document describes.

        :raises InvalidFault: a key is unknown, absent or has an impossible value.
        """
        body = _mapping("the fault", document)
        _only(body, {"name", "fault", "callchain", "limits", "scope", "mechanism"}, "")
        limits = _mapping("limits", body.get("limits", {}))
        scope = _mapping("scope", body.get("scope", {}))
        _only(limits, {field.name for field in dataclasses.fields(Limits)}, "limits.")
        _only(scope, {field.name for field in dataclasses.fields(Scope)}, "scope.")
        return cls(
            name=body.get("name", ""),
            hook=hook_named(body.get("fault", "")),
            callchain=frames_of(body.get("callchain", [])),
            limits=Limits(**limits),
            scope=Scope(
                pids=sequence_of("pids", scope.get("pids", [])),
                pid_files=sequence_of("pid_files", scope.get("pid_files", [])),
                system_wide=scope.get("system_wide", False),
            ),
            mechanism=mechanism_named(body.get("mechanism", Mechanism.AUTO.value)),
        )


def hook_named(name: Any) -> Hook:
    """Return the hook of that name.

    :raises InvalidFault: there is none.
    """
    return _member("fault", name, Hook)


def mechanism_named(name: Any) -> Mechanism:
    """Return the mechanism of that name.

    :raises InvalidFault: there is none.
    """
    return _member("mechanism", name, Mechanism)


def frames_of(callchain: Any) -> tuple[Frame, ...]:
    """Return the frames of a call chain, outermost first.

    :param callchain: a list whose items are function names or mappings with
        the key `funcname`.
    :raises InvalidFault: an item is neither.
    """
    return tuple(_frame(item) for item in sequence_of("callchain", callchain))


def sequence_of(key: str, value: Any) -> tuple[Any, ...]:
    """Return a list's items.

    :raises InvalidFault: the value is not a list.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        raise InvalidFault(key, value, "a list", hint="put it in square brackets")
    return tuple(value)


def _frame(item: Any) -> Frame:
    if isinstance(item, Mapping):
        _only(item, {"funcname"}, "callchain.")
        return Frame(item.get("funcname", ""))
    return Frame(item)


def _member(key: str, name: Any, kind: type[_Named]) -> _Named:
    try:
        return kind(name)
    except ValueError:
        allowed = [member.value for member in kind]
        raise InvalidFault(
            key, name, f"one of {', '.join(allowed)}", hint=f"use {key}: {allowed[0]}, for one"
        ) from None


def _mapping(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidFault(key, value, "an object", hint="write it as {…}")
    return value


def _only(body: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    names = sorted(known)
    for key in body:
        if key not in names:
            raise InvalidFault(
                f"{where}{key}",
                body[key],
                "known here",
                hint=f"the keys are {', '.join(names)}",
            )


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_int(value) or (isinstance(value, float) and math.isfinite(value))

"""The call chain of a fault: functions of the kernel, outermost first.  Standard library only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from chaoskernel.fault.checks import check_count, check_function, only, sequence_of
from chaoskernel.lazy import Lazy

if TYPE_CHECKING:
    from chaoskernel.fault import c_text
else:
    c_text = Lazy("chaoskernel.fault.c_text")

MAX_FRAMES = 16
"""Longest call chain: bpfki and inject.py keep as many."""


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """One function of a call chain (KernelChaos: `failKernRequest.callchain[]`).

    :param funcname: a kernel function, or a system call by its portable name.
    :param parameters: the function's parameters in C, as far as the predicate needs them.
    :param predicate: a C expression over the parameters; empty is true.  Both are canonical,
        as predicate.py returns them.
    """

    funcname: str
    parameters: str = ""
    predicate: str = ""

    def __post_init__(self) -> None:
        check_function("callchain.funcname", self.funcname)
        if self.parameters != "":
            c_text.check_parameters("callchain.parameters", self.parameters)
        if self.predicate != "":
            c_text.check_expression("callchain.predicate", self.predicate)


def check_frames(key: str, number: int) -> None:
    """Check how many frames there are, before any of them is looked at.

    :raises InvalidFault: there are too many.
    """
    hint = "leave out the frames that do not tell the paths apart"
    check_count(key, number, MAX_FRAMES, "frames", hint=hint)


def frames_of(callchain: Any) -> tuple[Frame, ...]:
    """Return the frames of a call chain, outermost first.

    :param callchain: a list whose items are function names or mappings with
        the key `funcname`; their C is canonical.
    :raises InvalidFault: an item is neither.
    """
    return tuple(Frame(**parts) for parts in frame_parts(callchain))


def frame_parts(callchain: Any) -> list[dict[str, Any]]:
    """Return the arguments of each Frame of a call chain, whose values are not checked yet.

    :raises InvalidFault: there are too many, or one has an unknown key.
    """
    items = sequence_of("callchain", callchain)
    check_frames("callchain", len(items))
    return [_parts(item) for item in items]


def _parts(item: Any) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        return {"funcname": item}
    only(item, {field.name for field in dataclasses.fields(Frame)}, "callchain.")
    return {"funcname": "", **item}

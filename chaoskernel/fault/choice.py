"""Which engine brings a fault onto a kernel: the one answer, for whoever has to know it.

The compiler asks whether a fault needs an object, the launcher whether its agent needs BCC, a
Job what it needs of its node, and the agent which engine it is.  They know different facts, and
go by the same rule.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from chaoskernel.fault.spec import EngineName, Fault


class Facts(NamedTuple):
    """What the choice depends on, beside the fault.

    :param compiled: whether an object with the fault's predicates is there, or can be.
    :param core_works: tells whether the engine core works on the kernel; asked only where the
        answer depends on it, because looking takes rights and time.
    """

    compiled: bool
    core_works: Callable[[], bool]


def choose(fault: Fault, facts: Facts) -> EngineName:
    """Return the engine of a fault: the one that it names, else core where core can, else bcc.

    A kind that bcc does not know is left to core, which says what the kernel lacks.
    """
    if fault.engine is not EngineName.AUTO:
        return fault.engine
    if fault.needs_core:
        return EngineName.CORE
    if fault.has_predicates and not facts.compiled:
        return EngineName.BCC
    return EngineName.CORE if facts.core_works() else EngineName.BCC


def may_take_bcc(fault: Fault, *, compiled: bool) -> bool:
    """Tell whether a fault is left to bcc on some kernel, because core does not work there."""
    return choose(fault, Facts(compiled, lambda: False)) is EngineName.BCC

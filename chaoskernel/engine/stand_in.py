"""What is armed where the kernel lacks a fault's hook: the stand-in, if that was asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from chaoskernel.engine import ArmedFault, Engine, Progress
from chaoskernel.errors import DeadHook, MissingHook, UnsupportedKernel
from chaoskernel.fault.hooks import STAND_INS
from chaoskernel.fault.spec import Fault


class Started(NamedTuple):
    """What was armed for a fault.

    :param fault: the fault itself, or the one that stands in for it.
    :param why: why the stand-in was armed; empty where the fault itself was.
    """

    fault: Fault
    engine: Engine
    armed: ArmedFault
    why: str = ""


def arm(
    fault: Fault, engine: Engine, progress: Progress, engine_for: Callable[[Fault], Engine]
) -> Started:
    """Arm a fault or, where the kernel lacks its hook and the fault allows it, its stand-in.

    The kernel is asked by trying: a hook is missing when it is not there, when nobody may
    override it, or when it is never called.

    :param engine_for: chooses the engine of the stand-in.
    :raises UnsupportedKernel: the hook is missing; the error names the stand-in.
    :raises ChaosKernelError: see `Engine.arm`.
    """
    try:
        return Started(fault, engine, engine.arm(fault, progress=progress))
    except (MissingHook, DeadHook) as lacking:
        kind = STAND_INS.get(fault.kind)
        if kind is None:
            raise
        if not fault.stand_in:
            hint = (
                f"here `fault: {kind.value}` is nearest, and stand_in: true (--stand-in) takes it; "
            )
            raise type(lacking)(lacking.message, needs=hint + lacking.hint) from lacking
        why = f"{lacking.message}: {kind.value} stands in for {fault.kind.value}"
    progress(why)
    other = dataclasses.replace(fault, kind=kind, stand_in=False, page_faults=False)
    try:
        engine = engine_for(other)
        return Started(other, engine, engine.arm(other, progress=progress), why)
    except UnsupportedKernel as both:
        raise type(both)(f"{why}, but {both.message}", needs=both.hint) from both

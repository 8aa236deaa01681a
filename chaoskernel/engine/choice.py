"""The engine that brings a fault onto this kernel; see `fault.choice` for the rule."""

from __future__ import annotations

import sys

from chaoskernel.engine import Engine
from chaoskernel.engine.core import CoreEngine, require_core
from chaoskernel.errors import MissingTool, UnsupportedKernel
from chaoskernel.fault.choice import Facts, choose
from chaoskernel.fault.spec import EngineName, Fault


def engine_for(fault: Fault, image: str = "") -> Engine:
    """Return the engine that a fault asks for, or else core where it works, and bcc elsewhere.

    :param image: the object that was compiled for the fault, packed; empty where none was.
    """
    chosen = choose(fault, Facts(bool(image), _core_works))
    if chosen is EngineName.NONE:
        from chaoskernel.engine.rehearsal import RehearsalEngine  # noqa: PLC0415 - see below

        return RehearsalEngine()
    if chosen is EngineName.CORE:
        return CoreEngine(image)
    if sys.flags.no_site:
        import site  # noqa: PLC0415 - the distribution's packages, bcc among them

        site.main()
    from chaoskernel.engine.bcc import BccEngine  # noqa: PLC0415 - nobody else pays for it

    return BccEngine()


def _core_works() -> bool:
    try:
        require_core()
    except (MissingTool, UnsupportedKernel):
        return False
    return True

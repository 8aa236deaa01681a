"""Which engine brings a fault onto this kernel."""

from __future__ import annotations

from chaoskernel.engine import Engine
from chaoskernel.engine.core import CoreEngine, require_core
from chaoskernel.engine.rehearsal import RehearsalEngine
from chaoskernel.errors import MissingTool, UnsupportedKernel
from chaoskernel.fault.spec import EngineName, Fault


def engine_for(fault: Fault) -> Engine:
    """Return the engine that a fault asks for, or else core where it serves, and bcc elsewhere."""
    if fault.engine is EngineName.NONE:
        return RehearsalEngine()
    if fault.engine is EngineName.CORE or (fault.engine is EngineName.AUTO and _core_serves(fault)):
        return CoreEngine()
    from chaoskernel.engine.bcc import BccEngine  # noqa: PLC0415 - nobody else pays for it

    return BccEngine()


def _core_serves(fault: Fault) -> bool:
    if fault.row.needs_core:
        return True  # what it lacks, it says
    if fault.has_predicates and not fault.object:
        return False
    try:
        require_core()
    except (MissingTool, UnsupportedKernel):
        return False
    return True

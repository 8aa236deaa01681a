"""Placements for tests: a hook, at its place, with what it returns."""

from __future__ import annotations

from chaoskernel.bpf.placement import PlacedHook, Probe
from chaoskernel.fault.hook_types import Hook
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.spec import Fault, Mechanism


def hook_at(
    symbol: str, mechanism: Mechanism = Mechanism.FMOD_RET, value: str = "-ENOMEM"
) -> PlacedHook:
    """Return a hook that fails with a value."""
    return PlacedHook(Probe(symbol, mechanism), value, Hook(symbol))


def hook_of(
    fault: Fault, mechanism: Mechanism = Mechanism.FMOD_RET, value: str = "-ENOMEM"
) -> PlacedHook:
    """Return the hook of a fault that has one."""
    (hook,) = fault.hooks
    assert fault.kind in (Kind.SLAB, Kind.PAGE, Kind.BIO, Kind.FUNCTION)
    return PlacedHook(Probe(hook.symbol, mechanism), value, hook)

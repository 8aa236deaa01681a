"""Proof that hooks are alive: they are provoked, and the program counts.

That a program can be attached proves nothing.  A compiler may have copied a hook, so that its
callers use the copy (seen on Ubuntu's 6.8: should_failslab.constprop.0), or may have left the
call out.  A function that the user names is called where that does no harm; any other is looked
for in the kernel's lists of functions that call programs where they are entered.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from typing import Protocol

from chaoskernel.bpf.abi import EXEMPT, WITNESS
from chaoskernel.bpf.placement import PlacedHook, Placement, Probe
from chaoskernel.engine.hooks import BY_ANOTHER_PROCESS, HARMLESS_CALLS, provocation
from chaoskernel.engine.seed import Tables
from chaoskernel.errors import DeadHook, UnsupportedKernel
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.spec import Fault, Mechanism
from chaoskernel.kernel import ftrace, symbols

CALLED = "called"
"""Every hook was provoked, and the program was seen to run."""

ATTACHED = "attached"
"""The kernel lists the function as one that calls the program; it was not called."""

ACCEPTED = "accepted"
"""The kernel took the program, and its lists cannot be read here: there is no tracefs."""


class Witness(Tables, Protocol):
    """The program's tables, and what it has counted."""

    def hook(self, number: int) -> Mapping[str, int]:
        """Return the counters of one of the fault's hooks, summed over the CPUs."""


def prove(program: Witness, fault: Fault, placement: Placement) -> str:
    """Check that the kernel comes through each hook; the program injects nothing yet.

    :return: how that was shown: called, attached or accepted.
    :raises DeadHook: a hook was provoked and was not called, or cannot be.
    :raises UnsupportedKernel: nothing here can provoke it, or the function tracer is off.
    """
    if fault.kind is Kind.FUNCTION:
        return _prove_function(program, placement.hooks[0].probe)
    for number, placed in enumerate(placement.hooks):
        trouble = _provoke(program, number, placed)
        if not program.hook(number)["provoked"]:
            raise _unproven(placed, trouble)
    return CALLED


def _provoke(program: Witness, number: int, placed: PlacedHook) -> str:
    """Have a hook called; return why it could not be."""
    try:
        if provoke := BY_ANOTHER_PROCESS.get(placed.hook.symbol):
            was_called = provoke(
                lambda pid: _witness(program, pid), lambda: program.hook(number)["provoked"] > 0
            )
            return "" if was_called else "no block device can be read"
        with _witness(program, os.getpid()):
            provocation(placed.hook)()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _unproven(placed: PlacedHook, trouble: str) -> UnsupportedKernel:
    symbol = placed.probe.symbol
    if trouble:
        return UnsupportedKernel(
            f"{symbol} cannot be shown to be alive: {trouble}",
            needs="attach a disk, or a loop device on a file"
            if placed.hook.symbol in BY_ANOTHER_PROCESS
            else "the agent has to be able to make the call itself",
        )
    _require_tracing(placed.probe)
    clones = symbols.running().clones(symbol)
    why = f"its callers use {', '.join(clones)}" if clones else "its calls were compiled out"
    return DeadHook(
        f"{symbol} is there, but this kernel does not call it",
        needs=f"{why}; a kernel with {placed.hook.option} calls it, "
        "and `chaoskernel lab` boots one",
    )


def _prove_function(program: Witness, hook: Probe) -> str:
    call = re.fullmatch(r"(?:__\w+?_)?sys_(\w+)", hook.symbol)
    if call and call[1] in HARMLESS_CALLS:
        with _witness(program, os.getpid()), contextlib.suppress(OSError):
            HARMLESS_CALLS[call[1]]()
        if program.hook(0)["provoked"]:
            return CALLED
    _require_tracing(hook)
    by_kprobe = hook.mechanism is Mechanism.KPROBE
    seen = (ftrace.calls_kprobe if by_kprobe else ftrace.calls_trampoline)(hook.symbol)
    if seen is None:
        return ACCEPTED
    if not seen:
        place = "/sys/kernel/debug/kprobes/list" if by_kprobe else "enabled_functions of tracefs"
        raise DeadHook(
            f"{hook.symbol} took the program, but does not call it",
            needs=f"{place} lists the functions that do; dmesg may tell why it is not among them",
        )
    return ATTACHED


def _require_tracing(hook: Probe) -> None:
    """Check that nobody has switched tracing off since the start began."""
    ftrace.require_on()
    if hook.mechanism is Mechanism.KPROBE:
        ftrace.require_kprobes(hook.symbol)


@contextlib.contextmanager
def _witness(program: Tables, pid: int) -> Iterator[None]:
    """Have the program count the hook calls of this process, or of one that it started.

    The program's tracker takes the other one out when it ends.
    """
    program.list_processes([pid], WITNESS)
    try:
        yield
    finally:
        program.list_processes([pid], EXEMPT)

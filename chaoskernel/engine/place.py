"""Where the parts of a fault attach on this kernel."""

from __future__ import annotations

from collections.abc import Iterator

from chaoskernel.bpf.program import Placement, Probe
from chaoskernel.errors import UnsupportedKernel
from chaoskernel.kernel.features import Features
from chaoskernel.kernel.symbols import Symbols
from chaoskernel.spec import Fault, Hook, Mechanism


def placements(fault: Fault, symbols: Symbols, features: Features) -> Iterator[Placement]:
    """Yield the ways to place a fault, the cheapest first.

    :raises InvalidFault: the kernel has no such frame.
    :raises UnsupportedKernel: the kernel has no way to override the hook.
    """
    names = [symbols.resolve(frame.funcname) for frame in fault.callchain]
    features.require_injectable(fault.hook)
    if fault.hook.function not in symbols:
        raise UnsupportedKernel(
            f"this kernel has no function {fault.hook.function}",
            needs="a kernel with CONFIG_FAULT_INJECTION has it; `chaoskernel lab` boots one",
        )
    mechanisms = list(_mechanisms(fault, features))
    if not mechanisms:
        raise _no_mechanism(fault.hook, fault.mechanism)
    for mechanism in mechanisms:
        yield Placement(
            hook=Probe(fault.hook.function, mechanism),
            frames=tuple(Probe(name, _for_frame(name, mechanism, features)) for name in names),
        )


def _mechanisms(fault: Fault, features: Features) -> Iterator[Mechanism]:
    if fault.mechanism is not Mechanism.KPROBE and features.has_trampoline(fault.hook.function):
        yield Mechanism.FMOD_RET
    if (
        fault.mechanism is not Mechanism.FMOD_RET
        and features.kprobe_events
        and features.kprobe_override
    ):
        yield Mechanism.KPROBE


def _for_frame(name: str, mechanism: Mechanism, features: Features) -> Mechanism:
    """Return the mechanism of the hook where the frame allows it, else kprobe.

    A clone such as `foo.isra.0` has no type to build a trampoline from.
    """
    if mechanism is Mechanism.FMOD_RET and "." not in name and features.has_trampoline(name):
        return Mechanism.FMOD_RET
    return Mechanism.KPROBE


def _no_mechanism(hook: Hook, wanted: Mechanism) -> UnsupportedKernel:
    needs = {
        Mechanism.FMOD_RET: "CONFIG_DEBUG_INFO_BTF and CONFIG_FUNCTION_ERROR_INJECTION give it",
        Mechanism.KPROBE: "CONFIG_BPF_KPROBE_OVERRIDE and CONFIG_KPROBE_EVENTS give it",
        Mechanism.AUTO: "CONFIG_DEBUG_INFO_BTF or CONFIG_BPF_KPROBE_OVERRIDE gives one",
    }
    way = "way" if wanted is Mechanism.AUTO else f"{wanted.value}"
    return UnsupportedKernel(
        f"this kernel has no {way} to override {hook.function}",
        needs=f"{needs[wanted]}; `chaoskernel lab` boots such a kernel",
    )

"""Where the parts of a fault attach on this kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from chaoskernel.bpf.program import Layout, Placement, Probe
from chaoskernel.errors import InvalidFault, UnsupportedKernel
from chaoskernel.fault.spec import Fault, Kind, Mechanism
from chaoskernel.kernel import addresses
from chaoskernel.kernel.btf import Types
from chaoskernel.kernel.cgroups import Hierarchy
from chaoskernel.kernel.features import Features
from chaoskernel.kernel.report import OPTIONS
from chaoskernel.kernel.signature import check_parameters
from chaoskernel.kernel.symbols import Symbols

_HOOK_VALUES = {Kind.SLAB: "-ENOMEM", Kind.PAGE: "true", Kind.BIO: "-EIO"}
_RETURN_TRAMPOLINES = ("arch_rethook_trampoline", "__kretprobe_trampoline", "kretprobe_trampoline")
"""Names of what a kretprobe returns to, of newer kernels first."""

_LISTS_ALL = "a kernel with CONFIG_KALLSYMS_ALL lists it"

SWAPS_IDS = "exchange_tids"
"""Called when a thread that is not the leader calls exec; Linux 5.8."""

_WITHOUT_ERRNO = {"NULL": "0", "TRUE": "1"}


def placements(
    fault: Fault,
    symbols: Symbols,
    features: Features,
    hierarchy: Hierarchy | None = None,
) -> Iterator[Placement]:
    """Yield the ways to place a fault, the cheapest first.

    :param hierarchy: that of the cgroups in the scope, if there are any.
    :raises InvalidFault: the kernel has no such function, it does not fail that way, or it
        takes something else.
    :raises UnsupportedKernel: the kernel has no way to override the hook.
    """
    names = list(_frames(fault, symbols, features.types))
    hook = _hook(fault, symbols)
    features.require_injectable(hook)
    check_parameters("parameters", fault.parameters, hook, features.types)
    value = _value(fault, hook, features)
    left_out = tuple(dict.fromkeys(who for name in (hook, *names) for who in symbols.beside(name)))
    mechanisms = list(_mechanisms(fault, hook, value, features))
    if not mechanisms:
        raise _no_mechanism(hook, fault.mechanism)
    for mechanism in mechanisms:
        frames = tuple(Probe(name, _for_frame(name, mechanism, features)) for name in names)
        yield Placement(
            hook=Probe(hook, mechanism),
            frames=frames,
            value=value,
            layout=_layout(frames, symbols, hierarchy),
            ids=_swap_of_ids(features) if frames else None,
            left_out=left_out,
        )


def _swap_of_ids(features: Features) -> Probe | None:
    # A kprobe where there is one: only so many trampoline programs fit one function, and its
    # absence is found out by attaching, without a search of the types.
    if features.kprobe_events:
        return Probe(SWAPS_IDS, Mechanism.KPROBE)
    return Probe(SWAPS_IDS, Mechanism.FMOD_RET) if features.has_trampoline(SWAPS_IDS) else None


def _frames(fault: Fault, symbols: Symbols, types: Types) -> Iterator[str]:
    for number, frame in enumerate(fault.callchain):
        name = symbols.resolve(frame.funcname)
        if frame.predicate and "." in name:
            raise InvalidFault(
                f"callchain[{number}].predicate",
                frame.predicate,
                f"possible here: this kernel has {name} alone, whose arguments are not known",
                hint="name a caller of it, or leave the predicate out",
            )
        check_parameters(f"callchain[{number}].parameters", frame.parameters, name, types)
        yield name


def with_offsets(placement: Placement, symbols: Symbols, types: Types) -> Placement:
    """Return a placement with what a program needs that is not relocated when it is loaded."""
    layout = placement.layout._replace(
        cache_name=types.offset("kmem_cache", "name"),
        cache_size=types.offset("kmem_cache", "object_size"),
        bootstrap_cache=symbols.address("kmem_cache"),
    )
    return placement._replace(layout=layout)


def warnings(placement: Placement, machine: str = os.uname().machine) -> list[str]:
    """Return what does not work on this kernel as it should, and what would mend it.

    :param machine: as `uname -m` prints it: return addresses are compared on x86-64 alone.
    """
    lacks = []
    hidden = addresses.hidden()
    if hidden:
        lacks.append("the stacks of events have no names")
    by_kprobe = any(frame.mechanism is Mechanism.KPROBE for frame in placement.frames)
    if by_kprobe and machine == "x86_64" and not placement.layout.return_trampoline:
        lacks.append("a return that a kretprobe misses shows in another system call alone")
    if not lacks:
        return []
    why, remedy = hidden or ("the kernel does not list its kretprobe trampoline", _LISTS_ALL)
    return [f"{why}: {', and '.join(lacks)}; {remedy}"]


def _layout(frames: Sequence[Probe], symbols: Symbols, hierarchy: Hierarchy | None) -> Layout:
    by_kprobe = any(frame.mechanism is Mechanism.KPROBE for frame in frames)
    returned_to = map(symbols.address, _RETURN_TRAMPOLINES if by_kprobe else ())
    return Layout(
        cgroup_controller=hierarchy.controller if hierarchy else "",
        cgroup_hierarchy=hierarchy.number if hierarchy else 0,
        return_trampoline=next(filter(None, returned_to), 0),
    )


def _hook(fault: Fault, symbols: Symbols) -> str:
    if fault.kind is Kind.FUNCTION:
        return symbols.resolve(fault.function, key="function")
    if fault.symbol not in symbols:
        raise UnsupportedKernel(
            f"this kernel has no function {fault.symbol}",
            needs=f"a kernel with {OPTIONS[fault.kind]} has it; `chaoskernel lab` boots one",
        )
    return fault.symbol


def _value(fault: Fault, hook: str, features: Features) -> str:
    """Return what the hook returns to fail, in C (include/asm-generic/error-injection.h)."""
    if fault.kind is not Kind.FUNCTION:
        return _HOOK_VALUES[fault.kind]
    kind = (features.injectable or {}).get(hook, "ERRNO")
    if kind not in _WITHOUT_ERRNO:
        if not fault.errno:
            raise InvalidFault(
                "errno", "", f"the error that {hook} is to return", hint="such as errno: EIO"
            )
        return f"-{fault.errno}"
    if fault.errno:
        raise InvalidFault(
            "errno",
            fault.errno,
            f"returned by {hook}: to fail, it returns {_WITHOUT_ERRNO[kind]}",
            hint="leave it out",
        )
    return _WITHOUT_ERRNO[kind]


def _mechanisms(fault: Fault, hook: str, value: str, features: Features) -> Iterator[Mechanism]:
    # To a trampoline, a program that returns 0 lets the function run.
    can_modify = value != "0" and features.has_trampoline(hook)
    if fault.mechanism is not Mechanism.KPROBE and can_modify:
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


def _no_mechanism(hook: str, wanted: Mechanism) -> UnsupportedKernel:
    needs = {
        Mechanism.FMOD_RET: "CONFIG_DEBUG_INFO_BTF and CONFIG_FUNCTION_ERROR_INJECTION give it",
        Mechanism.KPROBE: "CONFIG_BPF_KPROBE_OVERRIDE and CONFIG_KPROBE_EVENTS give it",
        Mechanism.AUTO: "CONFIG_DEBUG_INFO_BTF or CONFIG_BPF_KPROBE_OVERRIDE gives one",
    }
    way = "way" if wanted is Mechanism.AUTO else f"{wanted.value}"
    return UnsupportedKernel(
        f"this kernel has no {way} to override {hook}",
        needs=f"{needs[wanted]}; `chaoskernel lab` boots such a kernel",
    )

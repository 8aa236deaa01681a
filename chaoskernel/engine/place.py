"""Where the parts of a fault attach on this kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from chaoskernel.bpf import abi
from chaoskernel.bpf.placement import Layout, Near, PlacedHook, Placement, Probe, Span
from chaoskernel.errors import InvalidFault, MissingHook, UnsupportedKernel
from chaoskernel.fault.families import call_of, near_calls
from chaoskernel.fault.hook_types import Hook, Subject
from chaoskernel.fault.hooks import RETRIED, Kind
from chaoskernel.fault.spec import Fault, Mechanism
from chaoskernel.kernel import addresses, syscalls
from chaoskernel.kernel.btf import Types
from chaoskernel.kernel.cgroups import Hierarchy
from chaoskernel.kernel.features import Features
from chaoskernel.kernel.signature import check_parameters
from chaoskernel.kernel.symbols import Symbols

_RETURN_TRAMPOLINES = ("arch_rethook_trampoline", "__kretprobe_trampoline", "kretprobe_trampoline")
"""Names of what a kretprobe returns to, of newer kernels first."""

_KNOWN = ("x86_64", "aarch64")
"""Machines on which the program finds the number of the system call: see entry_of()."""

_OF_PAGE_FAULTS = "handle_mm_fault"
"""All page faults come through it; mm/memory.c has it, and no other file can have it inlined."""

_UNDONE_OF_9P = ("p9_client_clunk", "p9_client_remove", "p9_client_flush")
"""What gives back the number of a file to a 9p server (net/9p/client.c).  Without memory it is
not given back, but used again: nobody can open anything on that mount from then on."""

_LISTS_ALL = "a kernel with CONFIG_KALLSYMS_ALL lists it"

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
    hooks = list(_hooks(fault, symbols, features))
    called = [*(hook.probe.symbol for hook in hooks), *names]
    left_out = tuple(dict.fromkeys(_left_out(fault, called, symbols)))
    near = _near(fault, symbols)
    mechanisms = list(_mechanisms(fault, hooks, features))
    if not mechanisms:
        raise _no_mechanism(hooks[0].probe.symbol, fault)
    for mechanism in mechanisms:
        frames = tuple(Probe(name, _for_frame(name, mechanism, features)) for name in names)
        beside = tuple(
            Near(call, Probe(name, _for_frame(name, mechanism, features)))
            for call, name in near.items()
        )
        yield Placement(
            hooks=tuple(
                hook._replace(probe=hook.probe._replace(mechanism=mechanism)) for hook in hooks
            ),
            frames=frames,
            layout=_layout(fault, frames, symbols, features, hierarchy),
            left_out=left_out,
            near=beside,
            cleanups=_cleanups(fault, symbols, features),
        )


def _left_out(fault: Fault, called: Sequence[str], symbols: Symbols) -> Iterator[str]:
    """Yield who makes a call of the fault that does not come to its hooks and frames."""
    for name in called:
        yield from symbols.beside(name)
    for hook in fault.hooks if fault.kind is not Kind.FUNCTION else ():
        if symbols.left_to_others(hook.symbol) and (
            entry := symbols.entry_point(hook.symbol.removeprefix("sys_"))
        ):
            yield f"32-bit callers: {entry}"


def _near(fault: Fault, symbols: Symbols) -> dict[str, str]:
    """Return the entry points of the system calls that are near those that a fault fails."""
    if fault.sites:  # what is met is recorded, and shown
        return {}
    own = call_of(fault.function)
    entries = ((call, symbols.entry_point(call)) for call in near_calls(fault.kind, own))
    return dict([(call, symbol) for call, symbol in entries if symbol][: abi.MAX_NEAR])


def _frames(fault: Fault, symbols: Symbols, types: Types) -> Iterator[str]:
    for number, frame in enumerate(fault.callchain):
        name = symbols.resolve(frame.funcname)
        if frame.predicate and "." in name:
            raise InvalidFault(
                f"callchain[{number}].predicate",
                frame.predicate,
                problem=f"this kernel has {name} alone, whose arguments are not known",
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
    return [*_of_few_callers(placement, machine), *_of_what_is_hidden(placement, machine)]


def _of_few_callers(placement: Placement, machine: str) -> Iterator[str]:
    """Yield which system calls that the user named only 32-bit programs make, as mkdir on arm64."""
    probes = (*(placed.probe for placed in placement.hooks), *placement.frames)
    for call in dict.fromkeys(call_of(probe.symbol) for probe in probes):
        if syscalls.lacks(machine, call):
            yield (
                f"on {machine} 32-bit programs alone make the system call {call}; "
                f"name sys_{syscalls.INSTEAD[call]} for all others"
            )


def _of_what_is_hidden(placement: Placement, machine: str) -> list[str]:
    lacks = []
    hidden = addresses.hidden()
    if hidden:
        lacks.append("the stacks of events have no names")
    by_kprobe = any(frame.mechanism is Mechanism.KPROBE for frame in placement.frames)
    if by_kprobe and machine == "x86_64" and not placement.layout.return_trampoline:
        lacks.append("a return that a kretprobe misses shows in another system call alone")
    fails_pages = not placement.frames and any(
        placed.probe.symbol in RETRIED for placed in placement.hooks
    )
    if fails_pages and (machine not in _KNOWN or not placement.layout.page_fault.size):
        lacks.append("requests of page faults are not told apart, and fail with the others")
    if not lacks:
        return []
    if machine not in _KNOWN and not hidden:
        return [f"on {machine}, {', and '.join(lacks)}; a call chain keeps to system calls"]
    what = "its kretprobe trampoline" if by_kprobe else _OF_PAGE_FAULTS
    why, remedy = hidden or (f"the kernel does not list {what}", _LISTS_ALL)
    return [f"{why}: {', and '.join(lacks)}; {remedy}"]


def _layout(
    fault: Fault,
    frames: Sequence[Probe],
    symbols: Symbols,
    features: Features,
    hierarchy: Hierarchy | None,
) -> Layout:
    by_kprobe = any(frame.mechanism is Mechanism.KPROBE for frame in frames)
    returned_to = map(symbols.address, _RETURN_TRAMPOLINES if by_kprobe else ())
    undone = tuple(Span(*symbols.span(name)) for name in _cleanups(fault, symbols, features))
    return Layout(
        cgroup_controller=hierarchy.controller if hierarchy else "",
        cgroup_hierarchy=hierarchy.number if hierarchy else 0,
        return_trampoline=next(filter(None, returned_to), 0),
        page_fault=Span(*symbols.span(_OF_PAGE_FAULTS)) if fault.tells_page_faults else Span(),
        undone=undone,
    )


def _cleanups(fault: Fault, symbols: Symbols, features: Features) -> tuple[str, ...]:
    """Return the functions that must not fail, as far as the kernel has them."""
    known = _UNDONE_OF_9P if features.has_9p and fault.meets_page_faults else ()
    return tuple(name for name in known if Span(*symbols.span(name)).size)


def _hooks(fault: Fault, symbols: Symbols, features: Features) -> Iterator[PlacedHook]:
    for hook in fault.hooks:
        name = _symbol(fault, hook, symbols)
        if not name:
            continue
        features.require_injectable(name)
        _require_result(fault, name, features)
        check_parameters("parameters", fault.parameters, name, features.types)
        yield PlacedHook(
            probe=Probe(name, Mechanism.AUTO),
            value=_value(fault, hook, name, features),
            hook=hook,
            subjects=_subjects(hook, name, features.types) if _is_asked(fault, hook) else (),
            socket=_socket(name, features.types) if hook.subject.is_socket else 0,
        )


def _require_result(fault: Fault, name: str, features: Features) -> None:
    """Check that a function that the user named returns an error, as far as is known.

    :raises InvalidFault: it returns nothing, or what is no error.
    """
    if fault.kind is not Kind.FUNCTION:
        return
    if features.types.returns_nothing(name):
        raise InvalidFault(
            "function",
            fault.function,
            problem="on this kernel it returns nothing, so that it cannot fail",
            hint="name a function whose callers look at what it returns",
        )
    if features.is_own_of_a_module(name):
        raise InvalidFault(
            "function",
            fault.function,
            problem="a security module's own function, and not a security hook",
            hint="name a hook; `chaoskernel faults` lists some",
        )


def _is_asked(fault: Fault, hook: Hook) -> bool:
    """Tell whether a hook's program looks at what it is called for."""
    return bool(fault.where.named or fault.where.peers) or hook.subject.is_socket


def _symbol(fault: Fault, hook: Hook, symbols: Symbols) -> str:
    """Return what this kernel calls a hook; empty where no program needs one, or it may lack it.

    :raises InvalidFault: the user named a function that is not there.
    :raises MissingHook: the kernel lacks a hook.
    """
    if fault.kind is Kind.FUNCTION:
        return symbols.resolve(hook.symbol, key="function")
    if symbols.left_to_others(hook.symbol):
        return ""
    try:
        name = symbols.resolve(hook.symbol) if hook.symbol.startswith("sys_") else hook.symbol
    except InvalidFault:
        name = ""
    if name in symbols:
        return name
    if hook.optional:
        return ""
    raise MissingHook(
        f"this kernel has no function {hook.symbol}",
        needs=f"a kernel with {hook.option} has it; `chaoskernel lab` boots one",
    )


def _subjects(hook: Hook, name: str, types: Types) -> tuple[int, ...]:
    """Return which arguments of a hook tell its file or peer: what this kernel's types say.

    :raises UnsupportedKernel: none does.
    """
    found = _of_type(hook.subject.type, name, types)
    if hook.subject is Subject.SERVER:  # who connects, to whom, and the end made for that
        found = found[1:2]
    elif hook.subject.is_socket:
        found = found[:1]
    if hook.subject is Subject.NONE or not found:
        what = "peer" if hook.subject.is_socket else "file"
        raise UnsupportedKernel(
            f"{name} of this kernel does not tell which {what} it is called for",
            needs="leave out paths, devices and peers",
        )
    return found[-1:] if hook.last else found


def _socket(name: str, types: Types) -> int:
    """Return which argument of a hook is the program's own socket; the first where none is."""
    return next(iter(_of_type(Subject.SOCKET.type, name, types)), 0)


def _of_type(wanted: str, name: str, types: Types) -> tuple[int, ...]:
    return tuple(
        number
        for number, parameter in enumerate(types.parameters(name) or ())
        if parameter.type.base == wanted and parameter.type.pointers == 1
    )


def _value(fault: Fault, hook: Hook, name: str, features: Features) -> str:
    """Return what the hook returns to fail, in C (include/asm-generic/error-injection.h)."""
    if hook.value:
        return hook.value
    kind = (features.injectable or {}).get(name, "ERRNO")
    if kind not in _WITHOUT_ERRNO:
        if not fault.error:
            raise InvalidFault(
                "errno",
                "",
                problem=f"missing: {name} has no usual error",
                hint="such as errno: EIO",
            )
        return f"-{fault.error}"
    if fault.errno:
        raise InvalidFault(
            "errno",
            fault.errno,
            problem=f"{name} returns no error: to fail, it returns {_WITHOUT_ERRNO[kind]}",
            hint="leave it out",
        )
    return _WITHOUT_ERRNO[kind]


def _mechanisms(
    fault: Fault, hooks: Sequence[PlacedHook], features: Features
) -> Iterator[Mechanism]:
    # To a trampoline, a program that returns 0 lets the function run.
    can_modify = all(
        hook.value != "0" and features.has_trampoline(hook.probe.symbol) for hook in hooks
    )
    if fault.mechanism is not Mechanism.KPROBE and can_modify:
        yield Mechanism.FMOD_RET
    if (
        fault.mechanism is not Mechanism.FMOD_RET
        and features.kprobe_events
        and features.kprobe_override
        # Those can be modified by trampolines alone, and files are told by their types.
        and not any(hook.probe.symbol.startswith("security_") for hook in hooks)
        and not fault.where.named
    ):
        yield Mechanism.KPROBE


def _for_frame(name: str, mechanism: Mechanism, features: Features) -> Mechanism:
    """Return the mechanism of the hook where the frame allows it, else kprobe.

    A clone such as `foo.isra.0` has no type to build a trampoline from.
    """
    if mechanism is Mechanism.FMOD_RET and "." not in name and features.has_trampoline(name):
        return Mechanism.FMOD_RET
    return Mechanism.KPROBE


def _no_mechanism(hook: str, fault: Fault) -> UnsupportedKernel:
    wanted = fault.mechanism
    if hook.startswith("security_") and wanted is Mechanism.KPROBE:
        return UnsupportedKernel(
            f"{hook} cannot be overridden by kprobe", needs="leave mechanism out, or use fmod_ret"
        )
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

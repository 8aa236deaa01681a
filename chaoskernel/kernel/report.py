"""What this kernel and host offer to faults, what is missing, and what would give it.

Found by looking; that a hook is alive is for an engine to prove.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from chaoskernel.errors import ChaosKernelError, InvalidFault
from chaoskernel.fault.hook_types import Hook
from chaoskernel.fault.hooks import STAND_INS, TABLE, Kind
from chaoskernel.kernel import addresses, cgroups, features, ftrace, processes, symbols
from chaoskernel.kernel.features import Features
from chaoskernel.kernel.symbols import Symbols

PRESENT = "present"
_INJECTION = "CONFIG_FUNCTION_ERROR_INJECTION"


class Finding(NamedTuple):
    """One thing that faults build on.

    :param state: what was found.
    :param usable: whether it serves; None where only root can tell.
    :param remedy: what would give it; empty when nothing is missing.
    """

    subject: str
    state: str
    usable: bool | None = True
    remedy: str = ""


class Offer(NamedTuple):
    """What a kernel has of one kind of fault.

    :param hooks: of each hook what is found, by this kernel's name for it; one that this kernel
        lacks and may lack is left out.
    :param finding: of the kind as a whole; its subject is the name of the kind.
    """

    hooks: tuple[Finding, ...]
    finding: Finding


def faults(names: Symbols, kernel: Features | None) -> dict[Kind, Offer]:
    """Return what is found of each kind of fault.

    :param kernel: None when asking the kernel is not permitted.
    """
    what, remedy = ftrace.trouble()
    found = {}
    for kind, row in TABLE.items():
        hooks = tuple(_hooks(row.hooks, names, kernel))
        whole = _whole(kind, hooks) if row.hooks else _function(kernel)
        if what and whole.usable is not False:
            whole = Finding(kind.value, what, False, remedy)
        found[kind] = Offer(hooks, whole)
    return found


def hooks(names: Symbols, kernel: Features | None) -> dict[Kind, Finding]:
    """Return what is found of each kind of fault as a whole.

    :param kernel: None when asking the kernel is not permitted.
    """
    return {kind: offer.finding for kind, offer in faults(names, kernel).items()}


def in_one_line(found: Mapping[Kind, Finding]) -> str:
    """Return which faults a kernel allows, and what the others need."""
    usable = [kind.value for kind, finding in found.items() if finding.usable]
    unknown = [kind.value for kind, finding in found.items() if finding.usable is None]
    needs: dict[str, list[str]] = {}
    for kind, finding in found.items():
        if finding.usable is False:
            needs.setdefault(finding.remedy.partition(";")[0], []).append(kind.value)
    said = f"{len(usable)} of {len(found)} faults can be injected here"
    parts = [f"{said}: {', '.join(usable)}" if usable else said]
    if unknown:
        parts.append(f"{', '.join(unknown)} could not be told")
    parts += [
        f"{', '.join(kinds)} {'need' if len(kinds) > 1 else 'needs'} {what or 'another kernel'}"
        for what, kinds in needs.items()
    ]
    return "; ".join(parts)


def _whole(kind: Kind, hooks: Sequence[Finding]) -> Finding:
    """Return what the hooks of a kind amount to: all are armed, or none."""
    wrong = next((each for each in hooks if each.usable is False), None) or next(
        (each for each in hooks if each.usable is None), None
    )
    if wrong is None:
        return Finding(kind.value, PRESENT)
    nearest = STAND_INS.get(kind)
    hint = f"; here {nearest.value} is nearest" if nearest and wrong.usable is False else ""
    one = wrong.state if len(hooks) == 1 else f"{wrong.subject}: {wrong.state}"
    return Finding(kind.value, one, wrong.usable, wrong.remedy + hint)


def _function(kernel: Features | None) -> Finding:
    """Return whether functions that a user names can be made to fail."""
    subject = Kind.FUNCTION.value
    if kernel is None:
        return Finding(subject, "unknown", None, _who_can_tell())
    if kernel.lists_injectable and not (kernel.trampolines or kernel.overrides_by_kprobe):
        return Finding(subject, "no mechanism", False, _mechanism(kernel))
    if kernel.lists_injectable:
        return Finding(subject, PRESENT)
    if kernel.has_trampoline("security_file_open"):
        return Finding(subject, "security_* alone", True, _INJECTION)
    remedy = _INJECTION if kernel.trampolines else f"{_INJECTION} and CONFIG_BPF_KPROBE_OVERRIDE"
    return Finding(subject, "no error-injection list", False, remedy)


def _mechanism(kernel: Features) -> str:
    """Return what would let a kernel override a function that it permits to override."""
    types = features.TRAMPOLINES if kernel.types else "CONFIG_DEBUG_INFO_BTF"
    return f"{types} or CONFIG_BPF_KPROBE_OVERRIDE"


def mechanisms(kernel: Features | None) -> Iterator[Finding]:
    """Yield what is found of the ways to override a return value."""
    if kernel is None:
        yield Finding("fmod_ret", "unknown", None, _who_can_tell())
        yield Finding("kprobe override", "unknown", None, _who_can_tell())
        return
    if kernel.types and not kernel.trampolines:
        yield Finding("fmod_ret", "no trampolines", False, features.TRAMPOLINES)
    elif kernel.types and not kernel.lists_injectable:
        yield Finding("fmod_ret", "for security_* alone", True, f"{_INJECTION} for the others")
    else:
        yield _finding("fmod_ret", bool(kernel.types), "types (BTF)", "CONFIG_DEBUG_INFO_BTF")
    yield _finding(
        "kprobe override",
        kernel.overrides_by_kprobe,
        "bpf_override_return",
        "CONFIG_BPF_KPROBE_OVERRIDE and CONFIG_KPROBE_EVENTS"
        if kernel.lists_injectable
        else f"{_INJECTION}, CONFIG_BPF_KPROBE_OVERRIDE and CONFIG_KPROBE_EVENTS",
    )


def tracing() -> Iterator[Finding]:
    """Yield whether what is attached to functions is called; root can switch that off."""
    what, remedy = ftrace.trouble()
    yield (
        Finding("function tracer", what, False, remedy)
        if what
        else Finding("function tracer", "not off")
    )
    if ftrace.kprobes_are_off():
        yield Finding("kprobes", f"off: {ftrace.KPROBES_OFF}", False, ftrace.KPROBES_ON)
    else:
        yield Finding("kprobes", "not off")


def host() -> Iterator[Finding]:
    """Yield what is found of this host and of this process's rights on it."""
    release = os.uname().release
    build = Path(f"/lib/modules/{release}/build")
    archive = Path("/sys/kernel/kheaders.tar.xz")
    yield _finding(
        "kernel headers",
        build.exists() or archive.exists(),
        str(build if build.exists() else archive),
        f"apt-get install linux-headers-{release}, or CONFIG_IKHEADERS",
    )
    root = os.geteuid() == 0
    yield _finding("privileges", root, "root", "run it as root", absent="not root")
    mode = features.lockdown()
    locked = mode == features.CONFIDENTIALITY
    yield Finding("lockdown", mode or "none", not locked, features.UNLOCK if locked else "")
    try:
        processes.require_kernels_ids()
        yield Finding("pid namespace", "the kernel's")
    except ChaosKernelError as error:
        yield Finding("pid namespace", "one of its own", False, error.hint)
    unseen = addresses.hidden()
    if unseen:
        yield Finding("kernel addresses", unseen.why, False, unseen.remedy)
    else:
        yield Finding("kernel addresses", "shown to this process")
    mounted = cgroups.hierarchies()
    yield _finding(
        "cgroups",
        bool(mounted),
        ", ".join(f"{each.controller or 'v2'} at {each.directory}" for each in mounted),
        "mount -t cgroup2 none /sys/fs/cgroup",
    )


def kernel_features() -> Features | None:
    """Return the running kernel's features, or None when asking is not permitted."""
    try:
        return features.running()
    except ChaosKernelError:
        return None


def kernel_symbols() -> Symbols:
    """Return the running kernel's symbols; none where it lists none."""
    try:
        return symbols.running()
    except ChaosKernelError:
        return Symbols(bytes, os.uname().machine)


def _hooks(wanted: Iterable[Hook], names: Symbols, kernel: Features | None) -> Iterator[Finding]:
    for hook in wanted:
        name = hook.symbol
        if names.left_to_others(name):
            continue
        if name.startswith("sys_"):
            with contextlib.suppress(InvalidFault):  # it is looked for by its own name, then
                name = names.resolve(name)
        if name in names or not hook.optional:
            yield _hook(name, names, kernel, hook.option)


def _hook(name: str, names: Symbols, kernel: Features | None, option: str) -> Finding:
    options = [option]
    if kernel and not kernel.lists_injectable and not name.startswith("security_"):
        options.append(_INJECTION)
    remedy = " and ".join(dict.fromkeys(options))
    if name not in names:
        if clones := names.clones(name):
            why = "a kernel whose compiler made no copy of it"
            return Finding(name, f"only as {', '.join(clones)}", False, why)
        return Finding(name, "absent", False, remedy)
    if kernel is None:
        return Finding(name, "unknown", None, _who_can_tell())
    if not kernel.may_override(name):
        return _not_injectable(name, kernel, option, remedy)
    trampoline = kernel.has_trampoline(name)
    if not trampoline and not kernel.overrides_by_kprobe:
        return Finding(name, "no mechanism", False, _mechanism(kernel))
    return Finding(name, PRESENT)


def _not_injectable(name: str, kernel: Features, option: str, remedy: str) -> Finding:
    state = "not injectable"
    if name.startswith("security_"):
        lacks_trampolines = kernel.types and not kernel.trampolines
        state = "no trampolines" if lacks_trampolines else state
        remedy = features.TRAMPOLINES if lacks_trampolines else "CONFIG_DEBUG_INFO_BTF"
    elif kernel.injectable is not None and option == _INJECTION:
        remedy = "a kernel that has this system call"
    return Finding(name, state, False, remedy)


def _who_can_tell() -> str:
    """Return what would let this process ask the kernel."""
    if features.lockdown() == features.CONFIDENTIALITY:
        return features.UNLOCK
    return "run it as root" if os.geteuid() else "give it CAP_SYS_ADMIN; seccomp may refuse bpf(2)"


def _finding(
    subject: str, found: bool, state: str, remedy: str, *, absent: str = "absent"
) -> Finding:
    return Finding(subject, state) if found else Finding(subject, absent, False, remedy)

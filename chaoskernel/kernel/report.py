"""What this kernel and host offer to faults, what is missing, and what would give it.

Found by looking; that a hook is alive is for an engine to prove.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from chaoskernel.errors import ChaosKernelError
from chaoskernel.fault.hooks import TABLE, Kind
from chaoskernel.kernel import addresses, cgroups, features, ftrace, processes, symbols
from chaoskernel.kernel.features import Features
from chaoskernel.kernel.symbols import Symbols

PRESENT = "present"


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


def hooks(names: Symbols, kernel: Features | None) -> dict[Kind, Finding]:
    """Return what is found of each hook.

    :param kernel: None when asking the kernel is not permitted.
    """
    found = {
        kind: _hook(row.hooks[0].symbol, names, kernel, row.hooks[0].option)
        for kind, row in TABLE.items()
        if row.failtype is not None
    }
    what, remedy = ftrace.trouble()
    if not what:
        return found
    return {
        hook: each if each.usable is False else Finding(each.subject, what, False, remedy)
        for hook, each in found.items()
    }


def mechanisms(kernel: Features | None) -> Iterator[Finding]:
    """Yield what is found of the ways to override a return value."""
    if kernel is None:
        yield Finding("fmod_ret", "unknown", None, _who_can_tell())
        yield Finding("kprobe override", "unknown", None, _who_can_tell())
        return
    yield _finding("fmod_ret", bool(kernel.types), "types (BTF)", "CONFIG_DEBUG_INFO_BTF")
    yield _finding(
        "kprobe override",
        kernel.kprobe_override and kernel.kprobe_events,
        "bpf_override_return",
        "CONFIG_BPF_KPROBE_OVERRIDE and CONFIG_KPROBE_EVENTS",
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


def _hook(name: str, names: Symbols, kernel: Features | None, option: str) -> Finding:
    if name not in names:
        clones = names.clones(name)
        if clones:
            remedy = "the compiler made a copy of it; another kernel may have the function itself"
            return Finding(name, f"only as {', '.join(clones)}", False, remedy)
        return Finding(name, "absent", False, f"{option}; `chaoskernel lab` boots a kernel with it")
    if kernel is None:
        return Finding(name, "unknown", None, _who_can_tell())
    if not kernel.may_override(name):
        remedy = option if kernel.injectable is not None else "CONFIG_FUNCTION_ERROR_INJECTION"
        return Finding(name, "not injectable", False, remedy)
    trampoline = kernel.has_trampoline(name)
    if not trampoline and not (kernel.kprobe_events and kernel.kprobe_override):
        remedy = "CONFIG_DEBUG_INFO_BTF or CONFIG_BPF_KPROBE_OVERRIDE"
        return Finding(name, "no mechanism", False, remedy)
    return Finding(name, PRESENT)


def _who_can_tell() -> str:
    """Return what would let this process ask the kernel."""
    if features.lockdown() == features.CONFIDENTIALITY:
        return features.UNLOCK
    return "run it as root" if os.geteuid() else "give it CAP_SYS_ADMIN; seccomp may refuse bpf(2)"


def _finding(
    subject: str, found: bool, state: str, remedy: str, *, absent: str = "absent"
) -> Finding:
    return Finding(subject, state) if found else Finding(subject, absent, False, remedy)

"""What the running kernel can do, found by looking and trying, never by its version."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from chaoskernel.errors import InvalidFault, MissingHook, UnsupportedKernel
from chaoskernel.kernel import bpf, btf, ftrace, symbols
from chaoskernel.kernel.btf import Types
from chaoskernel.lazy import Lazy

if TYPE_CHECKING:
    from chaoskernel.kernel import advice
else:
    advice = Lazy("chaoskernel.kernel.advice")  # for what the kernel does not have

_INJECTABLE = Path("/sys/kernel/debug/error_injection/list")
_LOCKDOWN = Path("/sys/kernel/security/lockdown")
_FILE_SYSTEMS = Path("/proc/filesystems")
_KPROBE_LIST = Path("/sys/kernel/debug/kprobes")
"""What a kernel with kprobes has in debugfs, where that is mounted and can be read."""

_LOOKS_UP = "within_error_injection_list"
"""A function of kernels that have such a list (lib/error-inject.c)."""

_DIRECT = "register_ftrace_direct"
"""A function of kernels that let functions call a trampoline (kernel/trace/ftrace.c)."""

TRAMPOLINES = "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS, which arm64 has from Linux 6.4 on"
"""What gives a kernel trampolines, without which fmod_ret is refused when it is attached."""

_ALWAYS_MODIFIABLE = "security_"
"""Functions of that name may be overridden by fmod_ret without being on the list."""

_HOOKS = "security_list_options"
"""The union that has a member for each hook of security modules (include/linux/lsm_hooks.h)."""

_OTHERWISE_NAMED = {
    "create_user_ns": "userns_create",
    "prepare_creds": "cred_prepare",
    "settime64": "settime",
    "sk_classify_flow": "sk_getsecid",
    "skb_classify_flow": "xfrm_decode_session",
    "sock_rcv_skb": "socket_sock_rcv_skb",
    "transfer_creds": "cred_transfer",
    "vm_enough_memory_mm": "vm_enough_memory",
}
"""Members whose function has another name: `security_NAME` or, of objects, NAME_security."""

_NEAR = 3
_KPROBE_PMU = Path("/sys/bus/event_source/devices/kprobe/type")


class Features(NamedTuple):
    """What overriding a return value can build on.

    :param types: the kernel's, if it has any; a trampoline (fmod_ret, fentry, fexit) is
        found through them.
    :param injectable: the functions that may be overridden (ALLOW_ERROR_INJECTION), and
        how they fail: ERRNO, ERRNO_NULL, NULL or TRUE; None when debugfs is not mounted,
        so that nobody can tell.
    :param kprobe_events: kprobes can be owned by a descriptor, so that they
        end with it; those made through tracefs would stay behind.
    :param kprobe_override: the helper bpf_override_return (CONFIG_BPF_KPROBE_OVERRIDE).
    :param lists_injectable: False of a kernel that is known to have no such list.
    :param trampolines: its functions can call trampolines; types alone do not tell.
    :param has_9p: it can mount a 9p server, as virtual machines do with files of their host.
    """

    types: Types
    injectable: Mapping[str, str] | None
    kprobe_events: bool
    kprobe_override: bool
    lists_injectable: bool = True
    has_9p: bool = False
    trampolines: bool = True

    def has_trampoline(self, function: str) -> bool:
        """Tell whether a trampoline on this function can be asked for."""
        return self.trampolines and self.types.has_function(function)

    @property
    def overrides_by_kprobe(self) -> bool:
        """Whether a return value can be overridden without a trampoline."""
        return self.kprobe_events and self.kprobe_override

    def require_injectable(self, function: str) -> None:
        """Check that a function's return value may be overridden.

        :raises MissingHook: it may not.
        """
        if self.may_override(function):
            return
        if function.startswith(_ALWAYS_MODIFIABLE) and not self.trampolines:
            raise MissingHook(
                f"{function} cannot be overridden: this kernel's functions call no trampolines",
                needs=f"{TRAMPOLINES}, gives them",
            )
        if self.injectable is None:
            raise MissingHook(
                f"{function} cannot be overridden: this kernel has no error-injection list",
                needs="CONFIG_FUNCTION_ERROR_INJECTION gives it one; "
                "`chaoskernel lab` boots such a kernel",
            )
        raise MissingHook(
            f"{function} is not on this kernel's error-injection list",
            needs=advice.allocation(function) or _on_the_list(function, self.injectable),
        )

    def is_own_of_a_module(self, function: str) -> bool:
        """Tell whether a function is known to be no hook, though it has the name of one.

        SELinux calls its own functions so (security/selinux/ss/services.c), and they return
        what is no error number.
        """
        prefix, _, name = function.partition(_ALWAYS_MODIFIABLE)
        hooks = self.types.members_of_union(_HOOKS) if name and not prefix else ()
        names = (name, f"{name}_security", _OTHERWISE_NAMED.get(name, name))
        return bool(hooks) and not any(each in hooks for each in names)

    def may_override(self, function: str) -> bool:
        """Tell whether the kernel permits to override a function, as far as is known."""
        if function.startswith(_ALWAYS_MODIFIABLE):
            return self.has_trampoline(function)
        if self.injectable is not None:
            return function in self.injectable
        return self.lists_injectable


CONFIDENTIALITY = "confidentiality"
"""The mode of lockdown in which not even root may load a program that reads the kernel's memory."""

UNLOCK = (
    "boot with lockdown=integrity or lockdown=none, which firmware with Secure Boot may preclude"
)


def lockdown(place: Path = _LOCKDOWN) -> str:
    """Return the kernel's lockdown: none, integrity or confidentiality; empty where it has none."""
    try:
        modes = place.read_text(encoding="ascii")
    except OSError:
        return ""
    chosen = re.search(r"\[(\w+)\]", modes)
    return chosen[1] if chosen else ""


def require_unlocked() -> None:
    """Check that the kernel's lockdown lets root load tracing programs.

    :raises UnsupportedKernel: it does not.
    """
    if lockdown() == CONFIDENTIALITY:
        raise UnsupportedKernel(
            f"the kernel is locked down ({CONFIDENTIALITY}): not even root may trace it",
            needs=UNLOCK,
        )


@functools.cache
def running() -> Features:
    """Return the features of the running kernel; asking takes root.

    :raises UnsupportedKernel: it is locked down.
    :raises NotPermitted: this process may not load programs.
    """
    require_unlocked()
    return Features(
        types=btf.running(),
        injectable=_injectable(),
        kprobe_events=_KPROBE_PMU.exists(),
        kprobe_override=bpf.has_override_helper(),
        lists_injectable=_INJECTABLE.exists() or not _is_known_to_list_none(),
        has_9p="9p" in _FILE_SYSTEMS.read_text(encoding="ascii").split(),
        trampolines=_DIRECT in symbols.running(),
    )


def _is_known_to_list_none() -> bool:
    """Tell whether this kernel lacks the list, wherever debugfs is mounted or not."""
    return _KPROBE_LIST.exists() or _LOOKS_UP not in symbols.running()


def usable(function: str) -> bool:
    """Tell whether the running kernel lets a function's return value be overridden.

    :param function: its name, or a system call's portable one.

    It looks for the function and for a mechanism.  That callers still come through
    the function is not shown by that.
    """
    kernel = running()
    try:
        function = symbols.running().resolve(function)
    except InvalidFault:
        return False
    if ftrace.trouble()[0] or not kernel.may_override(function):
        return False
    return kernel.has_trampoline(function) or kernel.overrides_by_kprobe


def require_traceable(functions: Iterable[str], listed: bytes | None = None) -> None:
    """Check that functions may be probed, as far as the kernel tells.

    To be asked when attaching has failed: the kernel writes its list anew for each reader.

    :param listed: the functions that may be, one a line; the running kernel's when None.
    :raises UnsupportedKernel: one is marked notrace or noinstr, or is a NOKPROBE_SYMBOL; or
        the function tracer is off for good.
    """
    if listed is None:
        listed = ftrace.traceable()
    for function in functions if listed else ():
        if not re.search(rb"(?m)^%s(?:\s|$)" % re.escape(function.encode()), listed):
            raise UnsupportedKernel(
                f"{function} cannot be probed: the kernel marks it as notrace or noinstr",
                needs="name a function that calls it, or one that it calls",
            )


def _on_the_list(function: str, injectable: Iterable[str]) -> str:
    """Return what may be overridden in place of a function that may not."""
    last = re.escape(function.rpartition("_")[2])
    near = [name for name in injectable if re.search(rf"_{last}(?:at)?\d?$", name)]
    shown = [re.sub(r"^__[a-z0-9]+_sys_", "sys_", name) for name in near[:_NEAR]]
    hint = f"fault function takes those that {_INJECTABLE} names"
    return f"{hint}; near: {', '.join(dict.fromkeys(shown))}" if shown else hint


def _injectable() -> Mapping[str, str] | None:
    try:
        text = _INJECTABLE.read_text(encoding="ascii")
    except OSError:
        return None
    return dict(re.findall(r"(?m)^(\S+)\s+(\S+)$", text))

"""The kernel's function tracer (ftrace) and its kprobes: whether they are on, and where.

Trampolines, and kprobes at the entry of a function on x86-64, are called by way of ftrace.
Root can switch either off, and the kernel then still accepts what is attached to them.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from pathlib import Path

from chaoskernel.errors import UnsupportedKernel

_SYSCTL = Path("/proc/sys/kernel/ftrace_enabled")
_KPROBES = Path("/sys/kernel/debug/kprobes")
_TRACING = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))

OFF = "kernel.ftrace_enabled is 0"
SWITCH_ON = "`sysctl kernel.ftrace_enabled=1` switches it on"
BROKEN = "the kernel has switched its function tracer off for good, after an error of its own"
REBOOT = "dmesg has the error; a reboot switches it on again"
KPROBES_OFF = "0 in /sys/kernel/debug/kprobes/enabled"
KPROBES_ON = "`echo 1 >/sys/kernel/debug/kprobes/enabled` switches them on"


def trouble(sysctl: Path = _SYSCTL) -> tuple[str, str]:
    """Return why ftrace calls nobody, and what would change that; empty where it does.

    A kernel without the sysctl has no ftrace that could be off.
    """
    try:
        return (OFF, SWITCH_ON) if sysctl.read_text(encoding="ascii").strip() == "0" else ("", "")
    except OSError as error:
        return (BROKEN, REBOOT) if error.errno == errno.ENODEV else ("", "")


def kprobes_are_off(directory: Path = _KPROBES) -> bool:
    """Tell whether kprobes are known to be switched off; debugfs may not be mounted."""
    try:
        return (directory / "enabled").read_text(encoding="ascii").strip() == "0"
    except OSError:
        return False


def require_on() -> None:
    """Check that what is attached to functions will be called.

    :raises UnsupportedKernel: the function tracer is off.
    """
    what, remedy = trouble()
    if what:
        raise UnsupportedKernel(
            f"{what}: a fault would be attached, and the kernel would never come to it",
            needs=remedy,
        )


def require_kprobes(symbol: str) -> None:
    """Check that a kprobe will be called.

    :raises UnsupportedKernel: they are off.
    """
    if kprobes_are_off():
        raise UnsupportedKernel(
            f"kprobes are switched off ({KPROBES_OFF}), and {symbol} takes one",
            needs=KPROBES_ON,
        )


def traceable() -> bytes:
    """Return the functions that may be probed, one a line; empty where the kernel lists none.

    :raises UnsupportedKernel: the function tracer is off for good.
    """
    return _read("available_filter_functions") or b""


def calls_trampoline(symbol: str, enabled: bytes | None = None) -> bool | None:
    """Tell whether a function calls a BPF trampoline where it is entered.

    :param enabled: the text of enabled_functions; the running kernel's when None.
    :return: None where the kernel does not tell.
    :raises UnsupportedKernel: the function tracer is off for good.
    """
    if enabled is None:
        enabled = _read("enabled_functions")
    if enabled is None:
        return None
    return any(b"direct" in record for record in _records(symbol, enabled))


def calls_kprobe(symbol: str, listed: bytes | None = None) -> bool | None:
    """Tell whether a function calls a kprobe where it is entered.

    :param listed: the text of the list of kprobes; the running kernel's when None.
    :return: None where the kernel does not tell.
    """
    if listed is None:
        try:
            listed = (_KPROBES / "list").read_bytes()
        except OSError:
            return None
    # Address, kind (r at the return), place, a module's name, and what state it is in.  The
    # entry of a function may begin with an instruction that has to stay the first (endbr, bti).
    pattern = rb"(?m)^[0-9a-fx]+ +k +%s\+0x[048](?![0-9a-f])(.*)$" % re.escape(symbol.encode())
    states = re.findall(pattern, listed)
    return any(b"[DISABLED]" not in state and b"[GONE]" not in state for state in states)


def _records(symbol: str, enabled: bytes) -> Iterator[bytes]:
    """Yield what is said of a function: its line, and those below it that are indented."""
    pattern = rb"(?m)^%s[ (\[].*(?:\n\s.*)*" % re.escape(symbol.encode())
    for match in re.finditer(pattern, enabled):
        yield match[0]


def _read(name: str) -> bytes | None:
    """Return the text of a file of tracefs; None where it cannot be read.

    :raises UnsupportedKernel: the function tracer is off for good.
    """
    for directory in _TRACING:
        try:
            return (directory / name).read_bytes()
        except OSError as error:
            if error.errno == errno.ENODEV:
                raise UnsupportedKernel(BROKEN, needs=REBOOT) from error
    return None

"""Whether the function tracer and kprobes are on, and which functions call what is attached."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from chaoskernel.errors import UnsupportedKernel
from chaoskernel.kernel import ftrace

ENABLED = b"""\
vfs_read (1)           \ttramp: 0xffffffffa0201000 (function_trace_call+0x0/0x170)
__x64_sys_mkdir (1) R   D\ttramp: ftrace_regs_caller+0x0/0x58 (call_direct_funcs+0x0/0x24)
\tdirect-->bpf_trampoline_6442504783+0x0/0x1000
btrfs_sync_file [btrfs] (2) R   D   M \tops: call_direct_funcs+0x0/0x24
\tdirect(jmp)-->bpf_trampoline_6442504784+0x0/0x1000
__x64_sys_mkdirat (1) R    \ttramp: 0xffffffffa0201000 (kprobe_ftrace_handler+0x0/0x170)
"""
KPROBES = b"""\
ffffffff8119d9b0  k  __x64_sys_mkdir+0x0    [FTRACE]
ffffffff8119d9b0  r  __x64_sys_rmdir+0x0    [FTRACE]
ffffffff8119d9c4  k  __x64_sys_read+0x4    [OPTIMIZED]
ffffffff8119d9d0  k  __x64_sys_write+0x0    [DISABLED][FTRACE]
0000000000000000  k  f+0x0  btrfs [GONE]
ffffffff8119d9e0  k  g+0x40    [FTRACE]
"""


@pytest.mark.parametrize(
    ("function", "calls"),
    [
        ("__x64_sys_mkdir", True),
        ("btrfs_sync_file", True),
        ("vfs_read", False),
        ("__x64_sys_mkdirat", False),
        ("__x64_sys_mk", False),
        ("x64_sys_mkdir", False),
    ],
)
def test_a_function_with_a_direct_call_calls_its_trampoline(function: str, calls: bool) -> None:
    assert ftrace.calls_trampoline(function, ENABLED) is calls


@pytest.mark.parametrize(
    ("function", "calls"),
    [
        ("__x64_sys_mkdir", True),
        ("__x64_sys_read", True),
        ("__x64_sys_rmdir", False),
        ("__x64_sys_write", False),
        ("__x64_sys_mk", False),
        ("f", False),
        ("g", False),
    ],
)
def test_a_function_calls_a_kprobe_at_its_entry_unless_that_is_disabled_or_gone(
    function: str, calls: bool
) -> None:
    assert ftrace.calls_kprobe(function, KPROBES) is calls


def test_a_kernel_without_the_lists_does_not_tell(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ftrace, "_TRACING", (tmp_path / "tracing",))
    monkeypatch.setattr(ftrace, "_KPROBES", tmp_path / "kprobes")
    assert ftrace.calls_trampoline("f") is None
    assert ftrace.calls_kprobe("f") is None
    assert ftrace.traceable() == b""


def test_the_lists_are_looked_for_where_tracefs_was_mounted_once_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ftrace, "_TRACING", (tmp_path / "none", tmp_path))
    (tmp_path / "enabled_functions").write_bytes(ENABLED)
    assert ftrace.calls_trampoline("__x64_sys_mkdir") is True


def test_a_tracer_that_is_off_is_reported_with_its_switch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sysctl = tmp_path / "ftrace_enabled"
    assert ftrace.trouble(sysctl) == ("", "")
    sysctl.write_text("1\n")
    assert ftrace.trouble(sysctl) == ("", "")
    sysctl.write_text("0\n")
    what, remedy = ftrace.trouble(sysctl)
    monkeypatch.setattr(ftrace, "trouble", lambda: (what, remedy))
    with pytest.raises(
        UnsupportedKernel, match="^kernel.ftrace_enabled is 0: .*; `sysctl kernel.ftrace_enabled=1`"
    ):
        ftrace.require_on()


def test_a_tracer_that_the_kernel_gave_up_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    monkeypatch.setattr(Path, "read_text", gone)
    monkeypatch.setattr(Path, "read_bytes", gone)
    for ask in (ftrace.require_on, ftrace.traceable, lambda: ftrace.calls_trampoline("f")):
        with pytest.raises(UnsupportedKernel, match="off for good, after an error .*a reboot"):
            ask()


def test_kprobes_that_are_off_are_reported_with_their_switch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert not ftrace.kprobes_are_off(tmp_path)
    (tmp_path / "enabled").write_text("1\n")
    assert not ftrace.kprobes_are_off(tmp_path)
    ftrace.require_kprobes("f")
    (tmp_path / "enabled").write_text("0\n")
    assert ftrace.kprobes_are_off(tmp_path)
    monkeypatch.setattr(ftrace, "kprobes_are_off", lambda: True)
    with pytest.raises(UnsupportedKernel, match=r"^kprobes are switched off .*, and f takes one; "):
        ftrace.require_kprobes("f")

"""What the kernel says of its functions."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from chaoskernel.errors import NotPermitted, UnsupportedKernel
from chaoskernel.kernel import bpf, features, ftrace, symbols
from chaoskernel.kernel.btf import NOTHING
from chaoskernel.kernel.features import Features, require_traceable
from tests.unit.kernel.types import symbols_of, types_of

LISTED = b"path_mount\nbtrfs_mount [btrfs]\nvfs_read\n"


def test_functions_that_may_be_probed_pass() -> None:
    require_traceable(["path_mount", "btrfs_mount", "vfs_read"], LISTED)


@pytest.mark.parametrize("function", ["do_syscall_64", "path_moun", "btrfs_mount [btrfs]x"])
def test_one_that_may_not_is_named(function: str) -> None:
    with pytest.raises(UnsupportedKernel, match="cannot be probed: .*; name a function that calls"):
        require_traceable(["vfs_read", function], LISTED)


def test_a_kernel_that_lists_none_decides_nothing() -> None:
    require_traceable(["anything"], b"")


def test_a_system_call_is_usable_by_its_portable_name(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Features(NOTHING, {"__x64_sys_openat": "ERRNO"}, True, True)
    monkeypatch.setattr(features, "running", lambda: found)
    monkeypatch.setattr(
        symbols, "running", lambda: symbols_of(b"1 T __x64_sys_openat\n2 T do_exit\n")
    )
    monkeypatch.setattr(ftrace, "trouble", lambda: ("", ""))
    assert features.usable("sys_openat")
    assert not features.usable("do_exit")
    assert not features.usable("no_such_function")
    monkeypatch.setattr(ftrace, "trouble", lambda: (ftrace.OFF, ftrace.SWITCH_ON))
    assert not features.usable("sys_openat")


@pytest.mark.parametrize(
    ("modes", "mode"),
    [
        ("[none] integrity confidentiality\n", "none"),
        ("none [integrity] confidentiality\n", "integrity"),
        ("none integrity [confidentiality]\n", "confidentiality"),
        ("", ""),
        (None, ""),
    ],
)
def test_the_mode_of_lockdown_is_the_one_in_brackets(
    tmp_path: Path, modes: str | None, mode: str
) -> None:
    place = tmp_path / "lockdown"
    if modes is not None:
        place.write_text(modes)
    assert features.lockdown(place) == mode


@pytest.mark.parametrize("mode", ["", "none", "integrity", "confidentiality"])
def test_a_kernel_that_lets_nobody_trace_says_so_before_anything_is_tried(
    monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr(features, "lockdown", lambda: mode)
    monkeypatch.setattr(bpf, "has_override_helper", lambda: True)
    features.running.cache_clear()
    try:
        if mode == "confidentiality":
            with pytest.raises(UnsupportedKernel, match="^the kernel is locked down .*; boot with"):
                features.running()
        else:
            assert features.running().kprobe_override
    finally:
        features.running.cache_clear()


@pytest.mark.parametrize(
    ("euid", "hint"),
    [(1000, "; run it as root$"), (0, "; root lacks CAP_SYS_ADMIN here, or seccomp")],
)
def test_root_is_not_told_to_be_root(monkeypatch: pytest.MonkeyPatch, euid: int, hint: str) -> None:
    monkeypatch.setattr(bpf, "_bpf", lambda *_: (-1, errno.EPERM))
    monkeypatch.setattr(os, "geteuid", lambda: euid)
    with pytest.raises(NotPermitted, match=hint):
        bpf.has_override_helper()


def kernel_with(injectable: dict[str, str] | None, *, lists: bool = True) -> Features:
    return Features(types_of("security_path_mkdir"), injectable, True, True, lists)


@pytest.mark.parametrize(
    ("function", "hint"),
    [
        ("vfs_mkdir", "error_injection/list names; near: sys_mkdir, sys_mkdirat$"),
        ("do_exit", "error_injection/list names$"),
        ("kmem_cache_alloc", "fault slab fails the allocations"),
        ("submit_bio", "fault bio fails the requests"),
    ],
)
def test_a_function_off_the_list_is_refused_without_options_that_change_nothing(
    function: str, hint: str
) -> None:
    names = ("__x64_sys_mkdir", "__ia32_sys_mkdir", "__x64_sys_mkdirat", "should_failslab")
    with pytest.raises(UnsupportedKernel, match="is not on this kernel's error-inj") as refused:
        kernel_with(dict.fromkeys(names, "ERRNO")).require_injectable(function)
    assert re.search(hint, refused.value.needs)
    assert "CONFIG_" not in refused.value.needs


@pytest.mark.parametrize("injectable", [None, {}, {"__x64_sys_mkdir": "ERRNO"}])
def test_a_security_hook_may_be_overridden_whatever_the_list_has(
    injectable: dict[str, str] | None,
) -> None:
    """check_attach_modify_return() goes by its name."""
    kernel_with(injectable, lists=False).require_injectable("security_path_mkdir")
    with pytest.raises(UnsupportedKernel):
        kernel_with(injectable, lists=False).require_injectable("security_no_such_hook")


def test_the_option_is_named_where_the_kernel_has_no_list_at_all() -> None:
    with pytest.raises(UnsupportedKernel, match="no error-injection list; CONFIG_FUNCTION_ERROR"):
        kernel_with(None, lists=False).require_injectable("__x64_sys_mkdir")
    kernel_with(None).require_injectable("__x64_sys_mkdir")

"""What is missing on a kernel has a name and a remedy."""

from __future__ import annotations

from typing import Any

import pytest

from chaoskernel.errors import MissingHook
from chaoskernel.fault.hooks import TABLE, Kind
from chaoskernel.kernel import addresses, ftrace, report
from chaoskernel.kernel import features as kernel_features
from chaoskernel.kernel.addresses import Hidden
from chaoskernel.kernel.btf import NOTHING
from chaoskernel.kernel.features import Features
from chaoskernel.kernel.report import Finding
from chaoskernel.kernel.symbols import Symbols
from tests.unit.kernel.types import symbols_of, types_of

SLAB = "should_failslab"
OTHERS = ("should_fail_alloc_page", "should_fail_bio")
DRIVEN = (Kind.SLAB, Kind.PAGE, Kind.BIO, Kind.FUNCTION)
"""The faults whose hooks the kernel of these tests has."""


@pytest.fixture(autouse=True)
def tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ftrace, "trouble", lambda: ("", ""))
    monkeypatch.setattr(ftrace, "kprobes_are_off", lambda: False)


WHOLE = symbols_of(b"1 T should_failslab\n2 T should_fail_alloc_page\n3 t should_fail_bio\n")


def features(**changes: Any) -> Features:
    fields: dict[str, Any] = {
        "types": types_of(SLAB),
        "injectable": {SLAB: "ERRNO"},
        "kprobe_events": True,
        "kprobe_override": True,
    }
    return Features(**(fields | changes))


@pytest.mark.parametrize(
    ("names", "kernel", "state", "usable"),
    [
        (WHOLE, features(), "present", True),
        (WHOLE, features(injectable=None), "present", True),
        (WHOLE, features(types=NOTHING), "present", True),
        (WHOLE, features(injectable={}), "not injectable", False),
        (WHOLE, features(injectable=None, lists_injectable=False), "not injectable", False),
        (WHOLE, features(types=NOTHING, kprobe_override=False), "no mechanism", False),
        (WHOLE, None, "unknown", None),
        (symbols_of(b"1 T other\n"), features(), "absent", False),
        (
            symbols_of(b"1 t should_failslab.constprop.0\n"),
            features(),
            "only as should_failslab.constprop.0",
            False,
        ),
    ],
)
def test_a_hook_has_a_state_and_a_remedy_where_it_cannot_be_used(
    names: Symbols, kernel: Features | None, state: str, usable: bool | None
) -> None:
    finding = report.hooks(names, kernel)[Kind.SLAB]
    assert (finding.subject, finding.state, finding.usable) == ("slab", state, usable)
    assert bool(finding.remedy) is not bool(usable)


HOOK = "security_file_open"
WITH_HOOKS = symbols_of(
    b"".join(b"1 T %s\n" % each.symbol.encode() for each in TABLE[Kind.OPEN].hooks)
)


def stock(**changes: Any) -> Features:
    """A distribution's kernel, whose functions call no trampolines: Debian's 6.1 for arm64."""
    names = [each.symbol for each in TABLE[Kind.OPEN].hooks]
    fields = {"injectable": {}, "kprobe_override": False, "lists_injectable": False}
    return features(types=types_of(*names), **({"trampolines": False} | fields | changes))


def test_without_trampolines_no_named_fault_is_promised_and_what_gives_them_is_named() -> None:
    found = report.hooks(WITH_HOOKS, stock())
    assert not [kind.value for kind, finding in found.items() if finding.usable]
    assert (found[Kind.OPEN].state.rpartition(": ")[2], found[Kind.OPEN].remedy) == (
        "no trampolines",
        kernel_features.TRAMPOLINES,
    )
    fmod_ret, kprobe = report.mechanisms(stock())
    assert (fmod_ret.usable, fmod_ret.remedy) == (False, kernel_features.TRAMPOLINES)
    assert kprobe.usable is False
    said = report.in_one_line(found)
    assert said.startswith(f"0 of {len(found)} faults can be injected here; ")
    assert "arm64 has from Linux 6.4 on" in said
    assert report.hooks(WITH_HOOKS, stock(trampolines=True))[Kind.OPEN].usable


def test_without_trampolines_what_a_kprobe_overrides_can_fail() -> None:
    kernel = features(trampolines=False)
    found = report.hooks(WHOLE, kernel)
    assert (found[Kind.SLAB].usable, found[Kind.FUNCTION].usable) == (True, True)
    assert [each.usable for each in report.mechanisms(kernel)] == [False, True]
    neither = features(trampolines=False, kprobe_override=False)
    for kind in (Kind.SLAB, Kind.FUNCTION):
        finding = report.hooks(WHOLE, neither)[kind]
        assert (finding.state, finding.usable) == ("no mechanism", False)
        remedy = f"{kernel_features.TRAMPOLINES} or CONFIG_BPF_KPROBE_OVERRIDE"
        assert finding.remedy.partition(";")[0] == remedy


def test_a_hook_that_is_asked_for_without_trampolines_is_refused_with_the_remedy() -> None:
    with pytest.raises(MissingHook, match="call no trampolines; .* Linux 6.4 on, gives them"):
        stock().require_injectable(HOOK)


def test_mechanisms_that_are_missing_name_the_option_that_gives_them() -> None:
    fmod_ret, kprobe = report.mechanisms(features(types=NOTHING, kprobe_override=False))
    assert (fmod_ret.usable, fmod_ret.remedy) == (False, "CONFIG_DEBUG_INFO_BTF")
    assert "CONFIG_BPF_KPROBE_OVERRIDE" in kprobe.remedy
    assert all(finding.usable for finding in report.mechanisms(features()))
    assert [finding.usable for finding in report.mechanisms(None)] == [None, None]


def test_hidden_addresses_are_reported_with_what_would_show_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(addresses, "hidden", lambda: Hidden("it hides them", "sysctl shows them"))
    (finding,) = [each for each in report.host() if each.subject == "kernel addresses"]
    assert finding == Finding("kernel addresses", "it hides them", False, "sysctl shows them")


def test_every_finding_about_this_host_is_usable_or_has_a_remedy() -> None:
    found = list(report.host())
    assert [finding.subject for finding in found] == [
        "kernel headers",
        "privileges",
        "lockdown",
        "pid namespace",
        "kernel addresses",
        "cgroups",
    ]
    assert all(bool(finding.remedy) is not finding.usable for finding in found)


def test_a_kernel_that_is_locked_down_is_not_blamed_on_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Root is refused as everybody is: "run it as root" would help nobody."""
    monkeypatch.setattr(kernel_features, "lockdown", lambda: "confidentiality")
    hook = report.hooks(WHOLE, None)[Kind.SLAB]
    found = [hook, *report.mechanisms(None), *report.host()]
    remedies = [finding.remedy for finding in found if finding.subject != "privileges"]
    assert not [remedy for remedy in remedies if "root" in remedy]
    (locked,) = [finding for finding in found if finding.subject == "lockdown"]
    assert (locked.state, locked.usable) == ("confidentiality", False)
    assert hook.remedy == locked.remedy
    assert locked.remedy.startswith("boot with lockdown=integrity or lockdown=none")


def test_where_the_function_tracer_is_off_no_hook_is_usable_and_the_switch_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ftrace, "trouble", lambda: (ftrace.OFF, ftrace.SWITCH_ON))
    found = report.hooks(WHOLE, features(injectable=None))
    assert {(found[kind].state, found[kind].usable, found[kind].remedy) for kind in DRIVEN} == {
        ("kernel.ftrace_enabled is 0", False, "`sysctl kernel.ftrace_enabled=1` switches it on")
    }
    absent = report.hooks(symbols_of(b"1 T other\n"), features())
    assert absent[Kind.SLAB].state == "absent"


def test_tracing_that_is_off_is_found_with_what_switches_it_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert [each.usable for each in report.tracing()] == [True, True]
    monkeypatch.setattr(ftrace, "trouble", lambda: (ftrace.BROKEN, ftrace.REBOOT))
    monkeypatch.setattr(ftrace, "kprobes_are_off", lambda: True)
    tracer, kprobes = report.tracing()
    assert (tracer.state, tracer.usable, tracer.remedy) == (ftrace.BROKEN, False, ftrace.REBOOT)
    assert kprobes.usable is False
    assert kprobes.remedy.startswith("`echo 1 >/sys/kernel/debug/kprobes/enabled`")


SECURITY = sorted(
    {hook.symbol for row in TABLE.values() for hook in row.hooks if hook.symbol[:3] == "sec"}
)
CALLS = sorted(
    {f"__x64_{hook.symbol}" for row in TABLE.values() for hook in row.hooks}
    - {f"__x64_{symbol}" for symbol in (*SECURITY, SLAB, *OTHERS)}
)
STOCK = features(types=types_of(*SECURITY, *CALLS), injectable=None, lists_injectable=False)
STOCK_NAMES = symbols_of("".join(f"1 T {name}\n" for name in (*SECURITY, *CALLS)).encode())
NO_LIST = "CONFIG_FUNCTION_ERROR_INJECTION"


def test_on_a_stock_kernel_what_has_a_security_hook_can_be_injected() -> None:
    found = report.hooks(STOCK_NAMES, STOCK)
    not_here = [kind.value for kind, finding in found.items() if not finding.usable]
    assert not_here == ["slab", "page", "bio", "fsync", "close", "poll", "io_uring_enter"]
    assert all(NO_LIST in found[Kind(kind)].remedy for kind in not_here)
    assert found[Kind.SLAB].remedy.endswith("; here allocation is nearest")
    assert found[Kind.PAGE].remedy.endswith("; here memory is nearest")
    assert "nearest" not in found[Kind.BIO].remedy
    assert found[Kind.FUNCTION].state == "security_* alone"


def test_the_first_line_says_what_can_be_injected_and_what_the_rest_needs() -> None:
    line = report.in_one_line(report.hooks(STOCK_NAMES, STOCK))
    assert line.startswith("24 of 31 faults can be injected here: function, allocation, memory, ")
    assert f"; fsync, close, poll, io_uring_enter need {NO_LIST}" in line
    assert f"; slab needs CONFIG_FAILSLAB and {NO_LIST}; " in line
    some = {Kind.SLAB: Finding("slab", "x", False, "a; b"), Kind.FORK: Finding("fork", "?", None)}
    assert report.in_one_line(some) == (
        "0 of 2 faults can be injected here; fork could not be told; slab needs a"
    )
    whole = {Kind.SLAB: Finding("slab", report.PRESENT)}
    assert report.in_one_line(whole) == "1 of 1 faults can be injected here: slab"


def test_a_fault_lacks_what_any_of_its_hooks_lacks_but_for_those_it_can_do_without() -> None:
    absent = symbols_of(
        "".join(f"1 T {name}\n" for name in SECURITY if name != "security_move_mount").encode()
    )
    found = report.faults(absent, STOCK)
    assert found[Kind.MOUNT].finding.state == "security_move_mount: absent"
    assert [hook.usable for hook in found[Kind.MOUNT].hooks] == [True, False]
    without = symbols_of(
        "".join(f"1 T {name}\n" for name in SECURITY if name != "security_file_truncate").encode()
    )
    (hook,) = report.faults(without, STOCK)[Kind.TRUNCATE].hooks
    assert (hook.subject, hook.usable) == ("security_path_truncate", True)


def test_the_rows_of_mechanisms_name_the_list_that_is_missing() -> None:
    fmod_ret, kprobe = report.mechanisms(STOCK._replace(kprobe_override=False))
    assert (fmod_ret.usable, fmod_ret.state) == (True, "for security_* alone")
    assert fmod_ret.remedy == f"{NO_LIST} for the others"
    assert kprobe.remedy.startswith(NO_LIST)


def test_what_only_root_can_see_is_not_reported() -> None:
    found = report.hooks(STOCK_NAMES, None)
    assert {found[kind].usable for kind in (Kind.WRITE, Kind.FSYNC, Kind.FUNCTION)} == {None}
    assert found[Kind.SLAB].usable is False


def test_calls_of_32_bit_programs_alone_are_not_asked_for() -> None:
    names = [f"__arm64_sys_{call}" for call in ("ppoll", "pselect6", "epoll_pwait")]
    symbols = symbols_of("".join(f"1 T {name}\n" for name in names).encode(), "aarch64")
    kernel = features(types=types_of(*names), injectable=dict.fromkeys(names, "ERRNO"))
    assert report.hooks(symbols, kernel)[Kind.POLL].usable is not False

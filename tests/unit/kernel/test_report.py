"""What is missing on a kernel has a name and a remedy."""

from __future__ import annotations

from typing import Any

import pytest

from chaoskernel.fault.hooks import Kind
from chaoskernel.kernel import addresses, ftrace, report
from chaoskernel.kernel import features as kernel_features
from chaoskernel.kernel.addresses import Hidden
from chaoskernel.kernel.btf import NOTHING
from chaoskernel.kernel.features import Features
from chaoskernel.kernel.report import Finding
from chaoskernel.kernel.symbols import Symbols
from tests.unit.kernel.types import symbols_of, types_of

SLAB = "should_failslab"


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
    assert (finding.subject, finding.state, finding.usable) == (SLAB, state, usable)
    assert bool(finding.remedy) is not bool(usable)


def test_mechanisms_that_are_missing_name_the_option_that_gives_them() -> None:
    fmod_ret, kprobe = report.mechanisms(features(types=NOTHING, kprobe_override=False))
    assert (fmod_ret.usable, fmod_ret.remedy) == (False, "CONFIG_DEBUG_INFO_BTF")
    assert "CONFIG_BPF_KPROBE_OVERRIDE" in kprobe.remedy
    assert all(finding.usable for finding in report.mechanisms(features()))
    assert [finding.usable for finding in report.mechanisms(None)] == [None, None]


def test_hidden_addresses_are_told_with_what_would_show_them(
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
    assert {(each.state, each.usable, each.remedy) for each in found.values()} == {
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

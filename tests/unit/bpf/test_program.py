"""The program is a function of the fault and of where its parts attach."""

from __future__ import annotations

import re

import pytest

from chaoskernel.bpf.program import COUNTERS, Attach, Placement, Probe, Program, render
from chaoskernel.spec import Fault, Hook, Limits, Mechanism, Scope, frames_of


def rendered(
    *names: str,
    hook: Hook = Hook.SLAB,
    mechanism: Mechanism = Mechanism.FMOD_RET,
    limits: Limits | None = None,
    system_wide: bool = False,
) -> Program:
    fault = Fault(
        name="x",
        hook=hook,
        callchain=frames_of(names),
        scope=Scope(system_wide=True) if system_wide else Scope(pids=(42,)),
        limits=limits or Limits(),
    )
    frames = tuple(Probe(name, mechanism) for name in names)
    return render(fault, Placement(Probe(hook.function, mechanism), frames))


def switch(program: Program, name: str) -> str:
    found = re.search(rf"(?m)^#define {name} (\S+)$", program.text)
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("percent", "threshold"), [(100, 2**32), (50, 2**31), (1, 42949673), (0.001, 42950)]
)
def test_probability_is_a_threshold_for_32_random_bits(percent: float, threshold: int) -> None:
    program = rendered(limits=Limits(probability=percent))
    assert switch(program, "PROBABILITY_OF_2_32") == f"{threshold}ULL"


def test_switches_carry_times_frames_and_scope() -> None:
    program = rendered("a", "b", limits=Limits(times=7))
    assert switch(program, "TIMES") == "7ULL"
    assert switch(program, "NR_FRAMES") == "2"
    assert switch(program, "SYSTEM_WIDE") == "0"
    assert switch(rendered(system_wide=True), "SYSTEM_WIDE") == "1"


def test_counters_are_numbered_as_they_are_named() -> None:
    enumeration = re.search(r"enum counter \{(.*?)\};", rendered().text, re.DOTALL)
    assert enumeration
    names = re.findall(r"COUNT_(\w+)", enumeration[1])
    assert tuple(name.lower() for name in names) == COUNTERS


def test_every_counter_is_counted_somewhere() -> None:
    program = rendered("a")
    logic = program.text.split("};", 1)[1]
    assert {name for name in COUNTERS if f"COUNT_{name.upper()}" not in logic} == set()


def test_returns_are_attached_before_entries_and_the_hook_last() -> None:
    order = [entry.attach for entry in rendered("a", "b").entries]
    assert order == [
        Attach.RAW_TRACEPOINT,
        Attach.RAW_TRACEPOINT,
        Attach.FEXIT,
        Attach.FEXIT,
        Attach.FENTRY,
        Attach.FENTRY,
        Attach.FMOD_RET,
    ]


def test_kprobes_are_used_throughout_when_that_is_the_mechanism() -> None:
    program = rendered("a", mechanism=Mechanism.KPROBE)
    assert [entry.attach for entry in program.entries[2:]] == [
        Attach.KRETPROBE,
        Attach.KPROBE,
        Attach.KPROBE,
    ]
    assert "bpf_override_return(ctx, -ENOMEM)" in program.text


def test_a_function_that_is_named_twice_is_attached_once_for_both_frames() -> None:
    program = rendered("a", "b", "a")
    entries = [entry.symbol for entry in program.entries if entry.attach is Attach.FENTRY]
    assert entries == ["a", "b"]
    assert "enter(position_of(ctx), 0x5, 0x5);" in program.text
    assert "enter(position_of(ctx), 0x2, 0x2);" in program.text


def test_forks_are_not_followed_system_wide() -> None:
    names = [entry.symbol for entry in rendered(system_wide=True).entries]
    assert names == ["sched_process_exit", "should_failslab"]


@pytest.mark.parametrize(
    ("hook", "function", "value"),
    [
        (Hook.SLAB, "should_failslab", "-ENOMEM"),
        (Hook.PAGE, "should_fail_alloc_page", "true"),
        (Hook.BIO, "should_fail_bio", "-EIO"),
    ],
)
def test_each_hook_fails_with_its_own_value(hook: Hook, function: str, value: str) -> None:
    program = rendered(hook=hook)
    assert f"KMOD_RET({function}," in program.text
    assert f"return {value};" in program.text

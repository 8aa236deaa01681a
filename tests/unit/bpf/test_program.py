"""The program is a function of the fault and of where its parts attach."""

from __future__ import annotations

import re
from typing import Any

import pytest

from chaoskernel.bpf.program import (
    COUNTERS,
    Attach,
    Layout,
    Placement,
    Probe,
    Program,
    render,
)
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.origin import origin
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Limits, Mechanism, frames_of
from tests.unit.placed import hook_at, hook_of

EVERYONE = Scope(system_wide=True)
ONE = Scope(pids=(42,))


def rendered(
    *names: str,
    kind: Kind = Kind.SLAB,
    mechanism: Mechanism = Mechanism.FMOD_RET,
    limits: Limits | None = None,
    scope: Scope = ONE,
    value: str = "-ENOMEM",
    **parts: Any,
) -> Program:
    fault = Fault(
        name="x",
        kind=kind,
        callchain=frames_of(names),
        scope=scope,
        limits=limits or Limits(),
        **parts,
    )
    frames = tuple(Probe(name, mechanism) for name in names)
    return render(fault, Placement((hook_of(fault, mechanism, value),), frames))


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
    assert switch(rendered(scope=EVERYONE), "SYSTEM_WIDE") == "1"


def test_counters_are_numbered_as_they_are_named() -> None:
    enumeration = re.search(r"enum counter \{(.*?)\};", rendered().text, re.DOTALL)
    assert enumeration
    names = re.findall(r"COUNT_(\w+)", enumeration[1])
    assert tuple(name.lower() for name in names) == COUNTERS


def test_every_counter_is_counted_somewhere() -> None:
    program = rendered("a")
    logic = program.text.split("};", 1)[1]
    missing = {name for name in COUNTERS if f"COUNT_{name.upper()}" not in logic}
    assert missing == {"held_site", "unlisted_sites"}  # the engine core alone has sites


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
    assert "enter(position_of(ctx), 0, 0x5, matched);" in program.text
    assert "enter(position_of(ctx), 0, 0x2, matched);" in program.text


def test_forks_are_not_followed_system_wide() -> None:
    names = [entry.symbol for entry in rendered(scope=EVERYONE).entries]
    assert names == ["sched_process_exit", "should_failslab"]


@pytest.mark.parametrize("kind", [Kind.SLAB, Kind.PAGE, Kind.BIO])
def test_a_hook_fails_with_the_value_of_its_place(kind: Kind) -> None:
    program = rendered(kind=kind, value="-EIO")
    assert "return -EIO;" in program.text


def test_a_predicate_decides_whether_its_frame_matches() -> None:
    chain = [
        {"funcname": "a", "parameters": "int x", "predicate": "x == 1"},
        {"funcname": "b"},
        {"funcname": "a", "parameters": "int x"},
    ]
    program = rendered_chain(chain)
    assert "KFUNC_PROBE(a, int x)" in program.text
    assert "u32 matched = 0x4;" in program.text
    assert "if (x == 1) /* callchain[0].predicate */\n\t\tmatched |= 0x1;" in program.text
    assert "u32 matched = 0x2;" in program.text


def rendered_chain(callchain: list[dict[str, str]]) -> Program:
    frames = frames_of(callchain)
    fault = Fault("x", Kind.SLAB, Scope(pids=(42,)), frames)
    probes = tuple(Probe(frame.funcname, Mechanism.FMOD_RET) for frame in frames)
    return render(fault, Placement((hook_of(fault),), probes))


def test_a_predicate_on_the_hook_and_its_headers_are_in_the_program() -> None:
    program = rendered(kind=Kind.PAGE, predicate="order == 1", headers=("linux/mm.h",))
    assert "#include <linux/mm.h> /* headers */\n" in program.text
    assert "predicate = order == 1;" in program.text


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("\tif (x == 1) /* callchain[12].predicate */", "callchain[12].predicate"),
        ("; predicate = order == 1; /* predicate */", "predicate"),
        ("#include <a.h> /* headers */", "headers"),
        ("/* a comment of ours */", ""),
    ],
)
def test_a_line_tells_where_its_c_is_from(line: str, key: str) -> None:
    assert origin(line) == key


def test_a_function_has_the_parameters_that_the_user_gives_it() -> None:
    program = rendered(
        kind=Kind.FUNCTION, function="f", errno=5, parameters="int a", predicate="a", value="-5"
    )
    assert "MODIFY_RETURN(f, int a)" in program.text
    assert "return -5;" in program.text


def test_deadlines_are_on_a_clock_that_counts_suspension() -> None:
    fault = Fault("x", Kind.SLAB, ONE)
    placement = Placement((hook_at("hook", Mechanism.FMOD_RET),), ())
    assert "#define SUSPENDED" not in render(fault, placement).text
    layout = Layout(suspended=0)
    assert "#define SUSPENDED 0ULL\n" in render(fault, placement._replace(layout=layout)).text


def test_a_chain_is_kept_by_task_and_read_where_the_kernels_headers_say() -> None:
    text = rendered("a").text
    assert "BPF_HASH(walks, u64, struct walk, MAX_THREADS);" in text
    assert "THREAD_SIZE - TOP_OF_KERNEL_STACK_PADDING" in text


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_dry_run_is_a_switch(dry_run: bool) -> None:
    assert switch(rendered(dry_run=dry_run), "DRY_RUN") == str(int(dry_run))


@pytest.mark.parametrize(
    ("scope", "trackers"),
    [
        (EVERYONE, ["exit"]),
        (Scope(pids=(42,)), ["exit", "fork"]),
        (Scope(commands=("sh",)), ["exit", "fork", "exec"]),
        (Scope(containers=("a" * 64,)), ["exit", "fork", "mkdir", "rmdir"]),
        (Scope(cgroups=("/a",), commands=("sh",)), ["exit", "fork", "exec", "mkdir", "rmdir"]),
    ],
)
def test_what_the_scope_needs_is_followed_and_nothing_else(
    scope: Scope, trackers: list[str]
) -> None:
    entries = rendered(scope=scope).entries
    followed = [entry.symbol for entry in entries if entry.attach is Attach.RAW_TRACEPOINT]
    assert [name.rpartition("_")[2] for name in followed] == trackers

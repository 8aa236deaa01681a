"""What BCC compiles is a function of the fault and of where its parts attach."""

from __future__ import annotations

import re
from typing import Any

import pytest

from chaoskernel.bpf import abi, bcc_text
from chaoskernel.bpf.bcc_text import Program, render
from chaoskernel.bpf.placement import Attach, Layout, Placement, Probe
from chaoskernel.bpf.text import file, whole
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.origin import origin
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Limits, Mechanism, frames_of
from tests.unit.placed import hook_of

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


def initial(program: Program) -> str:
    found = re.search(r"(?m)^static const struct chaos_switches switches = (.*);$", program.text)
    assert found
    return found[1]


def test_the_switches_that_are_set_are_constants_of_the_text() -> None:
    said = initial(rendered("a", "b", limits=Limits(times=7), dry_run=True))
    assert said.startswith("{.probability_of_2_32 = 4294967296ULL, .times = 7ULL, ")
    assert ".nr_frames = 2ULL, .named = {[0] = 1ULL, [1] = 2ULL}, .dry_run = 1ULL" in said
    assert ".hooks = {[0] = {.value = -12LL" in said
    assert f".scope = {abi.SYSTEM_WIDE}ULL" in initial(rendered(scope=EVERYONE))


def test_the_number_of_a_controller_is_left_to_the_headers() -> None:
    fault = Fault("x", Kind.SLAB, Scope(cgroups=("/a",)))
    layout = Layout(cgroup_controller="memory", cgroup_hierarchy=5)
    program = render(fault, Placement((hook_of(fault),), (), layout))
    assert ".cgroup_hierarchy = 5ULL" in initial(program)
    assert initial(program).endswith(", .cgroup_subsystem = memory_cgrp_id}")


def test_maps_have_the_size_that_the_fault_needs() -> None:
    assert "#define SIZE_OF_WALKS 1\n" in rendered().text
    assert f"#define SIZE_OF_WALKS {abi.MAX_WALKS}\n" in rendered("a").text


def test_every_map_that_the_rules_ask_is_asked_in_bccs_own_c() -> None:
    """BCC rewrites these calls in its own text alone; a missing one is a linker's error."""
    asked = {
        (name, {"find": "lookup", "put": "update", "drop": "delete"}[call])
        for part in (*bcc_text._LOGIC, "state")
        for call, name in re.findall(
            r"\b(find|put|drop)\((\w+), ", file(f"logic/{part}.h").read_text(encoding="utf-8")
        )
    }
    made = set(re.findall(r"(\w+)_(lookup|update|delete)\(", rendered().text))
    assert made == asked | {("memory", "lookup")}


def test_the_whole_text_has_the_rules_in_it() -> None:
    text = whole(rendered("a").text)
    assert '#include "' not in text
    assert text.count("static __always_inline bool fails(") == 1


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
    assert "bpf_override_return(ctx, switches.hooks[0].value)" in program.text


def test_a_function_that_is_named_twice_is_attached_once_for_both_frames() -> None:
    program = rendered("a", "b", "a")
    entries = [entry.symbol for entry in program.entries if entry.attach is Attach.FENTRY]
    assert entries == ["a", "b"]
    assert "enter(id, position_of(ctx, this_task(), 0), 0, 0x5, matched);" in program.text
    assert "enter(id, position_of(ctx, this_task(), 0), 0, 0x2, matched);" in program.text


def test_forks_are_not_followed_system_wide() -> None:
    names = [entry.symbol for entry in rendered(scope=EVERYONE).entries]
    assert names == ["sched_process_exit", "should_failslab"]


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
    assert "return switches.hooks[0].value;" in program.text
    assert "{.value = -5LL" in program.text


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

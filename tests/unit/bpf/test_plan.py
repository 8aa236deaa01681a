"""What a fault switches, and what is attached, are functions of the fault and its placement."""

from __future__ import annotations

import ctypes
import errno
import functools
import json
import re
import socket
import subprocess
import sys
from importlib import resources
from typing import Any

import pytest

from chaoskernel.bpf import abi, plan, text
from chaoskernel.bpf.placement import Layout, Near, Placement, Probe
from chaoskernel.engine import events
from chaoskernel.fault import hook_types, hooks
from chaoskernel.fault.chain import MAX_FRAMES
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import MAX_COMMANDS, MAX_PID, Scope
from chaoskernel.fault.sites import MAX_FAILED, MAX_SITES
from chaoskernel.fault.spec import MAX_EVENTS, Fault, Limits, Mechanism, Stacks, frames_of
from chaoskernel.fault.where import MAX_PEERS, UNIX_PATH_MAX, Where
from tests.unit.placed import hook_at

ONE = Scope(pids=(42,))


@functools.cache
def types() -> list[dict[str, Any]]:
    place = str(resources.files("chaoskernel.bpf").joinpath(text.object_name()))
    command = ["bpftool", "-j", "btf", "dump", "file", place]
    dumped = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=60)
    found: list[dict[str, Any]] = json.loads(dumped.stdout)["types"]
    return found


def switched(
    *names: str, layout: Layout | None = None, scope: Scope = ONE, **parts: Any
) -> abi.Switches:
    fault = Fault("x", Kind.SLAB, scope, frames_of(names), **parts)
    frames = tuple(Probe(name, Mechanism.FMOD_RET) for name in names)
    placement = Placement((hook_at("hook"),), frames, layout or Layout())
    kernel = plan.Kernel(cgroup_subsystem=3, has_task_pt_regs=True)
    return plan.plan(fault, placement, kernel).switches


def test_every_subject_has_a_number() -> None:
    names = [name for name in vars(abi) if name.startswith("SUBJECT_")]
    assert names == [f"SUBJECT_{each.name}" for each in hook_types.Subject]


def test_what_a_kind_is_asked_for_is_told_of_each_that_the_program_knows() -> None:
    kinds = {name for name in vars(abi) if name.startswith("HOOK_") and name != "HOOK_COUNTERS"}
    assert kinds == {f"HOOK_{kind.name}" for kind in (*plan._KINDS, Kind.FUNCTION)}
    for kind in plan._KINDS:
        assert kind in events._ARGUMENTS, f"engine/events.py: _ARGUMENTS has none for {kind}"
    assert set(events._ARGUMENTS) == set(plan._KINDS)


@pytest.mark.parametrize(
    ("ours", "limit"),
    [
        (MAX_EVENTS, abi.MAX_EVENTS),
        (MAX_PEERS, abi.MAX_PEERS),
        (MAX_FRAMES, abi.MAX_FRAMES),
        (MAX_COMMANDS, abi.MAX_COMMANDS),
        (MAX_SITES, abi.MAX_SITES),
        (MAX_FAILED, abi.MAX_FAILED),
        (MAX_PID, abi.NR_IDS),
        (UNIX_PATH_MAX + 4, abi.Name.name.size),
    ],
)
def test_a_fault_may_ask_for_as_much_as_the_program_holds(ours: int, limit: int) -> None:
    assert ours == limit


@pytest.mark.parametrize(
    ("percent", "threshold"), [(100, 2**32), (50, 2**31), (1, 42949673), (0.001, 42950)]
)
def test_probability_is_a_threshold_for_32_random_bits(percent: float, threshold: int) -> None:
    assert switched(limits=Limits(probability=percent)).probability_of_2_32 == threshold


def test_every_counter_is_counted_somewhere() -> None:
    logic = text.core().split("NR_COUNTERS,", 1)[1]
    assert [name for name in abi.COUNTERS if f"COUNT_{name.upper()}" not in logic] == []


def test_the_object_has_every_entry_point_that_a_fault_may_need() -> None:
    made = {t["name"] for t in types() if t["kind"] == "FUNC"}
    of_frames, of_hooks = (
        re.findall(rf"(?m)^\t{macro}\(\d+\)(?: *\\)?$", text.core()) for macro in ("FRAME", "HOOK")
    )
    assert len(of_frames) == len(abi.Switches().named)
    assert len(of_hooks) == abi.MAX_HOOKS >= hooks.MAX_HOOKS
    scope = Scope(commands=("x",), cgroups=("/x",))
    for mechanism in (Mechanism.FMOD_RET, Mechanism.KPROBE):
        frames = tuple(Probe(f"f{n}", mechanism) for n in range(16))
        fault = Fault("x", Kind.SLAB, scope, frames_of([probe.symbol for probe in frames]))
        placement = Placement((hook_at("hook", mechanism),), frames)
        assert {entry.function for entry in plan.plan(fault, placement).entries} <= made


def test_what_a_fault_asks_for_is_switched() -> None:
    switches = switched("f", "g", "f", limits=Limits(probability=50, times=7), dry_run=True)
    assert switches.probability_of_2_32 == 2**31
    assert (switches.times, switches.dry_run, switches.hooks[0].value) == (7, 1, -errno.ENOMEM)
    assert switches.nr_frames == 3
    assert list(switches.named[:3]) == [0b101, 0b010, 0]
    assert switches.scope == 0


def test_a_scope_beyond_processes_is_switched() -> None:
    assert switched(scope=Scope(system_wide=True)).scope == 1
    layout = Layout(cgroup_controller="memory", cgroup_hierarchy=5)
    by_cgroup = switched(scope=Scope(cgroups=("/a",)), layout=layout)
    assert (by_cgroup.scope, by_cgroup.cgroup_hierarchy, by_cgroup.cgroup_subsystem) == (2, 5, 3)


def test_peers_are_addresses_of_one_length_with_the_bits_that_count() -> None:
    where = Where(peers=("10.0.0.0/8:80", "[2001:db8::/32]", ":443", "unix:@x"))
    fault = Fault("x", Kind.CONNECT, ONE, where=where)
    switches = plan.plan(fault, Placement((hook_at("hook"),), ())).switches
    assert (switches.by_peer, switches.nr_peers, switches.by_place) == (1, 3, 0)
    ipv4, ipv6, any_address = switches.peers[:3]
    assert (ipv4.family, ipv4.port) == (socket.AF_INET, 80)
    assert bytes(ipv4.address) == bytes(10) + b"\xff\xff\x0a\0\0\0"
    assert bytes(ipv4.mask) == b"\xff" * 13 + bytes(3)
    assert (ipv6.family, ipv6.port) == (socket.AF_INET6, 0)
    assert bytes(ipv6.address) == b"\x20\x01\x0d\xb8" + bytes(12)
    assert bytes(ipv6.mask) == b"\xff" * 4 + bytes(12)
    assert (any_address.family, any_address.port, any(any_address.mask)) == (0, 443, False)


def test_the_name_of_a_unix_socket_is_its_key() -> None:
    abstract, path = plan.names_of(Where(peers=(":80", "unix:@x", "unix:/run/x")))
    assert abstract == (2).to_bytes(4, sys.byteorder) + b"\0x".ljust(112, b"\0")
    assert path == bytes(4) + b"/run/x".ljust(112, b"\0")


def test_the_hook_comes_last_and_returns_before_entries() -> None:
    probes = (Probe("f", Mechanism.FMOD_RET), Probe("g.isra.0", Mechanism.KPROBE))
    fault = Fault("x", Kind.SLAB, ONE, frames_of(["f", "g"]))
    placement = Placement((hook_at("should_failslab"),), probes)
    assert [(e.function, e.symbol) for e in plan.plan(fault, placement).entries] == [
        ("track_exit", "sched_process_exit"),
        ("track_fork", "sched_process_fork"),
        ("leave_fexit_0", "f"),
        ("leave_kretprobe_1", "g.isra.0"),
        ("enter_fentry_0", "f"),
        ("enter_kprobe_1", "g.isra.0"),
        ("hook_fmod_ret_0", "should_failslab"),
    ]


def test_the_programs_of_a_function_have_the_number_of_its_first_frame() -> None:
    frames = tuple(Probe(name, Mechanism.FMOD_RET) for name in "ffg")
    placement = Placement((hook_at("hook", Mechanism.FMOD_RET),), frames)
    planned = plan.plan(Fault("x", Kind.SLAB, ONE, frames_of(list("ffg"))), placement)
    assert [entry.function for entry in planned.entries if entry.symbol in "fg"] == [
        "leave_fexit_0",
        "leave_fexit_2",
        "enter_fentry_0",
        "enter_fentry_2",
    ]
    assert list(planned.switches.named[:3]) == [0b011, 0, 0b100]


def test_what_must_not_fail_is_entered_before_its_returns_are_watched() -> None:
    names = ("p9_client_clunk", "p9_client_flush")
    placement = Placement((hook_at("hook"),), (), cleanups=names)
    found = plan.plan(Fault("x", Kind.SLAB, ONE), placement).cleanups
    assert [(entry.function, entry.symbol) for entry in found] == [
        *(("begin_cleanup", name) for name in names),
        *(("end_cleanup", name) for name in names),
    ]
    assert {entry.function for entry in found} <= {
        t["name"] for t in types() if t["kind"] == "FUNC"
    }


def test_the_memory_that_the_owner_shares_begins_with_the_state() -> None:
    (section,) = (t for t in types() if t["kind"] == "DATASEC" and t["name"] == ".bss")
    (state,) = (v for v in section["vars"] if v["offset"] == 0)
    assert state["size"] == ctypes.sizeof(abi.State)


def test_frames_are_entered_wherever_the_scope_is_the_whole_system() -> None:
    probes = (Probe("f", Mechanism.FMOD_RET), Probe("g", Mechanism.KPROBE))
    placement = Placement((hook_at("hook", Mechanism.FMOD_RET),), probes)
    fault = Fault("x", Kind.SLAB, Scope(system_wide=True), frames_of(list("fg")))
    made = {t["name"] for t in types() if t["kind"] == "FUNC"}
    entries = [entry.function for entry in plan.plan(fault, placement).entries]
    assert entries[-3:] == ["wide_enter_fentry_0", "enter_kprobe_1", "wide_hook_fmod_ret_0"]
    assert set(entries) <= made


@pytest.mark.parametrize(
    ("stacks", "switched_to"),
    [
        (Stacks.ALL, abi.STACKS_ALL),
        (Stacks.SAMPLE, abi.STACKS_SAMPLE),
        (Stacks.NONE, abi.STACKS_NONE),
    ],
)
def test_which_stacks_are_kept_is_switched(stacks: Stacks, switched_to: int) -> None:
    assert switched(stacks=stacks).stacks == switched_to


def instructions() -> str:
    place = str(resources.files("chaoskernel.bpf").joinpath(text.object_name()))
    command = ["llvm-objdump", "--disassemble", "--reloc", place]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout


def test_the_object_calls_nothing_that_allocates() -> None:
    """A frame may be entered with a lock that an allocation waits for."""
    # BPF_JMP | BPF_CALL of a helper; the object calls its own functions by BPF_PSEUDO_CALL, 85 10.
    called = set(map(int, re.findall(r"\b85 00 .*\bcall (\d+)$", instructions(), re.MULTILINE)))
    assert called
    assert called & ALLOCATING == set()
    maps = re.search(r"enum bpf_map_type \{(.*?)\};", source_of("kernel.h"), re.DOTALL)
    assert maps
    assert "STORAGE" not in maps[1]
    assert "NO_PREALLOC" not in text.core()


ALLOCATING = {107, 156, 131}
"""Of enum bpf_func_id: sk_storage_get, task_storage_get, ringbuf_reserve."""

TASK_PT_REGS = 175


def source_of(name: str) -> str:
    return text.file(name).read_text(encoding="utf-8")


def test_the_kernel_is_asked_where_a_threads_registers_are() -> None:
    """X86_FRED leaves 16 bytes above them; a kernel before 5.15 has neither."""
    assert re.search(rf"\bcall {TASK_PT_REGS}$", instructions(), re.MULTILINE)
    assert switched("f").has_task_pt_regs


@pytest.mark.parametrize(
    ("value", "number"), [("-ENOMEM", -12), ("true", 1), ("-24", -24), ("0", 0), ("1", 1)]
)
def test_a_value_in_c_is_a_number(value: str, number: int) -> None:
    assert plan.number_of(value) == number


def test_what_is_near_has_entry_points_apart_from_the_faults() -> None:
    near = tuple(
        Near(call, Probe(f"__x64_sys_{call}", mechanism))
        for call, mechanism in (("fdatasync", Mechanism.FMOD_RET), ("msync", Mechanism.KPROBE))
    )
    placement = Placement((hook_at("__x64_sys_fsync"),), (), near=near)
    made = plan.plan(Fault("x", Kind.FUNCTION, ONE, function="sys_fsync", errno=5), placement)
    assert [entry.function for entry in made.near] == ["near_fentry_0", "near_kprobe_1"]
    assert not {entry.symbol for entry in made.entries} & {entry.symbol for entry in made.near}

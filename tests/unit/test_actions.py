"""Actions: arguments become a Fault, errors become one line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
from chaoslib import substitute
from chaoslib.exceptions import ActivityFailed

from chaoskernel import actions, probes
from chaoskernel.backend.backends import sharing
from chaoskernel.backend.local import LocalBackend
from chaoskernel.errors import MissingTool
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Frame, Limits, Mechanism
from tests.unit.fake_agent import launcher
from tests.unit.fakes import FakeBackend


@pytest.fixture
def target() -> Iterator[FakeBackend]:
    target = FakeBackend()
    with sharing(target):
        yield target


def test_start_tells_what_does_not_work() -> None:
    target = LocalBackend(launcher(warnings=["stacks have no names"]))
    try:
        with sharing(target):
            started = actions.start_injection("mount", callchain=["sys_mount"], pids=[12])
    finally:
        target.stop()
    assert started["warnings"] == ["stacks have no names"]


def test_arguments_become_a_fault(target: FakeBackend) -> None:
    actions.start_injection(
        "mount",
        fault="bio",
        callchain=["sys_mount", {"funcname": "ext4_fill_super"}],
        probability=12.5,
        times=3,
        duration="1h30m",
        pids=[12, "34"],
        pid_files=["/run/a.pid"],
        mechanism="kprobe",
    )
    assert target.started == [
        Fault(
            name="mount",
            kind=Kind.BIO,
            scope=Scope(pids=(12, 34), pid_files=("/run/a.pid",)),
            callchain=(Frame("sys_mount"), Frame("ext4_fill_super")),
            limits=Limits(12.5, 3, 5400.0),
            mechanism=Mechanism.KPROBE,
        )
    ]


def test_numbers_from_the_environment_are_text_and_are_taken(target: FakeBackend) -> None:
    configuration = {"p": "12.5", "t": "3", "d": "90", "pid": "34", "e": "28"}
    actions.start_injection(
        "mount",
        fault="function",
        function="sys_mount",
        **{
            "probability": substitute("${p}", configuration, {}),
            "times": substitute("${t}", configuration, {}),
            "duration": substitute("${d}", configuration, {}),
            "pids": [substitute("${pid}", configuration, {})],
            "errno": substitute("${e}", configuration, {}),
        },
    )
    (fault,) = target.started
    assert fault.limits == Limits(12.5, 3, 90.0)
    assert fault.scope.pids == (34,)
    assert fault.errno == 28


@pytest.mark.parametrize(
    ("key", "given"), [("probability", "half"), ("times", "3 "), ("pids", ["1e3"])]
)
def test_other_text_for_a_number_names_the_remedy(
    target: FakeBackend, key: str, given: object
) -> None:
    arguments: dict[str, Any] = {"pids": [34], key: given}
    with pytest.raises(
        ActivityFailed, match=rf'^{key}: .* is not a number; it is text; .* "env_var'
    ):
        actions.start_injection("mount", **arguments)
    assert target.started == []


def test_what_is_left_out_is_a_slab_fault_that_always_hits_for_five_minutes(
    target: FakeBackend,
) -> None:
    actions.start_injection("mount", system_wide=True)
    assert target.started == [
        Fault(
            name="mount",
            kind=Kind.SLAB,
            scope=Scope(system_wide=True),
            limits=Limits(100.0, 0, 300.0),
        )
    ]


def test_c_arrives_parsed_and_the_whole_scope_with_it(target: FakeBackend) -> None:
    actions.start_injection(
        "open",
        fault="function",
        function="sys_openat",
        errno="EMFILE",
        parameters="const struct pt_regs *  regs",
        predicate="regs!=0",
        headers=["linux/ptrace.h"],
        callchain=[
            {
                "funcname": "d_alloc_parallel",
                "parameters": "struct dentry *parent, const struct qstr *name",
                "predicate": "STRCMP(name->name, 'bananas')",
            }
        ],
        commands=["mkdir"],
        cgroups=["/a.slice"],
        containers=["docker://abc"],
        dry_run=True,
    )
    assert target.started == [
        Fault(
            name="open",
            kind=Kind.FUNCTION,
            scope=Scope(commands=("mkdir",), cgroups=("/a.slice",), containers=("docker://abc",)),
            callchain=(
                Frame(
                    "d_alloc_parallel",
                    "struct dentry *parent, const struct qstr *name",
                    'STRNCMP(name->name, "bananas", 8)',
                ),
            ),
            function="sys_openat",
            errno=24,
            parameters="const struct pt_regs *regs",
            predicate="regs != 0",
            headers=("linux/ptrace.h",),
            dry_run=True,
        )
    ]


@pytest.mark.usefixtures("target")
def test_start_tells_what_was_armed() -> None:
    assert actions.start_injection("mount", callchain=["sys_mount"], pids=[12]) == {
        "name": "mount",
        "hook": "should_failslab",
        "hooks": ["should_failslab"],
        "mechanism": "fmod_ret",
        "proof": "called",
        "engine": "fake",
        "targets": [{"pid": 12, "command": "sleep"}],
        "callchain": [{"symbol": "sys_mount"}],
        "left_out": ["32-bit callers: __ia32_sys_mount"],
        "armed_at": "2026-01-01T00:00:00+00:00",
        "expires_at": "2026-01-01T00:05:00+00:00",
    }


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"fault": "disk"}, "fault: 'disk' is not one of slab, page, bio, .*"),
        ({"probability": 101}, "probability: 101 is not a percentage above 0 and up to 100; .*"),
        ({"duration": "banana"}, "duration: 'banana' is not a duration; .*"),
        ({"duration": "25h"}, "duration: 90000.0 is not a time above 0 and up to 86400 s; .*"),
        ({"times": -1}, "times: -1 is not a whole number from 0 .*"),
        ({"pids": []}, "scope: missing; name pids, pid_files, commands.*"),
        (
            {"pids": ["x"]},
            'pids: \'x\' is not a number; it is text; .* "env_var_type": "int" or .*',
        ),
        ({"pids": ["1"]}, "pids: 1 is not a process to hit: .*"),
        ({"pids": 12}, "pids: 12 is not a list; .*"),
        ({"system_wide": True}, "system_wide: not together with pids, .*"),
        ({"callchain": ["a b"]}, "callchain.funcname: 'a b' is not the name of a .*"),
        ({"callchain": [{"name": "a"}]}, "callchain.name: 'a' is not known here; .*"),
        ({"mechanism": "magic"}, "mechanism: 'magic' is not one of auto, fmod_ret, kprobe; .*"),
        ({"predicate": "1) return 0; } int x("}, "predicate: .*"),
        ({"predicate": "panic()"}, "predicate: 'panic.*' is not an expression that calls only .*"),
        (
            {"callchain": ["a", {"funcname": "b", "predicate": "x = 1"}]},
            r"callchain\[1\].predicate: 'x = 1' is not .*",
        ),
        (
            {"parameters": "int a"},
            "parameters: only for fault: function, and not for slab .got 'int a'.; .*",
        ),
        ({"fault": "function"}, "function: missing; .*"),
        ({"headers": ["../a.h"]}, "headers: '../a.h' is not a header of the kernel; .*"),
        ({"errno": "EWHAT"}, "errno: 'EWHAT' is not the name or number of an error; .*"),
        ({"errno": "-EIO"}, "errno: '-EIO' is not the name .*; write EIO, without a sign"),
        ({"errno": "+EIO"}, ".*; write EIO, without a sign"),
        ({"errno": "-5"}, "errno: '-5' is not the name .*; write 5, without a sign"),
        ({"fault": "open", "errno": -5}, "errno: -5 is not an error .*; write 5, without a sign"),
        ({"errno": "eio"}, "errno: 'eio' is not the name .*; write EIO"),
        ({"errno": " EIO"}, "errno: ' EIO' is not the name .*; write EIO"),
        ({"errno": "--"}, "errno: '--' is not the name .*; such as ENOMEM, EIO or 28"),
        ({"errno": "E"}, "errno: 'E' is not the name .*; such as .*"),
        ({"errno": 0}, "errno: 0 is not an error; leave it out for the usual one .*"),
        ({"errno": "0"}, "errno: '0' is not an error; leave it out for the usual one .*"),
        ({"fault": "open", "errno": 4096}, "errno: 4096 is not an error number up to 4095; .*"),
        ({"fault": "open", "errno": -4096}, "errno: -4096 is not an .*; ENOMEM is 12"),
        ({"fault": "open", "errno": True}, "errno: True is not an error number .*"),
        ({"fault": "open", "errno": 5.0}, "errno: 5.0 is not an error number .*"),
        ({"stand_in": "true"}, "stand_in: 'true' is not true or false; .*"),
        ({"fault": "bio", "stand_in": True}, "stand_in: not for a fault of bio; .*"),
        ({"containers": '["abc"'}, "containers: '.*' is not a JSON document; .*"),
        ({"pid_files": "${pid}"}, "pid_files: the experiment declares no pid .*; .*"),
        ({"name": "a b"}, "name: 'a b' is not a name; .*"),
        # What is absent is None or its default; nothing else passes for it.
        ({"cgroups": ""}, "cgroups: '' is not a list; .*"),
        ({"containers": {}}, "containers: {} is not a list; .*"),
        ({"callchain": False}, "callchain: False is not a list; .*"),
        ({"headers": ""}, "headers: '' is not a list; .*"),
        ({"predicate": False}, "predicate: False is not .*"),
        ({"function": []}, r"function: only for fault: function, and not for slab .got \[\].; .*"),
        ({"errno": False}, "errno: False is not an error number .*"),
        ({"errno": "9" * 5000}, "errno: '9+... is not the name or number of an error; .*"),
        ({"errno": "\u0663"}, "errno: '\u0663' is not the name or number of an error; .*"),
        ({"times": 10**5000}, "times: a int is not a whole number from 0 .*"),
        ({"pid_files": ["/\0"]}, "pid_files: .* is not a path of up to 4095 bytes; .*"),
        ({"pid_files": ["/\ud800"]}, "pid_files: .* is not a path of up to 4095 bytes; .*"),
        ({"cgroups": ["/" + "x" * 5000]}, "cgroups: .* is not a path of up to 4095 bytes; .*"),
        ({"commands": ["\u00e9" * 8]}, "commands: .* is not the name of a command, .*"),
        ({"commands": ["\ud800"]}, "commands: .* is not the name of a command, .*"),
        (
            {"commands": [f"c{n}" for n in range(257)]},
            "commands: 257 names; at most 256 are allowed; .*",
        ),
    ],
)
def test_bad_input_is_one_line_with_a_remedy_and_starts_nothing(
    target: FakeBackend, arguments: dict[str, Any], line: str
) -> None:
    with pytest.raises(ActivityFailed, match=rf"^{line}$") as failure:
        actions.start_injection(**{"name": "mount", "pids": [12], **arguments})
    assert "\n" not in str(failure.value)
    assert target.started == []


def test_a_targets_error_becomes_a_failed_activity_with_the_same_line() -> None:
    with (
        sharing(FakeBackend(refuse=MissingTool("no bcc", hint="install it"))),
        pytest.raises(ActivityFailed, match=r"^no bcc; install it$"),
    ):
        actions.start_injection("mount", pids=[12])


@pytest.mark.usefixtures("target")
def test_stop_returns_the_final_counters_of_each_fault() -> None:
    actions.start_injection("a", pids=[12])
    actions.start_injection("b", pids=[12])
    stopped = actions.stop_injection()["faults"]
    assert [fault["name"] for fault in stopped] == ["a", "b"]
    assert stopped[0]["counters"] == {"reached": 7, "matched": 5, "injected": 3}
    assert stopped[0]["reason"] == "stop"


def test_stop_stops_the_named_fault_only(target: FakeBackend) -> None:
    actions.start_injection("a", pids=[12])
    actions.start_injection("b", pids=[12])
    assert [fault["name"] for fault in actions.stop_injection("b")["faults"]] == ["b"]
    assert [record.state.value for record in target.records()] == ["active", "ended"]


@pytest.mark.usefixtures("target")
def test_nothing_to_stop_is_no_failure() -> None:
    assert actions.stop_injection() == {"faults": []}
    assert actions.stop_injection("mount") == {"faults": []}


def test_a_fault_that_stays_fails_the_stop() -> None:
    with sharing(FakeBackend(stuck=True)):
        actions.start_injection("mount", pids=[12])
        with pytest.raises(ActivityFailed, match=r"^programs are loaded still: 41, 42$"):
            actions.stop_injection()


@pytest.mark.usefixtures("target")
def test_what_activities_return_is_json_without_a_key_that_the_toolkit_compares() -> None:
    started = actions.start_injection("mount", pids=[12])
    stopped = actions.stop_injection()
    assert json.loads(json.dumps([started, stopped], allow_nan=False)) == [started, stopped]
    assert "status" not in started
    assert "status" not in stopped


def test_a_stand_in_is_asked_for_by_every_door(target: FakeBackend) -> None:
    actions.start_injection("one", pids=[12], stand_in=True)
    document = json.dumps(
        {
            "apiVersion": "chaos-mesh.org/v1alpha1",
            "kind": "KernelChaos",
            "metadata": {"name": "two"},
            "spec": {
                "mode": "one",
                "selector": {"namespaces": ["default"]},
                "failKernRequest": {"failtype": 1, "callchain": [], "probability": 100},
            },
        }
    )
    actions.apply_kernel_chaos(document, pids=[12], stand_in=True)
    actions.start_injection("three", pids=[12])
    actions.delete_kernel_chaos("two")
    assert [(fault.name, fault.stand_in) for fault in target.started] == [
        ("one", True),
        ("two", True),
        ("three", False),
    ]


def test_a_stand_in_is_labelled_in_the_result_and_nothing_else_is(
    target: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = actions.start_injection("plain", pids=[12])
    assert not {"fault", "stand_in_for"} & plain.keys()
    record = target.record("plain")
    label = {"fault": "allocation", "stand_in_for": "slab"}
    labelled = dataclasses.replace(record, armed={**record.armed, **label})
    monkeypatch.setattr(target, "record", lambda _: labelled)
    started = actions.start_injection("other", pids=[12], stand_in=True)
    assert {key: started[key] for key in label} == label
    assert labelled.to_json()["stand_in_for"] == "slab"
    assert labelled.to_json()["fault"] == "allocation"
    assert probes.counters("other")["stand_in_for"] == "slab"
    assert probes.injected("other") == record.counters["injected"]

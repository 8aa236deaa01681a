"""A Fault that exists is a Fault that makes sense, and JSON keeps all of it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.hooks import TABLE, Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.sites import Sites
from chaoskernel.fault.spec import (
    EngineName,
    Fault,
    Frame,
    Limits,
    Mechanism,
    Stacks,
    frames_of,
)

FULL = Fault(
    name="a-b.c_1",
    kind=Kind.PAGE,
    scope=Scope(
        pids=(2, 4194304),
        pid_files=("/run/a.pid",),
        commands=("sh",),
        cgroups=("/a.slice",),
        containers=("docker://a",),
    ),
    callchain=(
        Frame("sys_mount"),
        Frame("do_mount.constprop.0", "const char *name", 'STRNCMP(name, "a", 2)'),
    ),
    limits=Limits(probability=0.5, times=7, duration=1.5),
    mechanism=Mechanism.KPROBE,
    predicate="order == 1",
    headers=("linux/mm.h",),
    dry_run=True,
)
FUNCTION = Fault(
    name="f",
    kind=Kind.FUNCTION,
    scope=Scope(system_wide=True),
    function="sys_openat",
    errno=24,
    parameters="const struct pt_regs *regs",
)
SMALL = {"name": "a", "fault": "slab", "scope": {"system_wide": True}}


@pytest.mark.parametrize(
    "fault", [FULL, FUNCTION, Fault(name="a", kind=Kind.BIO, scope=Scope(system_wide=True))]
)
def test_json_and_back_is_the_same_fault(fault: Fault) -> None:
    assert Fault.from_json(json.loads(json.dumps(fault.to_json()))) == fault


def test_what_a_document_leaves_out_has_the_defaults() -> None:
    assert Fault.from_json(SMALL) == Fault(
        name="a",
        kind=Kind.SLAB,
        scope=Scope(system_wide=True),
        callchain=(),
        limits=Limits(probability=100.0, times=0, duration=300.0),
        mechanism=Mechanism.AUTO,
    )


@pytest.mark.parametrize(
    ("hook", "function"),
    [
        ("slab", "should_failslab"),
        ("page", "should_fail_alloc_page"),
        ("bio", "should_fail_bio"),
    ],
)
def test_each_fault_has_its_hook(hook: str, function: str) -> None:
    assert [each.symbol for each in TABLE[Kind(hook)].hooks] == [function]


@pytest.mark.parametrize("errno", [24, "24", "EMFILE"])
def test_an_error_is_a_name_or_a_number(errno: object) -> None:
    document = {**SMALL, "fault": "function", "function": "sys_openat", "errno": errno}
    assert Fault.from_json(document).errno == 24


@pytest.mark.parametrize("item", ["sys_mount", {"funcname": "sys_mount"}])
def test_a_frame_is_a_name_or_an_object_with_one(item: Any) -> None:
    fault = Fault.from_json({**SMALL, "callchain": [item]})
    assert fault.callchain == (Frame("sys_mount"),)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"name": ""}, "name: '' is not a name; use up to 63 letters.*"),
        ({"name": "a" * 64}, "name: 'a.* is not a name; .*"),
        ({"name": 7}, "name: 7 is not a name; .*"),
        ({"fault": "disk"}, "fault: 'disk' is not one of slab, page, bio, .*"),
        ({"fault": None}, "fault: None is not one of slab, page, bio, .*"),
        ({"mechanism": "x"}, "mechanism: 'x' is not one of auto, fmod_ret, kprobe; .*"),
        ({"callchain": "sys_mount"}, "callchain: 'sys_mount' is not a list; .*"),
        ({"callchain": [""]}, "callchain.funcname: '' is not the name of a kernel function; .*"),
        ({"callchain": ["a;b"]}, "callchain.funcname: 'a;b' is not the name of .*"),
        ({"callchain": ["f"] * 17}, "callchain: 17 frames; at most 16 are allowed; .*"),
        (
            {"callchain": [{"name": "f"}]},
            "callchain.name: 'f' is not known here; the keys are funcname, .*",
        ),
        ({"limits": {"probability": 0}}, "probability: 0 is not a percentage above 0.*"),
        ({"limits": {"probability": 101}}, "probability: 101 is not a percentage .*"),
        ({"limits": {"probability": True}}, "probability: True is not a percentage .*"),
        ({"limits": {"probability": float("nan")}}, "probability: nan is not a percentage .*"),
        ({"limits": {"times": -1}}, "times: -1 is not a whole number .*"),
        ({"limits": {"times": 1.5}}, "times: 1.5 is not a whole number .*"),
        ({"limits": {"duration": 0}}, "duration: 0 is not a time above 0 .*"),
        ({"limits": {"duration": 86401}}, "duration: 86401 is not a time .* up to 86400 s; .*"),
        ({"limits": {"after": 1}}, "limits.after: 1 is not known here; .*"),
        ({"limits": []}, r"limits: \[\] is not an object; .*"),
        ({"scope": {}}, "scope: missing; name pids, pid_files, commands.*"),
        (
            {"scope": {"system_wide": "yes"}},
            "system_wide: 'yes' is not true or false; it is text; .*",
        ),
        ({"scope": {"pids": [2], "system_wide": True}}, "system_wide: not together .*"),
        ({"scope": {"pids": [1]}}, "pids: 1 is not a process to hit: .*"),
        ({"scope": {"pids": [4194305]}}, "pids: 4194305 is not a process id .*"),
        ({"scope": {"pids": ["2"]}}, "pids: '2' is not a process id .*"),
        ({"scope": {"pids": 2}}, "pids: 2 is not a list; .*"),
        ({"scope": {"pid_files": ["a.pid"]}}, "pid_files: 'a.pid' is not an absolute path; .*"),
        ({"scope": {"cgroups": ["a"]}}, "cgroups: 'a' is not an absolute path; .*"),
        ({"scope": {"containers": [""]}}, "containers: '' is not a container's id; .*"),
        ({"scope": {"commands": ["a" * 16]}}, "commands: 'a+' is not the name of a command, .*"),
        ({"scope": {"commands": ["/bin/sh"]}}, "commands: '/bin/sh' is not the name of .*"),
        ({"scope": {"pod": []}}, r"scope.pod: \[\] is not known here; .*"),
        ({"function": "f"}, "function: only for fault: function, and not for slab .got 'f'.; .*"),
        ({"errno": 5}, "errno: only for fault: function, and not for slab .got 'EIO'.; .*"),
        ({"fault": "function"}, "function: missing; .*"),
        ({"errno": "EWHAT"}, "errno: 'EWHAT' is not the name or number of an error; .*"),
        (
            {"fault": "function", "function": "f", "errno": 4096},
            "errno: 4096 is not an error number up to 4095; .*",
        ),
        ({"predicate": "1) return 0; } int x("}, "predicate: .* is not one line of plain C .*"),
        ({"predicate": "1) || (1"}, "predicate: .* is not plain C: \\) is out of place; .*"),
        ({"predicate": "1 // "}, "predicate: '1 // ' is not one line of plain C without '//'; .*"),
        ({"predicate": "(" * 1000000}, "predicate: .* is not text of up to 2000 characters; .*"),
        ({"predicate": 'a == "'}, """predicate: .* is not one line of plain C without '"'; .*"""),
        ({"predicate": 1}, "predicate: 1 is not text; .*"),
        ({"headers": ["../a.h"]}, "headers: '../a.h' is not a header of the kernel; .*"),
        ({"headers": ["/a.h"]}, "headers: '/a.h' is not a header of the kernel; .*"),
        ({"headers": ["linux/../a.h"]}, "headers: 'linux/../a.h' is not a header .*"),
        ({"headers": ["a.h>\n#define x"]}, "headers: .* is not a header of the kernel; .*"),
        ({"headers": "linux/fs.h"}, "headers: 'linux/fs.h' is not a list; .*"),
        (
            {"callchain": [{"funcname": "f", "parameters": "int a"}, {"funcname": "f"}]},
            "callchain.parameters: '' is not the same for every frame that names f; .*",
        ),
        ({"dry_run": 1}, "dry_run: 1 is not true or false"),
        ({"failtype": 0}, "failtype: 0 is not known here; the keys are .*"),
    ],
)
def test_a_wrong_document_is_refused_with_key_value_and_what_is_allowed(
    change: dict[str, Any], line: str
) -> None:
    with pytest.raises(InvalidFault, match=rf"^{line}$"):
        Fault.from_json({**SMALL, **change})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[" * 100_000, "the fault: .* is not a document of up to 32 levels in each other; .*"),
        ('{"a":' * 33 + "1" + "}" * 33, "the fault: .* is not a document of up to 32 levels .*"),
        ("[" * 30 + "]" * 30, "the fault: .* is not an object; .*"),
        ("x", "the fault: 'x' is not a JSON document; .*"),
        ('{"a": "' + "[" * 100 + '"}', "a: .* is not known here; .*"),
        (" " * (16 << 20) + "1", "the fault: .* is not a document of up to 16777216 bytes and .*"),
        ("[" + "[]," * 349_000 + "[]]", "the fault: .* is not a document .* and 262144 values"),
        ('\\"' * (8 << 20), "the fault: .* is not a JSON document; .*"),
        ("9" * 100_000, "the fault: .* is not a JSON document; .*"),
        (
            json.dumps({**SMALL, "callchain": ["f"] * 5_000}),
            "callchain: 5000 frames; at most 16 are allowed; .*",
        ),
        (
            json.dumps({**SMALL, "headers": ["a.h"] * 5_000}),
            "headers: 5000 headers; at most 32 are allowed; .*",
        ),
        (
            json.dumps({**SMALL, "scope": {"pids": [0] * 70_000}}),
            "pids: 70000 items; at most 65536 are allowed",
        ),
    ],
)
def test_a_document_is_bounded_before_it_is_read(text: str, line: str) -> None:
    begun = time.process_time()
    with pytest.raises(InvalidFault, match=rf"^{line}$"):
        Assignment.from_text(text)
    assert time.process_time() - begun < 0.5


def test_a_document_is_the_fault_that_it_was() -> None:
    assert Assignment.from_text(json.dumps(FULL.to_json())).fault == FULL


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("parameters", "const struct pt_regs (*regs)[bpf_send_signal(9)]"),
        ("parameters", "_Atomic(int) d"),
        ("predicate", '-TRACE_EVENT_FLAGS("x\r, 1) 1 + bpf_send_signal(9);\r//", 1)'),
        ("predicate", 'STRNCMP(name, "\r", 1)'),
        ("predicate", 'STRNCMP(name, u8"abc", 6)'),
        ("predicate", "bpf_send_signal(9)"),
        ("predicate", "(bpf_send_signal) (9)"),
        ("predicate", "state.deadline = 0"),
        ("predicate", "BPF_CORE_READ_INTO(&state.deadline, a, b)"),
    ],
)
def test_the_agent_has_no_need_of_a_parser_to_refuse_what_does_more(key: str, text: str) -> None:
    function = {**SMALL, "fault": "function", "function": "sys_mount", "parameters": "int *regs"}
    with pytest.raises(InvalidFault, match=rf"^{key}: "):
        Fault.from_json({**function, key: text})
    frame = {"funcname": "f", "parameters": "int *regs", key: text}
    with pytest.raises(InvalidFault, match=rf"^callchain.{key}: "):
        Fault.from_json({**SMALL, "callchain": [frame]})


@pytest.mark.parametrize("document", [None, [], "a", 7])
def test_a_document_that_is_no_object_is_refused(document: object) -> None:
    with pytest.raises(InvalidFault, match=r"^the fault: .* is not an object; "):
        Fault.from_json(document)


def test_sixteen_frames_are_allowed() -> None:
    fault = Fault.from_json({**SMALL, "callchain": ["f"] * 16})
    assert len(fault.callchain) == 16


def test_a_rehearsal_is_a_dry_run() -> None:
    scope = Scope(system_wide=True)
    rehearsal = Fault("a", Kind.SLAB, scope, engine=EngineName.NONE, dry_run=True)
    assert Fault.from_json(rehearsal.to_json()) == rehearsal
    with pytest.raises(InvalidFault, match="^engine: nothing fails with this engine .*dry_run"):
        Fault("a", Kind.SLAB, scope, engine=EngineName.NONE)


@pytest.mark.parametrize("identity", [5, None, float("inf"), [], {}])
def test_a_containers_id_is_text(identity: object) -> None:
    pod = {"namespace": "a", "name": "b", "uid": "0c8b4b9e", "containers": [{"name": "c"}]}
    document = {**SMALL, "scope": {"pods": [pod]}}
    assert Fault.from_json(document).scope.pods[0].containers[0].id == ""
    pod["containers"] = [{"name": "c", "id": identity}]
    with pytest.raises(
        InvalidFault, match=r"pods\.containers\.id: .* is not the id of a container"
    ):
        Fault.from_json(document)


POD = {"namespace": "shop", "name": "db-0", "uid": "1234abcd"}
WRITE = {"name": "a", "fault": "write", "where": {"paths": ["/data"]}}


@pytest.mark.parametrize(
    "beside", [{"pids": [42]}, {"pid_files": ["/p"]}, {"commands": ["sh"]}, {"cgroups": ["/a"]}]
)
@pytest.mark.parametrize("inside", [{"containers": ["0123456789ab"]}, {"pods": [POD]}])
def test_a_path_of_containers_and_of_other_processes_is_refused(
    beside: dict[str, Any], inside: dict[str, Any]
) -> None:
    with pytest.raises(InvalidFault, match="^paths: not for containers tog"):
        Fault.from_json({**WRITE, "scope": {**beside, **inside}})
    for scope in (beside, inside):
        assert Fault.from_json({**WRITE, "scope": scope}).where.paths == ("/data",)
    everywhere = {**WRITE, "where": {"any_file": True}, "scope": {**beside, **inside}}
    assert Fault.from_json(everywhere).where.any_file


def test_devices_are_refused_for_pods_and_not_for_containers() -> None:
    devices = {**WRITE, "where": {"devices": ["/dev/sda"]}}
    with pytest.raises(InvalidFault, match="^devices: not for pods"):
        Fault.from_json({**devices, "scope": {"pods": [POD]}})
    inside = Fault.from_json({**devices, "scope": {"containers": ["0123456789ab"]}})
    assert inside.where.devices == ("/dev/sda",)


SOMETIMES = Limits(probability=50)


@pytest.mark.parametrize(
    ("fault", "held"),
    [
        (Fault("x", Kind.SLAB, Scope(pids=(42,))), True),
        (Fault("x", Kind.PAGE, Scope(pids=(42,)), limits=Limits(times=3)), True),
        (Fault("x", Kind.FUNCTION, Scope(pids=(42,)), function="should_failslab"), True),
        (Fault("x", Kind.PAGE, Scope(pids=(42,)), limits=SOMETIMES), False),
        (Fault("x", Kind.PAGE, Scope(pids=(42,)), page_faults=True), False),
        (Fault("x", Kind.PAGE, Scope(pids=(42,)), frames_of(["f"])), False),
        (Fault("x", Kind.PAGE, Scope(pids=(42,)), sites=Sites()), False),
        (Fault("x", Kind.MEMORY, Scope(pids=(42,))), False),
    ],
)
def test_page_faults_are_held_back_where_they_would_be_tried_for_ever(
    fault: Fault, held: bool
) -> None:
    assert fault.holds_page_faults is held
    assert Fault.from_json(fault.to_json()) == fault


@pytest.mark.parametrize("stacks", Stacks)
def test_which_stacks_are_kept_is_said_to_the_agent(stacks: Stacks) -> None:
    document = Fault("x", Kind.SLAB, Scope(pids=(42,)), stacks=stacks).to_json()
    assert document["stacks"] == stacks.value
    assert Fault.from_json(document).stacks is stacks
    del document["stacks"]  # of an earlier version
    assert Fault.from_json(document).stacks is Stacks.SAMPLE


def test_stacks_have_names() -> None:
    document = Fault("x", Kind.SLAB, Scope(pids=(42,))).to_json()
    with pytest.raises(InvalidFault, match="stacks: 'some' is not .*sample"):
        Fault.from_json({**document, "stacks": "some"})


def test_page_faults_are_of_memory() -> None:
    with pytest.raises(InvalidFault, match="page_faults: not for a fault of fork; .*slab and"):
        Fault("x", Kind.FORK, Scope(pids=(42,)), page_faults=True)

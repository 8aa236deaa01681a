"""A fault with predicates gets an object that has them; what does not compile is named."""

from __future__ import annotations

import dataclasses
import json
import platform
import re
from pathlib import Path

import pytest

from chaoskernel.compiler import clang, objects
from chaoskernel.errors import InvalidFault, MissingTool, UnsupportedKernel
from chaoskernel.fault import syntax
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.checks import unpacked
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault
from chaoskernel.fault.where import Where
from chaoskernel.k8s.job import _MAX_FAULT_BYTES

LOOK_UP = "struct dentry *parent, const struct qstr *name"

with_types = pytest.mark.skipif(
    not Path("/sys/kernel/btf/vmlinux").exists(), reason="this kernel does not have its types"
)


def look_up(
    predicate: str, parameters: str = LOOK_UP, engine: EngineName = EngineName.AUTO
) -> Fault:
    frame = {"funcname": "d_alloc_parallel", "parameters": parameters, "predicate": predicate}
    return Fault(
        "x",
        Kind.SLAB,
        Scope(pids=(42,)),
        callchain=syntax.frames(["sys_openat", frame]),
        engine=engine,
    )


@pytest.mark.parametrize(
    ("predicate", "read"),
    [
        ("order == 1", "order == 1"),
        ("p->a.b == 1", "READ((p)->a.b) == 1"),
        ("p->a->b == 1", "READ((READ((p)->a))->b) == 1"),
        ("*p == 1", "(READ((*(p)))) == 1"),
        ("p->names[2] == 1", "READ((READ((p)->names))[2]) == 1"),
        ("(&p->a.b) == q", "((&(p)->a.b)) == q"),
        ("-p->a < 0", "(-READ((p)->a)) < 0"),
        ("sizeof(p->name) == order", "(sizeof(p->name)) == order"),
    ],
)
def test_what_lies_in_memory_is_read(predicate: str, read: str) -> None:
    fault = look_up(predicate, "struct x *p, void *q, int order")
    assert f"return {read}; /* callchain[1].predicate */" in objects.source(fault)


def test_only_the_frames_that_ask_are_asked() -> None:
    text = objects.source(look_up("parent != 0"))
    assert "frame_0_matches" not in text
    assert "if (named & 0x2 && !frame_1_matches(arguments))" in text
    assert "struct dentry *parent = (__typeof__(parent))__arguments[0];" in text
    assert "*name" not in text


def test_a_parameter_that_no_program_sees_is_named() -> None:
    parameters = ", ".join(f"int p{n}" for n in range(8))
    with pytest.raises(InvalidFault, match=r"^callchain\[1\].predicate: p7 is parameter 8"):
        objects.source(look_up("p7 == 1", parameters))


def test_a_fault_without_predicates_needs_no_compiler() -> None:
    fault = dataclasses.replace(look_up(""), engine=EngineName.CORE)
    assert objects.assigned(fault) == Assignment(fault)


def test_one_for_bcc_is_left_to_it() -> None:
    fault = look_up("parent != 0", engine=EngineName.BCC)
    assert objects.assigned(fault) == Assignment(fault)


def test_without_a_compiler_the_choice_is_bcc_and_core_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    fault = look_up("parent != 0")
    assert objects.assigned(fault) == Assignment(fault)
    with pytest.raises(MissingTool, match="no clang and no bpftool; apt-get install clang"):
        objects.assigned(look_up("parent != 0", engine=EngineName.CORE))


@pytest.mark.slow
@with_types
def test_an_object_travels_in_the_document() -> None:
    given = objects.assigned(look_up('STRNCMP(name->name, "bananas", 7)'))
    assert unpacked(given.object).startswith(b"\x7fELF")
    assert Assignment.from_json(given.to_json()) == given


@pytest.mark.slow
@with_types
@pytest.mark.parametrize("frames", [1, 8])
def test_an_object_leaves_room_in_a_job(frames: int) -> None:
    """The largest variable of a process is the limit; the rest is for the pods of a node."""
    chain = [
        {"funcname": f"f{n}", "predicate": f"a == {n}", "parameters": "int a"}
        for n in range(frames)
    ]
    fault = dataclasses.replace(look_up("", engine=EngineName.CORE), callchain=syntax.frames(chain))
    assert len(json.dumps(objects.assigned(fault).to_json())) < _MAX_FAULT_BYTES - 10_000


def test_an_object_has_the_programs_of_its_fault_alone() -> None:
    text = objects.source(look_up("parent != 0"))
    assert "#define FRAMES FRAME(0) FRAME(1)\n" in text
    assert "#define HOOKS HOOK(0)\n" in text
    both = objects.source(dataclasses.replace(look_up("parent != 0"), stand_in=True))
    assert "#define HOOKS" not in both  # inject.bpf.c has all of them then


@pytest.mark.slow
@with_types
def test_what_is_accepted_compiles() -> None:
    many = " || ".join(f"p->d_flags == {n}" for n in range(40))
    frames = [
        ("value->len == arguments->len", "const struct qstr *value, const struct qstr *arguments"),
        ("*value == 0", "struct dentry **value"),
        ("a[1] == 2 && sizeof(a[0]) == 4", "int a[16]"),
        ("p->comm[0] == 'a' && sizeof(p->comm) == 16", "struct task_struct *p"),
        ("f != 0 && (enum pid_type) order == PIDTYPE_PID", "int (*f)(int, void *), int order"),
        (many, "struct dentry *p"),
    ]
    chain = [
        {"funcname": f"f{n}", "predicate": predicate, "parameters": parameters}
        for n, (predicate, parameters) in enumerate(frames)
    ]
    fault = dataclasses.replace(look_up("", engine=EngineName.CORE), callchain=syntax.frames(chain))
    assert unpacked(objects.assigned(fault).object)


@pytest.mark.slow
@with_types
@pytest.mark.parametrize(
    ("predicate", "said"),
    [
        ("parent->d_nmae != 0", "no member named 'd_nmae' in 'struct dentry'"),
        ("S_ISDIR(parent)", "S_ISDIR"),
        ("parent->d_op == nothing", "undeclared identifier 'nothing'"),
    ],
)
def test_what_does_not_compile_is_shown_at_its_place(predicate: str, said: str) -> None:
    with pytest.raises(InvalidFault, match=r"^callchain\[1\].predicate: ") as refused:
        objects.assigned(look_up(predicate))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


REGISTERS_OF_ARM64 = """
struct user_pt_regs { __u64 regs[31]; __u64 sp; __u64 pc; __u64 pstate; };
struct pt_regs { struct user_pt_regs user_regs; u64 orig_x0; s32 syscallno; };
"""


@pytest.mark.slow
@with_types
def test_predicates_compile_for_the_architecture_of_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """On its types: what this machine calls registers does not compile there."""
    asked = []
    whole = re.sub(
        r"(?ms)^struct pt_regs \{\n.*?^\};\n", REGISTERS_OF_ARM64, objects._vmlinux_h(), count=1
    )
    assert REGISTERS_OF_ARM64 in whole
    own = objects._vmlinux_h()

    def text(types: bytes) -> str:
        asked.append(types)
        return whole if types else own

    monkeypatch.setattr(objects, "_vmlinux_h", text)
    fault = look_up('STRNCMP(name->name, "bananas", 7)', engine=EngineName.CORE)
    of_registers = look_up(
        "regs->user_regs.pc != 0", "struct pt_regs *regs", engine=EngineName.CORE
    )
    node = objects.Target("aarch64", lambda: b"its types")
    for each in (fault, of_registers):
        given = objects.assigned(each, node)
        assert (given.machine, unpacked(given.object)[:4]) == ("aarch64", b"\x7fELF")
    with pytest.raises(InvalidFault, match="no member named 'user_regs'"):
        objects.assigned(of_registers)
    assert asked == [b"its types", b"its types", b""]
    assert objects.assigned(fault).machine == platform.machine() == "x86_64"


def test_an_architecture_whose_registers_are_unknown_is_left_to_bcc(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def types() -> bytes:
        raise AssertionError("asked for in vain")

    node = objects.Target("riscv64", types)
    fault = look_up("parent != 0")
    assert objects.assigned(fault, node) == Assignment(fault)
    with pytest.raises(UnsupportedKernel, match="does not know the registers of riscv64"):
        objects.assigned(look_up("parent != 0", engine=EngineName.CORE), node)


def test_types_of_a_node_stand_in_for_those_that_this_kernel_lacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(clang, "NEEDED", ())
    monkeypatch.setattr(objects, "_HELPERS", tmp_path)
    monkeypatch.setattr(objects, "_TYPES", tmp_path / "absent")
    objects.require_tools(own_types=False)
    with pytest.raises(MissingTool, match="there is no .*/absent"):
        objects.require_tools()


@pytest.mark.slow
@with_types
def test_predicates_compile_for_a_kernel_whose_unix_sockets_are_a_module(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With CONFIG_UNIX=m those types are the module's, and not in the kernel's own."""
    whole = objects._vmlinux_h()
    types = r"(?ms)^struct unix_(?:sock|address) \{\n.*?^\};\n"
    fewer, removed = re.subn(types, "", whole)
    assert removed == 2
    monkeypatch.setattr(objects, "_vmlinux_h", lambda _: fewer)
    peers = Where(peers=("unix:/run/x.sock",))
    frame = {"funcname": "sys_connect", "parameters": "int fd", "predicate": "fd == 3"}
    chain = syntax.frames([frame])
    fault = Fault("x", Kind.CONNECT, Scope(pids=(42,)), callchain=chain, where=peers)
    assert objects.compiled(fault).startswith(b"\x7fELF")

"""What the engine core does around libbpf: errors become one line, and the choice is told."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

import pytest

from chaoskernel.engine import choice, core, libbpf
from chaoskernel.engine.bcc import BccEngine
from chaoskernel.engine.core import CoreEngine
from chaoskernel.engine.tables import MapCalls, Table
from chaoskernel.errors import (
    EngineError,
    InvalidFault,
    MissingHook,
    MissingTool,
    UnsupportedKernel,
)
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.checks import packed
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault
from chaoskernel.fault.where import Where
from chaoskernel.kernel import bpf, btf

OBJECT = packed(b"\x7fELF and so on")


def fault_of(predicate: str = "", engine: EngineName = EngineName.AUTO) -> Fault:
    return Fault("x", Kind.PAGE, Scope(pids=(42,)), predicate=predicate, engine=engine)


def test_the_verifiers_word_on_the_users_c_is_shown_there() -> None:
    log = (
        "libbpf: prog 'hook_fmod_ret': BPF program load failed: Permission denied\n"
        "libbpf: prog 'hook_fmod_ret': -- BEGIN PROG LOAD LOG --\n"
        "; return READ((*(order))) == 1; /* predicate */\n7: r1 = *(u64 *)(r2)\n"
        "R2 invalid mem access 'scalar'\nprocessed 12 insns (limit 1000000)\n"
        "-- END PROG LOAD LOG --\nlibbpf: failed to load object\n"
    )
    with (
        pytest.raises(InvalidFault, match="^predicate: .* is not accepted by the kernel"),
        core._users_errors(fault_of("order == 1"), compiled=True),
    ):
        raise libbpf.Refused("the kernel refused: Permission denied", log)


def test_another_refusal_is_one_line() -> None:
    log = "R2 invalid mem access 'scalar'\nprocessed 12 insns (limit 1000000)\n"
    with (
        pytest.raises(EngineError, match="^the kernel refused: no: R2 invalid mem .*r.$"),
        core._users_errors(fault_of(), compiled=False),
    ):
        raise libbpf.Refused("the kernel refused: no", log)


def test_predicates_take_an_object_that_has_them() -> None:
    with pytest.raises(MissingTool, match="predicates, and no object"):
        CoreEngine().arm(fault_of("order == 1"), progress=print)


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(libbpf.Refused, match="object cannot be read"):
        libbpf.Object(b"nothing")


@pytest.mark.parametrize(
    ("given", "serves", "engine"),
    [
        (Assignment(fault_of()), True, CoreEngine),
        (Assignment(fault_of()), False, BccEngine),
        (Assignment(fault_of("order == 1")), True, BccEngine),
        (Assignment(fault_of("order == 1"), OBJECT), True, CoreEngine),
        (Assignment(fault_of(engine=EngineName.CORE)), False, CoreEngine),
        (Assignment(fault_of(engine=EngineName.BCC)), True, BccEngine),
    ],
)
def test_core_is_chosen_where_it_serves(
    monkeypatch: pytest.MonkeyPatch, given: Assignment, serves: bool, engine: type[object]
) -> None:
    def require() -> None:
        if not serves:
            raise UnsupportedKernel("no types", needs="them")

    monkeypatch.setattr(choice, "require_core", require)
    assert isinstance(choice.engine_for(given.fault, given.object), engine)


def test_an_installation_without_the_object_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(core, "object_name", lambda: "inject.none.bpf.o")
    with pytest.raises(MissingTool, match="has no inject.*bpf.o; .*apt-get install clang"):
        core.shipped_object()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE])
def test_an_object_that_cannot_be_read_is_not_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def read(_: Path) -> bytes:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "read_bytes", read)
    with pytest.raises(EngineError, match=f"inject.*bpf.o cannot be read: {os.strerror(number)}"):
        core.shipped_object()
    # The other engine is no remedy for that.
    with pytest.raises(EngineError, match="cannot be read"):
        choice.engine_for(fault_of())


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [
        (fault_of(), "CONFIG_DEBUG_INFO_BTF has them; the engine bcc needs none"),
        (
            Fault("x", Kind.FSYNC, Scope(pids=(42,)), where=Where(any_file=True)),
            "CONFIG_DEBUG_INFO_BTF has them; the engine bcc, which needs none, is not enough when "
            "the fault is fsync",
        ),
    ],
    ids=["page", "fsync"],
)
def test_bcc_is_a_remedy_where_it_is_enough(
    monkeypatch: pytest.MonkeyPatch, fault: Fault, remedy: str
) -> None:
    monkeypatch.setattr(btf, "present", lambda: False)
    with pytest.raises(UnsupportedKernel) as refused:
        CoreEngine().arm(fault, progress=print)
    assert str(refused.value) == f"this kernel does not have its types; {remedy}"


def test_a_kernel_without_what_core_builds_on_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(btf, "present", lambda: True)
    monkeypatch.setattr(libbpf, "require_library", lambda: None)
    monkeypatch.setattr(bpf, "has_fetching_atomics", lambda: False)
    with pytest.raises(UnsupportedKernel, match="in one step; those of Linux 5.12 can"):
        core.require_core()
    monkeypatch.setattr(bpf, "has_fetching_atomics", lambda: True)
    core.require_core()


def test_a_library_that_cannot_be_loaded_is_reported_with_the_linkers_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    libbpf._library.cache_clear()
    monkeypatch.setattr(libbpf, "_LIBRARY", "libbpf.so.none")
    with pytest.raises(MissingTool, match=r"cannot be loaded: libbpf.so.none: .*No such file"):
        libbpf.require_library()


CALLS = MapCalls(*4 * [lambda *_: 0])


def test_a_text_key_fills_its_place() -> None:
    table = Table(CALLS, -1, ctypes.c_char * 16, ctypes.c_uint8)
    assert bytes(table._in_c(b"mount")) == b"mount".ljust(16, b"\0")


def test_a_host_that_does_not_tell_its_cpus_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nobody_knows() -> int:
        return -errno.ENOENT

    monkeypatch.setattr(libbpf._library().functions, "libbpf_num_possible_cpus", nobody_knows)
    with pytest.raises(UnsupportedKernel, match=r"^the number of CPUs is not known \(No such file"):
        libbpf.possible_cpus()


@pytest.mark.parametrize("engine", [EngineName.AUTO, EngineName.CORE], ids=str)
def test_a_hook_that_the_kernel_lets_nobody_override_is_missing(engine: EngineName) -> None:
    log = (
        "libbpf: prog 'hook_fmod_ret_0': BPF program load failed: Invalid argument\n"
        "should_failslab() is not modifiable\nprocessed 0 insns (limit 1000000)\n"
    )
    with (
        pytest.raises(MissingHook, match="^should_failslab cannot .*CONFIG_FUNCTION_ERROR_INJEC"),
        core._users_errors(fault_of(engine=engine), compiled=False),
    ):
        raise libbpf.Refused("the kernel refused: Invalid argument", log)

"""What the engine core does around libbpf: errors become one line, and the choice is told."""

from __future__ import annotations

import ctypes
import errno

import pytest

from chaoskernel.bpf import inject
from chaoskernel.checks import packed
from chaoskernel.engine import choice, core, libbpf
from chaoskernel.engine.bcc import BccEngine
from chaoskernel.engine.core import CoreEngine
from chaoskernel.errors import EngineError, InvalidFault, MissingTool, UnsupportedKernel
from chaoskernel.scope import Scope
from chaoskernel.spec import EngineName, Fault, Hook

OBJECT = packed(b"\x7fELF and so on")


def fault_of(predicate: str = "", image: str = "", engine: EngineName = EngineName.AUTO) -> Fault:
    scope = Scope(pids=(42,))
    return Fault("x", Hook.PAGE, scope, predicate=predicate, object=image, engine=engine)


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
        core._users_errors(fault_of("order == 1", OBJECT)),
    ):
        raise libbpf.Refused("the kernel refused: Permission denied", log)


def test_another_refusal_is_one_line() -> None:
    log = "R2 invalid mem access 'scalar'\nprocessed 12 insns (limit 1000000)\n"
    with (
        pytest.raises(EngineError, match="^the kernel refused: no: R2 invalid mem .*r.$"),
        core._users_errors(fault_of()),
    ):
        raise libbpf.Refused("the kernel refused: no", log)


def test_predicates_take_an_object_that_has_them() -> None:
    with pytest.raises(MissingTool, match="predicates, and no object"):
        CoreEngine().arm(fault_of("order == 1"), progress=print)


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(libbpf.Refused, match="object cannot be read"):
        libbpf.Object(b"nothing")


@pytest.mark.parametrize(
    ("fault", "serves", "engine"),
    [
        (fault_of(), True, CoreEngine),
        (fault_of(), False, BccEngine),
        (fault_of("order == 1"), True, BccEngine),
        (fault_of("order == 1", OBJECT), True, CoreEngine),
        (fault_of(engine=EngineName.CORE), False, CoreEngine),
        (fault_of(engine=EngineName.BCC), True, BccEngine),
    ],
)
def test_core_is_chosen_where_it_serves(
    monkeypatch: pytest.MonkeyPatch, fault: Fault, serves: bool, engine: type[object]
) -> None:
    def require() -> None:
        if not serves:
            raise UnsupportedKernel("no types", needs="them")

    monkeypatch.setattr(choice, "require_core", require)
    assert isinstance(choice.engine_for(fault), engine)


def test_an_installation_without_the_object_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inject, "OBJECT", "inject.none.bpf.o")
    with pytest.raises(MissingTool, match="has no inject.*bpf.o; .*apt-get install clang"):
        core.shipped_object()


def test_a_text_key_fills_its_place() -> None:
    table = libbpf.Table(-1, ctypes.c_char * 16, ctypes.c_uint8)
    assert bytes(table._in_c(b"mount")) == b"mount".ljust(16, b"\0")


def test_a_host_that_does_not_tell_its_cpus_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nobody_knows() -> int:
        return -errno.ENOENT

    monkeypatch.setattr(libbpf._library().functions, "libbpf_num_possible_cpus", nobody_knows)
    with pytest.raises(UnsupportedKernel, match=r"^the number of CPUs is not known \(No such file"):
        libbpf.possible_cpus()

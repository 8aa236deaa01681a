"""What the BCC engine does around bcc: its errors become one line."""

from __future__ import annotations

import builtins
import os
from typing import Any

import pytest

from chaoskernel.bpf.bcc_text import Program
from chaoskernel.bpf.placement import Layout, Placement
from chaoskernel.engine import bcc
from chaoskernel.errors import EngineError, InvalidFault, MissingTool, UnsupportedKernel
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault, Mechanism
from chaoskernel.kernel import addresses, bpf
from chaoskernel.kernel.addresses import Hidden
from tests.unit.placed import hook_at


def written_and_raised(text: bytes, error: BaseException) -> None:
    with bcc._bcc_errors("the program does not compile"):
        os.write(2, text)
        raise error


def test_a_compilers_error_is_shown_by_its_own_line() -> None:
    output = b"/virtual/main.c:7:1: error: use of undeclared identifier 'x'\nmore\n1 error\n"
    with pytest.raises(EngineError) as caught:
        written_and_raised(output, Exception("Failed to compile BPF module <text>"))
    assert str(caught.value) == ("the program does not compile: use of undeclared identifier 'x'")


PROGRAM = Program(
    "int x;\n\tif (nam == 1) /* callchain[2].predicate */\n",
    (),
    {"callchain[2].predicate": "nam == 1"},
)


@pytest.mark.parametrize(
    "output",
    [
        b"/virtual/main.c:2:6: error: use of undeclared identifier 'nam'\n",
        b"; \tif (nam == 1) /* callchain[2].predicate */\n7: r1 = *(u64 *)(r2)\nR2 invalid\n",
    ],
)
def test_an_error_in_the_users_own_c_is_shown_there(output: bytes) -> None:
    with (
        pytest.raises(InvalidFault, match=r"^callchain\[2\].predicate: 'nam == 1' is not accepted"),
        bcc._bcc_errors("the program does not compile", PROGRAM),
    ):
        os.write(2, output)
        raise Exception("Failed")


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (ModuleNotFoundError("No module named 'bcc'"), "this Python has no bcc; apt-get install"),
        (OSError("libbcc.so.0: cannot open"), "bcc cannot be loaded: libbcc.so.0: cannot open; "),
        (PermissionError(13, "Permission denied"), "bcc cannot be loaded: .*Permission denied; "),
    ],
)
def test_a_bcc_that_is_not_there_is_told_from_one_that_is_broken(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, line: str
) -> None:
    importing = builtins.__import__

    def fail(name: str, *rest: Any) -> object:
        if name == "bcc":
            raise failure
        return importing(name, *rest)

    monkeypatch.setattr(bcc, "_require_guard", lambda *_: None)
    monkeypatch.setattr(bcc, "render", lambda *_: PROGRAM)
    monkeypatch.setattr(bcc, "on_this_kernel", lambda placement: placement)
    monkeypatch.setattr("builtins.__import__", fail)
    opened = bcc._compiled(FAULT, PLACEMENT)
    with pytest.raises(MissingTool, match=f"^{line}"):
        opened.__enter__()


def test_a_kernel_without_fetching_atomics_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bpf, "has_fetching_atomics", lambda: False)
    with pytest.raises(UnsupportedKernel, match="in one step; those of Linux 5.12 can"):
        bcc.BccEngine().arm(FAULT, progress=print)


FAULT = Fault("x", Kind.SLAB, Scope(pids=(42,)))
PLACEMENT = Placement((hook_at("should_failslab", Mechanism.FMOD_RET),), ())


def test_the_verifiers_last_word_is_shown() -> None:
    output = b"0: R1=ctx\nR2 invalid mem access 'inv'\nprocessed 12 insns (limit 1000000)\n"
    with pytest.raises(EngineError, match="R2 invalid mem access 'inv'$"):
        written_and_raised(output, Exception("Failed to load"))


@pytest.mark.parametrize(
    "output",
    [
        b"chdir(/lib/modules/x/build): No such file\nUnable to find kernel headers. Try\n",
        b"chdir(/lib/modules/x/build): No such file or directory\n",
    ],
)
def test_absent_headers_are_a_lack_of_the_kernel_and_not_of_the_program(output: bytes) -> None:
    with pytest.raises(UnsupportedKernel, match="apt-get install linux-headers-"):
        written_and_raised(output, Exception("Failed to compile"))


@pytest.mark.parametrize(
    ("hidden", "said"),
    [
        (Hidden("the addresses are hidden", "sysctl shows them"), "hidden; sysctl shows them"),
        (None, "does not list kmem_cache; CONFIG_KALLSYMS_ALL lists it"),
    ],
)
def test_slab_requests_do_not_fail_without_the_guard_of_the_cache_of_caches(
    monkeypatch: pytest.MonkeyPatch, hidden: Hidden | None, said: str
) -> None:
    monkeypatch.setattr(addresses, "hidden", lambda: hidden)
    scope = Scope(pids=(42,))
    with pytest.raises(UnsupportedKernel, match=said):
        bcc._require_guard(Fault("x", Kind.SLAB, scope), Layout())
    bcc._require_guard(Fault("x", Kind.SLAB, scope), Layout(bootstrap_cache=1))
    bcc._require_guard(Fault("x", Kind.PAGE, scope), Layout())


def test_no_address_of_the_kernels_is_shown_of_a_compilers_output() -> None:
    output = b"18: (18) r1 = 0xffff88810a4b5c00\nprocessed 12 insns\n"
    with pytest.raises(EngineError, match=r"r1 = \[unknown\]$"):
        written_and_raised(output, Exception("Failed to load"))


def test_an_exit_from_within_bcc_is_an_error_like_any_other() -> None:
    with pytest.raises(EngineError, match="the program does not compile: 3"):
        written_and_raised(b"", SystemExit(3))

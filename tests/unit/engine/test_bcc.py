"""What the BCC engine does around bcc: its errors become one line."""

from __future__ import annotations

import os

import pytest

from chaoskernel.bpf.program import Layout, Program
from chaoskernel.engine import bcc
from chaoskernel.errors import EngineError, InvalidFault, UnsupportedKernel
from chaoskernel.kernel import addresses
from chaoskernel.kernel.addresses import Hidden
from chaoskernel.scope import Scope
from chaoskernel.spec import Fault, Hook


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
        bcc._require_guard(Fault("x", Hook.SLAB, scope), Layout())
    bcc._require_guard(Fault("x", Hook.SLAB, scope), Layout(bootstrap_cache=1))
    bcc._require_guard(Fault("x", Hook.PAGE, scope), Layout())


def test_no_address_of_the_kernels_is_shown_of_a_compilers_output() -> None:
    output = b"18: (18) r1 = 0xffff88810a4b5c00\nprocessed 12 insns\n"
    with pytest.raises(EngineError, match=r"r1 = \[unknown\]$"):
        written_and_raised(output, Exception("Failed to load"))


def test_an_exit_from_within_bcc_is_an_error_like_any_other() -> None:
    with pytest.raises(EngineError, match="the program does not compile: 3"):
        written_and_raised(b"", SystemExit(3))

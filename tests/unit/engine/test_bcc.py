"""What the BCC engine does around bcc: errors in one line, and who is listed in the program."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from chaoskernel.engine import bcc
from chaoskernel.errors import EngineError, UnsupportedKernel
from chaoskernel.kernel import processes
from chaoskernel.spec import Scope


class FakeModule:
    """A program's list of processes."""

    def __init__(self) -> None:
        self.listed: set[int] = set()

    def list_processes(self, pids: set[int]) -> None:
        self.listed |= pids

    def unlist_processes(self, pids: set[int]) -> None:
        self.listed -= pids


@pytest.fixture
def family() -> Iterator[int]:
    """A process with a child."""
    with subprocess.Popen(
        ["sh", "-c", "sleep 60 & echo ready; wait"],
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"ready\n"
        yield parent.pid
        for pid in processes.with_descendants([parent.pid], processes.snapshot()):
            os.kill(pid, 9)


def test_a_process_is_listed_with_its_descendants(family: int) -> None:
    module = FakeModule()
    (root,) = bcc._seed(module, Scope(pids=(family,)))  # type: ignore[arg-type]
    assert (root.pid, root.command) == (family, "sh")
    assert module.listed == processes.with_descendants([family], processes.snapshot())
    assert len(module.listed) == 2


def test_system_wide_this_process_and_its_ancestors_are_listed_as_exempt() -> None:
    module = FakeModule()
    assert bcc._seed(module, Scope(system_wide=True)) == ()  # type: ignore[arg-type]
    assert {os.getpid(), os.getppid()} <= module.listed


def written_and_raised(text: bytes, error: BaseException) -> None:
    with bcc._bcc_errors("the program does not compile"):
        os.write(2, text)
        raise error


def test_a_compilers_error_is_shown_by_its_own_line() -> None:
    output = b"/virtual/main.c:7:1: error: use of undeclared identifier 'x'\nmore\n1 error\n"
    with pytest.raises(EngineError) as caught:
        written_and_raised(output, Exception("Failed to compile BPF module <text>"))
    assert str(caught.value) == ("the program does not compile: use of undeclared identifier 'x'")


def test_the_verifiers_last_word_is_shown() -> None:
    output = b"0: R1=ctx\nR2 invalid mem access 'inv'\nprocessed 12 insns (limit 1000000)\n"
    with pytest.raises(EngineError, match="R2 invalid mem access 'inv'$"):
        written_and_raised(output, Exception("Failed to load"))


def test_absent_headers_are_a_lack_of_the_kernel_and_not_of_the_program() -> None:
    output = b"chdir(/lib/modules/x/build): No such file\nUnable to find kernel headers. Try\n"
    with pytest.raises(UnsupportedKernel, match="apt-get install linux-headers-"):
        written_and_raised(output, Exception("Failed to compile"))


def test_an_exit_from_within_bcc_is_an_error_like_any_other() -> None:
    with pytest.raises(EngineError, match="the program does not compile: 3"):
        written_and_raised(b"", SystemExit(3))

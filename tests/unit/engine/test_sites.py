"""What an owner reads of sites, and what it asks for: the memory is a test's own."""

from __future__ import annotations

import ctypes

import pytest

from chaoskernel.bpf import abi
from chaoskernel.engine.sites import Memory, SiteTable, entered
from chaoskernel.errors import InvalidFault
from chaoskernel.fault.sites import MAX_HITS, MAX_SITES, By, Hits, Phase, Sites
from chaoskernel.fault.text_place import Place
from chaoskernel.kernel.text import PAGES, Function, Text

BASE = 0xFFFFFFFF81000000
FUNCTIONS = ("hook", "alloc", "do_syscall_64", "__x64_sys_openat")
TEXT = Text([Function(BASE + (n << 8), name, "") for n, name in enumerate(FUNCTIONS)], "x86_64")
KEY = 0x00AB54C0DE_123456


class Program:
    """The memory that a program shares, and what it would do there."""

    def __init__(self) -> None:
        self.memory = Memory(abi.State(), (abi.Site * MAX_SITES)(), (ctypes.c_uint64 * PAGES)())
        self.lost = 0
        self.table = SiteTable(
            self.memory,
            TEXT,
            hooks=["hook"],
            error=12,
            lost=lambda: self.lost,
            describe=lambda event: {"size": int(event.arguments[1])},
        )

    def meets(self, key: int, slot: int, *, complete: bool = True, has_frame: bool = True) -> None:
        """Meet a request.

        :param has_frame: the kernel calls the trampoline of the hook, and does not jump there.
        """
        record = self.memory.records[slot]
        if not record.key:
            hook = [BASE + 0x10] if has_frame else []
            stack = [BASE - 0x100000, *hook, BASE + 0x120, BASE + 0x310, BASE + 0x208]
            record.key, record.complete = key, complete
            record.first = abi.Event(
                pid=42, command=b"sh", stack_size=8 * len(stack), arguments=(0, 64)
            )
            record.first.stack[: len(stack)] = stack
            self.memory.state.described += 1
        record.count += 1
        record.phases |= self.memory.state.phase


@pytest.fixture
def program() -> Program:
    return Program()


def test_a_site_is_read_once_it_is_complete(program: Program) -> None:
    program.meets(KEY, 5, complete=False)
    assert program.table.known() == []
    program.memory.records[5].complete = 1
    program.memory.state.described += 1
    ((site, count),) = program.table.known()
    assert (site.id, site.hook, site.error, site.command, count) == (
        "00ab54c0de",
        "hook",
        12,
        "sh",
        1,
    )
    assert [str(place) for place in site.places] == [
        "hook+0x10",
        "alloc+0x20",
        "__x64_sys_openat+0x10",
        "do_syscall_64+0x8",
    ]
    assert (site.by, site.call, site.arguments) == (By.SYSTEM_CALL, "openat", {"size": 64})


def test_a_hook_without_a_frame_is_where_its_stack_begins(program: Program) -> None:
    program.meets(KEY, 5, has_frame=False)
    ((site, _),) = program.table.known()
    assert [str(place) for place in site.places[:2]] == ["hook+0x0", "alloc+0x20"]
    assert site.call == "openat"


def test_a_run_counts_anew_and_reports_a_site_once(program: Program) -> None:
    program.table.begin(Sites())
    program.meets(KEY, 5)
    program.lost = 2
    first = program.table.end()
    assert (first.counts, len(first.new), first.lost) == ({"00ab54c0de": 1}, 1, 2)
    program.table.begin(Sites())
    assert program.table.end() == ({}, (), (), 0, {})
    program.table.begin(Sites())
    program.meets(KEY, 5)
    program.meets(KEY, 5)
    last = program.table.end()
    assert (last.counts, last.new) == ({"00ab54c0de": 2}, ())


def test_a_run_counts_what_is_new_or_was_to_fail_where_no_more_is_asked_for(
    program: Program,
) -> None:
    other, new = KEY + (1 << 30), KEY + (2 << 30)
    for number, key in enumerate((KEY, other)):
        program.meets(key, number)
    program.table.begin(Sites())
    program.table.set_phase(Phase.START)
    program.meets(KEY, 0)
    program.meets(other, 1)
    assert len(program.table.end().counts) == 2
    program.memory.records[0].entry = 257
    program.table.begin(Sites(("00ab54c0de",), every=False))
    assert (program.memory.state.sparing, program.memory.state.failed[0].entry) == (1, 257)
    program.table.set_phase(Phase.STOP)
    for number, key in enumerate((KEY, other, new)):
        program.meets(key, number)
    run = program.table.end()
    assert run.counts == {"00ab54c0de": 1, f"{new >> 24:010x}": 1}
    assert [site.id for site in run.new] == [f"{new >> 24:010x}"]
    assert run.phases["00ab54c0de"] == (Phase.START, Phase.STOP)


@pytest.mark.parametrize("why", ["asked for", "of several entries", "unknown"])
def test_no_request_is_spared_where_every_site_is_counted_or_an_entry_is_not_known(
    program: Program, why: str
) -> None:
    program.meets(KEY, 0)
    program.memory.records[0].others = why == "of several entries"
    site = "ffffffffff" if why == "unknown" else "00ab54c0de"
    program.table.begin(Sites((site,), every=why == "asked for"))
    assert program.memory.state.sparing == 0


@pytest.mark.parametrize(
    ("hits", "turns"),
    [(Hits.ONCE, (1, 1)), (Hits.PERSISTENT, (1, MAX_HITS)), (7, (7, 7))],
)
def test_what_fails_is_a_store(program: Program, hits: Hits | int, turns: tuple[int, int]) -> None:
    program.table.begin(Sites(("00ab54c0de",), hits, (Phase.STOP,)))
    state = program.memory.state
    first, second = state.failed
    assert (first.site, first.first, first.last) == (KEY >> 24, *turns)
    assert second.first == 0
    program.table.set_phase(Phase.WORK)
    assert not state.phase & state.phases
    program.table.set_phase(Phase.STOP)
    assert state.phase & state.phases
    first.injected = 3
    assert program.table.end().failed == (3,)
    assert first.first == 0


def test_exec_is_no_phase_that_anybody_says(program: Program) -> None:
    with pytest.raises(InvalidFault, match="the stack shows it"):
        program.table.set_phase(Phase.EXEC)


@pytest.mark.parametrize(
    ("functions", "entry_point", "expected"),
    [
        (["hook", "ksys_read", "do_syscall_64"], "__x64_sys_read", (By.SYSTEM_CALL, "read")),
        (["hook", "do_syscall_64"], "__x64_sys_newfstat", (By.SYSTEM_CALL, "fstat")),
        (["hook", "bprm_execve.part.0", "do_syscall_64"], "", (By.SYSTEM_CALL, "execve")),
        (["hook", "exc_page_fault", "asm_exc_page_fault"], "", (By.PAGE_FAULT, "")),
        (
            ["hook", "exc_page_fault", "copy_to_user", "__x64_sys_read", "do_syscall_64"],
            "",
            (By.SYSTEM_CALL, "read"),
        ),
        (["hook", "get_signal", "do_syscall_64"], "__x64_sys_read", (By.SIGNAL, "")),
        (["hook", "do_fast_syscall_32"], "__x64_sys_read", (By.SYSTEM_CALL, "")),
        (["hook", "ret_from_fork"], "", (By.OTHER, "")),
        ([], "", (By.OTHER, "")),
    ],
)
def test_the_stack_tells_how_the_kernel_was_entered(
    functions: list[str], entry_point: str, expected: tuple[By, str]
) -> None:
    assert entered([Place(name, 1) for name in functions], entry_point) == expected

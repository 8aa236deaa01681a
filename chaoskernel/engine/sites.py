"""The sites that a fault's program records, and which of them fail.

The program keeps them in memory that its owner shares: another site fails after a store.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from chaoskernel.bpf import abi
from chaoskernel.bpf.abi import IN_SCOPE
from chaoskernel.engine import stack
from chaoskernel.engine.seed import Tables
from chaoskernel.errors import InvalidFault, NotPermitted
from chaoskernel.fault.sites import MAX_HITS, By, Hits, Phase, Run, Site, Sites
from chaoskernel.fault.text_place import Place
from chaoskernel.kernel import addresses, processes, symbols
from chaoskernel.kernel.text import Text

_PHASES = (Phase.START, Phase.WORK, Phase.STOP)
"""Bits of the program's phases; exec is told by the stack."""

_ALL = (1 << len(_PHASES)) - 1
_MODULES = Path("/proc/modules")

_CALLS = ("do_syscall_64", "do_syscall_x64", "el0_svc", "do_el0_svc", "do_fast_syscall_32")
_PAGE_FAULTS = ("exc_page_fault", "do_page_fault", "do_mem_abort", "do_translation_fault")
_SIGNALS = ("arch_do_signal_or_restart", "do_signal", "get_signal")
_OTHER_NUMBERS = ("do_fast_syscall_32", "do_int80_syscall_32", "do_int80_emulation")
"""Functions through which programs of 32 bits come, whose system calls have other numbers."""

_PREFIXES = ("__x64_sys_", "__arm64_sys_", "__se_sys_", "__do_sys_", "ksys_")
_EXEC = ("bprm_execve", "do_execveat_common", "begin_new_exec")
"""Beginnings of functions that are below execve alone."""

_PORTABLE = {"newstat": "stat", "newlstat": "lstat", "newfstat": "fstat", "newfstatat": "fstatat"}
"""System calls whose manual page has another name than their entry point."""


class Memory(NamedTuple):
    """What a program and its owner share of sites.

    :param state: the head of an abi.State.
    :param records: MAX_SITES of abi.Site.
    :param text: the program's table of pages.
    """

    state: Any
    records: Any
    text: Any


class SiteTable:
    """The sites of one fault.

    :param text: the running kernel's.
    :param hooks: the symbols of the fault's hooks.
    :param error: the number of the error that requests end with.
    :param lost: returns the program's counter `unlisted_sites`.
    :param describe: returns what a request asked for, of its event.
    """

    def __init__(
        self,
        memory: Memory,
        text: Text,
        hooks: Sequence[str],
        error: int,
        lost: Callable[[], int],
        describe: Callable[[abi.Event], Mapping[str, Any]],
    ) -> None:
        self._memory = memory
        self._hooks, self._error = hooks, error
        self._lost, self._describe = lost, describe
        self._lost_before = 0
        # Each a number of every record; reading one makes no object of the record.
        self._keys, self._counts, self._phases = (
            _numbers(memory.records, field) for field in ("key", "count", "phases")
        )
        self._known: dict[int, Site] = {}  # by the slot of its record
        self._slots: dict[str, int] = {}  # by the id of a site
        self._described = 0  # as of the last look for new ones
        self._before: dict[int, int] = {}  # how often each was met, by its slot
        self._asked = Sites()
        self._told: set[str] = set()
        self._modules: bytes | None = None
        self._text = text
        self.look()

    def look(self) -> None:
        """Take in the modules that were loaded since the last look."""
        now = _names(_MODULES.read_bytes()) if _MODULES.exists() else b""
        if now == self._modules:
            return
        if self._modules is not None:
            symbols.running.cache_clear()
            self._text = running_text()
        self._modules = now
        table = self._memory.text
        for begin, numbers in self._text.numbers():
            table[begin : begin + len(numbers)] = list(numbers)

    def begin(self, sites: Sites) -> None:
        """Count anew, and say which sites fail from now on."""
        self.look()
        self._fail(Sites())
        self._find_new()
        self._before = {slot: self._counts[slot] for slot in self._known}
        self._lost_before = self._lost()
        self._asked = sites
        self._fail(sites)

    def set_phase(self, phase: Phase) -> None:
        """Say what the program is doing from now on.

        :raises InvalidFault: nobody can say that.
        """
        if phase not in _PHASES:
            raise InvalidFault(
                "phase", phase.value, problem="not to be set", hint="the stack shows it"
            )
        self._memory.state.phase = 1 << _PHASES.index(phase)

    def end(self) -> Run:
        """Let nothing fail from now on; return what was seen since `begin`."""
        failed = tuple(int(each.injected) for each in self._memory.state.failed if each.first)
        self._fail(Sites())
        self._find_new()
        counts: dict[str, int] = {}
        phases: dict[str, tuple[Phase, ...]] = {}
        new: list[Site] = []
        for slot, site in self._known.items():
            is_new = site.id not in self._told
            if not (self._asked.every or is_new or site.id in self._asked.fail):
                continue
            if count := self._count(slot):
                counts[site.id] = counts.get(site.id, 0) + count
                bits = self._phases[slot]
                phases[site.id] = tuple(
                    phase for number, phase in enumerate(_PHASES) if bits >> number & 1
                )
                if is_new:
                    self._told.add(site.id)
                    new.append(site)
        return Run(counts, tuple(new), failed, self._lost() - self._lost_before, phases)

    def known(self) -> list[tuple[Site, int]]:
        """Return all sites that were met, and how often each was since `begin`."""
        self._find_new()
        return [(site, self._count(slot)) for slot, site in self._known.items()]

    def _count(self, slot: int) -> int:
        return int(self._counts[slot]) - self._before.get(slot, 0)

    def _fail(self, sites: Sites) -> None:
        state = self._memory.state
        first, last = _turns(sites.hits)
        state.sparing = 0
        for each in state.failed:  # a site is looked at before its turns: 0 is nobody's
            each.first = 0
        asked = [phase for phase in sites.phases if phase in _PHASES]
        state.phases = sum(1 << _PHASES.index(phase) for phase in asked) or _ALL
        entries = list(map(self._entry, sites.fail))
        for each, site, entry in zip(state.failed, sites.fail, entries, strict=False):
            each.requests = each.injected = 0
            each.site, each.last = int(site, 16), last
            each.entry = entry or 0
            each.first = first
        state.sparing = not sites.every and None not in entries

    def _find_new(self) -> None:
        """Take in the sites that were met for the first time, if any were."""
        described = int(self._memory.state.described)
        if described == self._described:
            return
        self._described = described
        for slot, key in enumerate(self._keys.tolist()):
            if key and slot not in self._known:
                record = self._memory.records[slot]
                if record.complete:
                    site = self._known[slot] = self._site(record)
                    self._slots[site.id] = slot

    def _entry(self, site: str) -> int | None:
        """Return by which entry requests come to a site; None where that is not known for sure."""
        slot = self._slots.get(site)
        if slot is None:
            return None
        record = self._memory.records[slot]
        return None if record.others else int(record.entry)

    def _site(self, record: abi.Site) -> Site:
        event = record.first
        hook = int(event.hook)
        places = tuple(filter(None, stack.of_event(event, self._text, self._hooks[hook])))
        by, call = entered(places, self._text.name(int(record.call)) if record.call else "")
        return Site(
            id=f"{int(record.key) >> abi.SITE_SHIFT:010x}",
            hook=self._hooks[hook],
            by=by,
            call=call,
            places=places,
            truncated=stack.depth_of(event) == abi.MAX_STACK,
            error=self._error,
            pid=int(event.pid),
            command=event.command.decode(errors="replace"),
            arguments=self._describe(event),
        )


class Recorder:
    """The sites of a fault in force, and who comes into its scope; see `engine.Recorder`."""

    def __init__(self, table: SiteTable, tables: Tables) -> None:
        self._table = table
        self._tables = tables
        self._exempt: set[int] = set()
        self._final: list[tuple[Site, int]] | None = None

    def begin(self, pids: Sequence[int], sites: Sites) -> None:
        """See `engine.Recorder.begin`."""
        if pids and not self._exempt:
            self._exempt = processes.own_line(processes.snapshot())
        for pid in pids:
            if pid in self._exempt or not Path(f"/proc/{pid}").exists():
                raise InvalidFault(
                    "pids", pid, "a process that may be hit", hint="hold it until it is in scope"
                )
        self._table.begin(sites)
        self._tables.list_processes(pids, IN_SCOPE)

    def set_phase(self, phase: Phase) -> None:
        """See `engine.Recorder.set_phase`."""
        self._table.set_phase(phase)

    def end(self) -> Run:
        """See `engine.Recorder.end`."""
        return self._table.end()

    def known(self) -> Sequence[tuple[Site, int]]:
        """See `engine.Recorder.known`."""
        return self._table.known() if self._final is None else self._final

    def close(self) -> None:
        """Keep what is known: the program's memory goes."""
        self._final = self._table.known()


def entered(places: Sequence[Place], entry_point: str) -> tuple[By, str]:
    """Return how the kernel was entered, and by which system call.

    :param places: the stack, the innermost first.
    :param entry_point: the function that the number of the system call stands for.
    """
    functions = [place.function for place in places]
    if any(name in functions for name in _SIGNALS):
        return By.SIGNAL, ""
    if any(name in functions for name in _CALLS):
        if any(name in functions for name in _OTHER_NUMBERS):
            entry_point = ""
        return By.SYSTEM_CALL, _call(functions, entry_point)
    if any(name in functions for name in _PAGE_FAULTS):
        return By.PAGE_FAULT, ""
    return By.OTHER, ""


def _call(functions: Sequence[str], entry_point: str) -> str:
    if any(name.startswith(_EXEC) for name in functions):
        return "execve"  # its registers are the new program's by now, as a rule
    for name in (*reversed(functions), entry_point):
        for prefix in _PREFIXES:
            if name.startswith(prefix):
                bare = name.removeprefix(prefix)
                return _PORTABLE.get(bare, bare)
    return ""


def _numbers(records: Any, field: str) -> memoryview:
    """Return one field of all records, each 64 bits."""
    size = ctypes.sizeof(ctypes.c_uint64)
    first = getattr(abi.Site, field).offset // size
    return memoryview(records).cast("B").cast("Q")[first :: ctypes.sizeof(abi.Site) // size]


def _turns(hits: Hits | int) -> tuple[int, int]:
    """Return the first and the last request at a site that fail; the first one is 1."""
    if hits is Hits.PERSISTENT:
        return 1, MAX_HITS
    return (1, 1) if hits is Hits.ONCE else (int(hits), int(hits))


def _names(modules: bytes) -> bytes:
    """Return the names of the modules, without how often each is used."""
    return b"\n".join(line.split(b" ", 1)[0] for line in modules.splitlines())


def running_text() -> Text:
    """Return the text of the running kernel.

    :raises NotPermitted: it hides its addresses.
    """
    if hidden := addresses.hidden():
        raise NotPermitted(f"sites cannot be told apart: {hidden.why}", hint=hidden.remedy)
    return symbols.running().kernel_text

"""`chaoskernel run`: inject without an experiment, and show what comes of it."""

from __future__ import annotations

import contextlib
import datetime
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from chaoskernel.backend.local import LocalBackend
from chaoskernel.backend.outcome import top_stacks, why_nothing
from chaoskernel.backend.record import Backend, Record, State
from chaoskernel.chaosmesh.applied import Applied, InjectionSettings
from chaoskernel.chaosmesh.registry import Registry
from chaoskernel.cli import ending, logger, options
from chaoskernel.cli.pictures import sparkline, stack_tree
from chaoskernel.cli.render import program_text
from chaoskernel.cli.sites import sites_json, sites_table
from chaoskernel.cli.statuses import Status
from chaoskernel.cli.summary import fault_table
from chaoskernel.cli.wanted import Wanted, from_options
from chaoskernel.errors import AgentError
from chaoskernel.fault.asked import in_words
from chaoskernel.fault.sites import Site, most_first
from chaoskernel.fault.spec import EngineName
from chaoskernel.telemetry import sink
from chaoskernel.terminal import document, shown

_LOOK_SECONDS = 0.5
_PICTURED = 2
"""How many faults have pictures: a terminal has few lines."""
_LATEST = 64
"""Of how many injections the stacks are shown meanwhile."""
_COUNTERS = ("reached", "matched", "injected")

Show = Callable[[Sequence[Record]], None]


@click.command(name="run")
@options.describing_a_fault
@click.option("-v", "--verbose", is_flag=True, help="Print the program first.")
@click.option("--json", "as_json", is_flag=True, help="Print the faults as JSON when they end.")
def command(verbose: bool, as_json: bool, **given: Any) -> None:
    """Inject without an experiment, show the counters, and end.

    It ends on Ctrl-C, after the duration, or when --times is used up.  A schedule goes on
    until Ctrl-C.  Exit status 4 says that nothing was injected.

    \b
    Examples:
      chaoskernel run -f kernelchaos.yaml --pid 4711
      chaoskernel run --spec 'sys_mount()' --pid 4711 --times 3
      chaoskernel run --spec 'mount_subtree() => btrfs_mount()' --command mount
      chaoskernel run --fault page --spec '(order == 1)' -P 0.5 --cgroup /app.slice
      chaoskernel run --fault bio -I linux/blkdev.h --pid-file /run/db.pid \\
        --spec '(bio->bi_iter.bi_sector == 128)' --dry-run
    """
    wanted = from_options(given)
    if verbose:
        for fault in wanted.faults():
            click.echo(shown(program_text(fault), lines=True), err=as_json)
    target = LocalBackend()
    try:
        with ending.by_signals(_leave), contextlib.ExitStack() as undo:
            undo.enter_context(sink.telling(target.records))
            undo.callback(target.stop)
            over = _started(wanted, target, undo)
            with _shown(target, as_json) as show, contextlib.suppress(KeyboardInterrupt):
                _watch(target, over, show)
    except SystemExit:  # by a signal: timeout(1) sends one
        _tell(target, as_json)
        raise
    if not _tell(target, as_json):
        sys.exit(Status.NOTHING_INJECTED)


def _started(wanted: Wanted, target: Backend, undo: contextlib.ExitStack) -> Callable[[], bool]:
    """Start what was asked for; return what tells whether it is over."""
    for fault in wanted.faults():
        click.echo(shown(f"{fault.name}: {in_words(fault)}; starting"), err=True)
    if wanted.fault:
        name = target.start(wanted.fault).fault.name
        return lambda: target.record(name).state is not State.ACTIVE
    settings = InjectionSettings(
        lambda: wanted.scope, wanted.mechanism, wanted.engine, wanted.dry_run, wanted.stand_in
    )
    objects = [Applied(chaos, settings, target) for chaos in wanted.documents]
    registry = Registry()
    undo.callback(registry.delete_all)
    registry.apply(objects)
    return lambda: all(each.is_over() for each in objects)


def _watch(target: Backend, over: Callable[[], bool], show: Show) -> None:
    while not over():
        for record in target.records():
            if record.state is State.ACTIVE:
                _look_at(record, target)
        show(target.records())
        time.sleep(_LOOK_SECONDS)


def _look_at(record: Record, target: Backend) -> None:
    """Ask for the counters of a fault, and end it when its times are used up."""
    name, times = record.fault.name, record.fault.limits.times
    with contextlib.suppress(AgentError):  # a silent one ends by itself, or by Ctrl-C
        target.counters(name)
    if times and target.record(name).hits >= times:
        target.stop(name)


@contextlib.contextmanager
def _shown(target: Backend, as_json: bool) -> Iterator[Show]:
    """Yield what shows the faults as they are: a live table, or a line when one changes."""
    console = Console()
    if as_json:
        yield lambda _: None
    elif console.is_terminal:
        with Live(console=console, transient=True) as live:
            yield lambda records: live.update(_live(target, records))
    else:
        yield _Lines().show


class _Lines:
    """Prints a line for each fault whose counters have changed."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def show(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.fault.name not in self._said:
                click.echo(shown(f"{record.fault.name}: in force{_end_of(record)}"))
            line = ", ".join(f"{key} {record.counters.get(key, 0)}" for key in _COUNTERS)
            if self._said.get(record.fault.name) != line:
                self._said[record.fault.name] = line
                click.echo(shown(f"{record.fault.name}: {line}"))


def _end_of(record: Record) -> str:
    """Return when a fault ends by itself, and what ends it before."""
    times = record.fault.limits.times
    used_up = f", or after {times} injections" if times else ""
    try:
        end = datetime.datetime.fromisoformat(str(record.armed.get("expires_at"))).astimezone()
    except ValueError:
        return "; Ctrl-C ends it"
    return f" until {end:%H:%M:%S}{used_up}; Ctrl-C ends it"


def _live(target: Backend, records: Sequence[Record]) -> Group:
    """Return what is shown meanwhile: the faults, and the sites of those that record any."""
    active = [record for record in records if record.state is State.ACTIVE]
    found = [_sites_of(target, record) for record in active]
    pictures = [each for record in active[:_PICTURED] for each in _pictures(target, record)]
    tables = [sites_table(each, most=20) for each in found if each]
    return Group(_live_table(records), *pictures, *tables)


def _pictures(target: Backend, record: Record) -> Iterator[RenderableType]:
    """Yield the injections of a fault over time, and the stacks of the latest ones."""
    if not record.hits:
        return
    if over_time := sparkline(record.series):
        yield over_time
    with contextlib.suppress(AgentError):
        events = target.events(record.fault.name, _LATEST)["events"]
        if tree := stack_tree(top_stacks(events)):
            yield tree


def _sites_of(target: Backend, record: Record) -> list[tuple[Site, int]]:
    """Return the sites of a fault, those that were met most first; none where it records none."""
    if record.fault.sites is None:
        return []
    with contextlib.suppress(AgentError):
        return most_first(target.sites(record.fault.name))
    return []


def _live_table(records: Sequence[Record]) -> Table:
    ends = dict.fromkeys(_end_of(record).strip("; ") for record in records)
    table = Table("fault", "hook", "state", *_COUNTERS, caption="; ".join(ends))
    for record in records:
        numbers = (str(record.counters.get(key, 0)) for key in _COUNTERS)
        name, hook = record.fault.name, str(record.armed.get("hook", ""))
        cells = (name, hook, record.state.value, *numbers)
        table.add_row(*(Text(shown(cell)) for cell in cells))
    return table


def _tell(target: Backend, as_json: bool) -> bool:
    """Print what was injected; return False when nothing was, which is said aloud."""
    records = target.records()
    sites = {record.fault.name: _sites_of(target, record) for record in records}
    documents = [{**record.to_json(), **sites_json(sites[record.fault.name])} for record in records]
    if as_json:
        click.echo(document(documents))
    else:
        for each, record in zip(documents, records, strict=True):
            Console().print(fault_table(each))
            if found := sites[record.fault.name]:
                Console().print(sites_table(found))
    engines = {record.fault.engine for record in records}
    if any(record.fault.sites and not record.fault.sites.fail for record in records):
        return True  # nothing was to be injected
    if engines != {EngineName.NONE} and not any(record.hits for record in records):
        why = "; ".join(dict.fromkeys(why_nothing(record.counters) for record in records))
        logger.warning("nothing was injected: %s", why or "nothing was started")
        return False
    return True


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(Status.SIGNALLED + number)

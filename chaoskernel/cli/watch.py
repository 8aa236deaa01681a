"""`chaoskernel watch`: which faults processes would meet, how often, and at which file or peer."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Column, Table
from rich.text import Text

from chaoskernel.cli import options
from chaoskernel.cli.wanted import SCOPES, scope_of
from chaoskernel.engine.watching import BIO, Seen, Watch, watched
from chaoskernel.errors import MissingTool
from chaoskernel.fault import syntax
from chaoskernel.fault.families import kinds_of
from chaoskernel.fault.hooks import TABLE, Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.kernel import report
from chaoskernel.terminal import document, shown

_SECONDS = 10.0
_LONGEST_NAME = 15
_LOOK_SECONDS = 0.5
_SHOWN = 3
_MARKS = {True: "yes", False: "no", None: "?"}
_EVERYBODY = (
    "slab, page and allocation fail what nearly every call asks for; "
    "`chaoskernel faults NAME` describes a fault"
)


@dataclasses.dataclass
class Met:
    """A fault that processes would meet.

    :param calls: how often, by system call.
    :param files: by file.
    :param peers: by peer.
    """

    calls: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    files: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    peers: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    @property
    def count(self) -> int:
        """How many calls."""
        return self.calls.total()


@click.command(name="watch", context_settings={"ignore_unknown_options": False})
@options.in_scope
@click.option(
    "--for",
    "duration",
    default="",
    metavar="TIME",
    help="How long to watch, such as 30s; Ctrl-C ends it earlier.  [default: 10s, or until the "
    "command ends]",
)
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
def command(duration: str, as_json: bool, words: tuple[str, ...], **given: Any) -> None:
    """Show which faults processes would meet, how often, and at which file or peer.

    Nothing fails.  It counts the system calls of the processes and of their descendants, and
    shows for each fault the arguments of start_injection that would hit them.  A COMMAND is
    watched itself, or, where processes are named, is what they are watched during.

    \b
    Examples:
      sudo chaoskernel watch --pid 4711 --for 30s
      sudo chaoskernel watch --command postgres --json
      sudo chaoskernel watch -- sqlite3 /tmp/x.db "create table t (a)"
    """
    if not words and not _said(given):
        raise click.UsageError(f"what to watch is missing; give {SCOPES}, or a COMMAND after --")
    seconds = syntax.seconds(duration, key="--for") if duration else 0.0
    with contextlib.ExitStack() as undo:
        started = undo.enter_context(_held(words)) if words else None
        own = bool(started) and not _said(given)
        if started and own:
            given["pids"] = (started.pid,)
        watch = undo.enter_context(watched(scope_of(given)))
        began = time.monotonic()
        ended = _until(seconds or (0.0 if started else _SECONDS), started)
        if started:
            started.release()
        _wait(watch, ended, undo, quiet=as_json or bool(words))
        took = time.monotonic() - began
        calls, lost = watch.calls(), watch.lost()
    scope = {"commands": [started.name]} if started and own else _said(given)
    found = _described(met(calls), scope, _usable())
    if as_json:
        click.echo(document({"seconds": round(took, 1), "faults": found, "unlisted": lost}))
        return
    _print(found, calls, took, lost)


def met(calls: Sequence[Seen]) -> dict[Kind, Met]:
    """Return the faults that calls would meet, in the order of the table of faults."""
    found: dict[Kind, Met] = {}
    for seen in calls:
        kinds = (Kind.BIO,) if seen.call == BIO else kinds_of(seen.call, on_socket=seen.on_socket)
        for kind in kinds:
            each = found.setdefault(kind, Met())
            each.calls[seen.call] += seen.times
            if seen.file:
                each.files[seen.file] += seen.times
            if seen.peer:
                each.peers[seen.peer] += seen.times
    return {kind: found[kind] for kind in TABLE if kind in found}


def arguments(kind: Kind, each: Met, scope: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of start_injection that would hit what was seen."""
    row = TABLE[kind]
    said: dict[str, Any] = {"name": f"{kind.value}-fails", "fault": kind.value}
    if row.errors:
        said["errno"] = row.errors[0]
    said |= scope
    if row.takes_paths and each.files and (row.needs_place or kind is not Kind.EXEC):
        said["paths"] = [next(iter(_most(each.files)))]
    elif row.needs_place:
        said["any_file"] = True
    elif row.takes_peers and each.peers:
        said["peers"] = [next(iter(_most(each.peers)))]
    return said


class _Started:
    """A command that waits to be let go."""

    def __init__(self, words: Sequence[str]) -> None:
        reader, self._writer = os.pipe()
        try:
            self.process = subprocess.Popen(
                ["sh", "-c", f'read -r _ <&{reader}; exec {reader}<&-; exec "$@"', "sh", *words],
                pass_fds=(reader,),
            )
        finally:
            os.close(reader)
        self.pid = self.process.pid
        self.name = Path(words[0]).name[:_LONGEST_NAME]

    def release(self) -> None:
        """Let it go."""
        os.write(self._writer, b"\n")

    def end(self) -> None:
        """End it, if it runs."""
        os.close(self._writer)
        if self.process.poll() is None:
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)
            return
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def _held(words: Sequence[str]) -> Iterator[_Started]:
    try:
        started = _Started(words)
    except OSError as refused:
        raise MissingTool(f"{words[0]} cannot be started", hint=str(refused)) from refused
    try:
        yield started
    finally:
        started.end()


def _until(seconds: float, started: _Started | None) -> Callable[[], bool]:
    """Return what tells that the time is over, or that the command has ended."""
    end = time.monotonic() + seconds if seconds else float("inf")

    def over() -> bool:
        ended = started is not None and started.process.poll() is not None
        return ended or time.monotonic() >= end

    return over


def _wait(
    watch: Watch, over: Callable[[], bool], undo: contextlib.ExitStack, *, quiet: bool
) -> None:
    """Look now and then, until it is over or Ctrl-C comes; paths are read while processes live."""
    console = Console(stderr=True)
    live = None
    if console.is_terminal and not quiet:
        live = undo.enter_context(Live(console=console, transient=True))
    elif not quiet:
        click.echo("watching; Ctrl-C ends it", err=True)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while not over():
            calls = watch.calls()
            if live:
                total = sum(seen.times for seen in calls)
                kinds = ", ".join(f"{kind} {each.count}" for kind, each in met(calls).items())
                live.update(Text(shown(f"{total} calls; {kinds}; Ctrl-C ends it")))
            time.sleep(_LOOK_SECONDS if len(calls) else _LOOK_SECONDS / 5)
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
    watch.calls()


def _said(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scope by the arguments of start_injection."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in given.items()
        if key in Scope.__dataclass_fields__ and value
    }


def _usable() -> dict[Kind, bool | None]:
    offers = report.faults(report.kernel_symbols(), report.kernel_features())
    return {kind: offer.finding.usable for kind, offer in offers.items()}


def _described(
    found: Mapping[Kind, Met], scope: Mapping[str, Any], usable: Mapping[Kind, bool | None]
) -> list[dict[str, Any]]:
    return [
        {
            "fault": kind.value,
            "usable": usable[kind],
            "count": each.count,
            "calls": dict(each.calls.most_common()),
            "files": dict(each.files.most_common()),
            "peers": dict(each.peers.most_common()),
            "arguments": arguments(kind, each, scope),
        }
        for kind, each in found.items()
    ]


def _most(counted: Mapping[str, int]) -> list[str]:
    """Return names that can be a fault's: whole paths, those of the most calls first."""
    whole = [name for name in counted if not name.startswith("…")] or list(counted)
    return sorted(whole, key=lambda name: -counted[name])


def _print(
    found: Sequence[Mapping[str, Any]], calls: Sequence[Seen], took: float, lost: int
) -> None:
    console = Console()
    if not found:
        click.echo(f"no system call that a fault fails was made in {took:.0f} s")
        return
    table = Table(
        Column("fault", no_wrap=True),
        Column("here", no_wrap=True),
        Column("calls", justify="right", no_wrap=True),
        Column("by", overflow="fold"),
        Column("at", overflow="fold"),
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=(0, 1),
    )
    for each in found:
        by = ", ".join(f"{name} {count}" for name, count in each["calls"].items())
        at = _few({**each["peers"], **each["files"]})
        cells = (each["fault"], _MARKS[each["usable"]], str(each["count"]), by, at)
        table.add_row(*(Text(shown(cell, lines=True)) for cell in cells))
    console.print(table)
    click.echo(f"{sum(seen.times for seen in calls)} calls in {took:.1f} s; {_EVERYBODY}")
    if lost:
        click.echo(f"{lost} more calls were for files and peers beyond those that are kept")
    click.echo("arguments of start_injection, to copy:")
    for each in found:
        if each["usable"] is not False:
            click.echo(shown(f'  "arguments": {json.dumps(each["arguments"], ensure_ascii=False)}'))


def _few(places: Mapping[str, int]) -> str:
    names = sorted(places, key=lambda name: -places[name])
    lines = [f"{name} {places[name]}" for name in names[:_SHOWN]]
    if len(names) > _SHOWN:
        lines.append(f"and {len(names) - _SHOWN} more")
    return "\n".join(lines)

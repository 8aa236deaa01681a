"""`chaoskernel explore`: what does a program not survive?"""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console

from chaoskernel.cli import ending, exploration, logger
from chaoskernel.cli.statuses import Status
from chaoskernel.errors import ChaosKernelError
from chaoskernel.explore import accept, junit, lab, replay, results, session, store, surroundings
from chaoskernel.explore.arguments import plan_of
from chaoskernel.explore.findings import Findings
from chaoskernel.explore.loop import Damaged
from chaoskernel.explore.outcome import Outcome
from chaoskernel.explore.plan import Plan
from chaoskernel.fault import syntax
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.sites import Phase
from chaoskernel.lab import guest, kernel
from chaoskernel.lab.progress import Lines
from chaoskernel.terminal import document

_PLANNED = (
    *("start", "ready", "check", "stop", "verify", "fixture", "directory"),
    *("faults", "hits", "phases", "depth", "baselines", "retries", "patience"),
    *("timeout", "budget", "sites", "seed"),
)
"""Options that a plan is made of."""

_STATE = Path("explore.jsonl")
_EXPLORED = [kind.value for kind in Kind if kind is not Kind.FUNCTION]


def _text(name: str, metavar: str, help: str, **more: Any) -> Callable[[Any], Any]:
    return click.option(name, default="", metavar=metavar, help=help, **more)


def _number(name: str, default: int, help: str) -> Callable[[Any], Any]:
    return click.option(name, default=default, show_default=True, type=int, metavar="N", help=help)


_FILE = click.Path(dir_okay=False, path_type=Path)

_OPTIONS = (
    _text("--start", "COMMAND", "The service to explore; it stays in the foreground."),
    _text("--ready", "COMMAND", "Exits with 0 once the service is up."),
    _text("--check", "COMMAND", "Exits with 0 when all is well; of a service, while it lives."),
    _text("--stop", "COMMAND", "Stops the service; else SIGTERM does."),
    _text("--verify", "COMMAND", "Exits with 0 when the data is whole, after a start anew."),
    _text("--fixture", "COMMAND", "Prepares the empty directory that each run begins in."),
    _text("--directory", "DIR", "Run there, and not in an empty directory for each run."),
    click.option(
        "--fault",
        "faults",
        multiple=True,
        type=click.Choice(_EXPLORED),
        metavar="KIND",
        help="What fails; repeatable.  [default: slab and page where the kernel has them, "
        "else allocation]",
    ),
    click.option(
        "--hits",
        multiple=True,
        default=("once",),
        show_default=True,
        metavar="WHICH",
        help="Which requests at a site fail: once, persistent, or the number of one; repeatable.",
    ),
    click.option(
        "--phase",
        "phases",
        multiple=True,
        type=click.Choice([phase.value for phase in Phase]),
        help="Fail there alone; repeatable.  [default: everywhere but in exec]",
    ),
    _number("--depth", 1, "2 fails pairs of sites as well."),
    _number("--baselines", 3, "How often it is played without a fault first."),
    _number("--retries", 2, "How often a flaky site is tried again."),
    click.option(
        "--patience",
        default=10.0,
        show_default=True,
        metavar="FACTOR",
        help="A run hangs after this many times the longest baseline.",
    ),
    click.option(
        "--timeout", default="60s", show_default=True, metavar="TIME", help="For a baseline."
    ),
    _text("--budget", "TIME", "Stop after this time, such as 10m.", show_default="none"),
    _number("--sites", 0, "Stop after so many attempts; 0 is no limit."),
    _number("--seed", 1, "Decides the order among equals."),
    click.option(
        "--state",
        type=_FILE,
        default=_STATE,
        show_default=True,
        help="The file that each result is written to at once.",
    ),
    click.option("--resume", is_flag=True, help="Go on with what --state has."),
    click.option("--show", is_flag=True, help="Show what --state has, and run nothing."),
    _text("--replay", "ID", "Play one attempt of --state again."),
    click.option("--gdb", is_flag=True, help="With --replay: attach gdb, and show the stack."),
    click.option("--strace", is_flag=True, help="With --replay: attach strace."),
    click.option("--json", "as_json", is_flag=True, help="Print the results as JSON."),
    click.option("--junit", type=_FILE, metavar="FILE", help="Write the results as JUnit."),
    click.option(
        "--accept",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Exit with 0 unless something is worse than what FILE accepts.",
    ),
    click.option(
        "--write-accept", type=_FILE, metavar="FILE", help="Write what FILE has to accept."
    ),
    click.option("--lab", "in_lab", is_flag=True, help="Explore in throwaway guests."),
    click.option(
        "--package",
        "packages",
        multiple=True,
        metavar="NAME",
        help="With --lab: the distribution's kernel, as `lab run` takes it.",
    ),
    _text("--suite", "SUITE", "With --lab: the suite that has the kernel."),
    click.option(
        "--jobs",
        default=1,
        show_default=True,
        type=click.IntRange(1, 64),
        help="With --lab: how many guests at a time.",
    ),
    click.option(
        "--memory", default="2G", show_default=True, metavar="SIZE", help="With --lab: of a guest."
    ),
    click.option(
        "--guest", type=click.Path(file_okay=False, path_type=Path), hidden=True, default=None
    ),
)


def _with_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command(name="explore")
@_with_options
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
def command(words: tuple[str, ...], **given: Any) -> None:
    """Find every place where the kernel can fail a program, and fail each.

    COMMAND is the program; with --start it is the workload of the service, or the file of an
    experiment that is played once for each site.  Status 3 says that something was found that
    --accept does not have.

    \b
    Examples:
      chaoskernel explore -- sqlite3 db 'create table t(x); insert into t values(1)'
      chaoskernel explore --lab --budget 10m \\
        --verify 'test ! -e db || sqlite3 db "pragma integrity_check" | grep -qx ok' \\
        -- sqlite3 db 'create table t(x)'
      chaoskernel explore --start 'redis-server --port 7000' --ready 'redis-cli -p 7000 ping' \\
        --check 'redis-cli -p 7000 set a 1' -- redis-benchmark -p 7000 -n 500 -q
      chaoskernel explore --start ./service --ready 'curl -s localhost:8080' experiment.json
      chaoskernel explore --replay 0123456789 --strace
    """
    state: Path = given["state"]
    if given["guest"]:
        sys.exit(_in_guest(given["guest"], state))
    if given["replay"]:
        sys.exit(_replay(given, state))
    if given["show"]:
        sys.exit(_tell(store.read(state), given, state))
    with ending.by_signals(_leave):
        _check_files(given)
        if given["in_lab"]:
            found = _explore_in_lab(_plan(words, given), given, state)
        else:
            found = _explore_here(words, given, state)
    sys.exit(_tell(found, given, state))


def _plan(words: tuple[str, ...], given: dict[str, Any]) -> Plan:
    """Return what the options ask for.

    :raises InvalidFault: something is impossible.
    """
    return plan_of(command=words, **{name: given[name] for name in _PLANNED})


def _check_files(given: dict[str, Any]) -> None:
    """Check what is read at the end, before anything is started."""
    if given["accept"]:
        accept.read(given["accept"])
    if given["gdb"] or given["strace"]:
        raise click.UsageError("--gdb and --strace are for --replay")
    if not given["in_lab"] and (given["packages"] or given["suite"] or given["jobs"] > 1):
        raise click.UsageError("--package, --suite and --jobs are for --lab")


def _explore_here(words: tuple[str, ...], given: dict[str, Any], state: Path) -> Findings:
    """Explore on this machine; what was found stays on disk, however this ends."""
    if given["resume"]:
        opened = store.resume(state)
    else:
        plan = _plan(words, given)
        session.check_commands(plan)
        opened = store.begin(state, plan)
    with opened as kept, exploration.watch() as watch:
        if given["resume"]:
            store.check_kernel(kept.findings)
            kept.findings.plan = _limited(kept.findings.plan, given)
        try:
            session.explore(kept, watch)
        except (KeyboardInterrupt, SystemExit):
            kept.add("end", why="interrupted")
            logger.warning(f"interrupted; --resume --state {state} goes on")
        return kept.findings


def _limited(plan: Plan, given: dict[str, Any]) -> Plan:
    """Return a plan with the limits of this session."""
    budget = syntax.seconds(given["budget"], key="budget") if given["budget"] else plan.budget
    return dataclasses.replace(plan, budget=budget, sites=given["sites"] or plan.sites)


def _explore_in_lab(plan: Plan, given: dict[str, Any], state: Path) -> Findings:
    if state.exists():
        raise ChaosKernelError(
            f"{state} has an exploration already", hint="name another file by --state, or remove it"
        )
    if state.with_name(f"{state.name}.lab").exists() and not given["resume"]:
        raise ChaosKernelError(
            f"{state}.lab has an exploration that was interrupted",
            hint="go on with it by --resume, or remove it",
        )
    session.check_commands(plan)
    wanted = kernel.Wanted(packages=given["packages"], suite=given["suite"])
    found = kernel.find_or_build(Lines(lambda line: click.echo(line, err=True)), wanted)
    guests = lab.Guests(found, guest.Machine(memory=given["memory"]), given["jobs"])
    with exploration.watch() as watch:
        try:
            return lab.explore(state.absolute(), plan, guests, watch)
        except KeyboardInterrupt:
            logger.warning(f"interrupted; the same command with --resume goes on from {state}.lab")
            sys.exit(Status.SIGNALLED + signal.SIGINT)


def _in_guest(directory: Path, state: Path) -> int:
    """Explore in a guest, as this program outside of it has asked."""
    asked = json.loads((directory / "plan.json").read_text(encoding="utf-8"))
    alone = asked.pop("alone")
    plan = Plan.from_json(asked)
    opened = store.resume(state) if state.exists() else store.begin(state, plan)
    with opened as kept, exploration.Lines() as watch:
        store.check_kernel(kept.findings)
        surroundings.settle(plan)
        first = alone and state.name == "0.jsonl" and not (directory / "base.jsonl").exists()
        try:
            if first:
                session.baseline(kept, watch)
            else:
                session.explore(kept, watch, renews=False)
        except Damaged as damage:
            logger.error(damage)
            return lab.DAMAGED_STATUS
    return 0


def _replay(given: dict[str, Any], state: Path) -> int:
    around = replay.Around.NOTHING
    if given["gdb"] and given["strace"]:
        raise click.UsageError("--gdb and --strace exclude each other: one program is traced once")
    if given["gdb"] or given["strace"]:
        around = replay.Around.GDB if given["gdb"] else replay.Around.STRACE
    findings = store.read(state)
    if given["in_lab"]:
        return _replay_in_lab(given, state)
    with store.scratch(findings) as kept:
        attempt, seen, verdict, note = replay.play(kept, given["replay"], around)
    if note:
        logger.warning(note)
    if given["as_json"]:
        told = {"attempt": attempt.id, "outcome": verdict.outcome, "detail": verdict.detail}
        click.echo(document({**told, "leaks": list(verdict.leaks), "seen": seen.to_json()}))
    else:
        click.echo(seen.tail, nl=bool(seen.tail) and not seen.tail.endswith("\n"))
        said = f"{attempt.id}: {verdict.outcome}" + (verdict.detail and f": {verdict.detail}")
        click.echo(said)
    before = findings.results.get(attempt.id)
    if before and before.outcome is not verdict.outcome and not note:
        logger.warning(f"it was {before.outcome} before")
    return 0 if verdict.outcome is not Outcome.NOT_REACHED else 1


def _replay_in_lab(given: dict[str, Any], state: Path) -> int:
    wanted = kernel.Wanted(packages=given["packages"], suite=given["suite"])
    found = kernel.find_or_build(Lines(lambda line: click.echo(line, err=True)), wanted)
    program = Path(sys.executable).with_name("chaoskernel")
    words = [str(program), "explore", "--replay", given["replay"], "--state", str(state.absolute())]
    words += [f"--{name}" for name in ("gdb", "strace") if given[name]]
    return guest.run(found, words, env={"TMPDIR": "/tmp"})  # noqa: S108 - in the guest


def _tell(findings: Findings, given: dict[str, Any], state: Path) -> int:
    """Print the results; return the exit status."""
    judged = accept.judged(findings, given["accept"])
    if judged.by_functions:
        logger.warning("another build of the kernel: accepted sites were matched by functions")
    found = results.document(findings, str(state))
    if given["as_json"]:
        click.echo(document(found))
    else:
        exploration.print_results(found, Console(), set(judged.accepted))
    if given["junit"]:
        junit.write(findings, judged, given["junit"], str(state))
    if given["write_accept"]:
        number = accept.write(findings, given["write_accept"])
        logger.info(f"{given['write_accept']} has {number} outcomes; write a reason for each")
    if findings.end == "interrupted":
        return Status.SIGNALLED + signal.SIGINT
    return Status.FOUND if judged.worse else 0


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt

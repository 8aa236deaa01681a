"""Write docs/reference.md from what the code says of itself: `python -m tools.reference`.

Arguments, returns and errors are those of the activities' docstrings and signatures, options
those of the command line, kinds of faults those of the one table.  A test fails while the file
differs from what this returns.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from chaoskernel import actions, probes
from chaoskernel.bpf.abi import COUNTERS
from chaoskernel.cli import cli
from chaoskernel.cli.statuses import MEANINGS
from chaoskernel.fault.hook_types import Row
from chaoskernel.fault.hooks import TABLE
from chaoskernel.fault.lists import LISTS, MAPPINGS

PLACE = Path(__file__).parents[1] / "docs/reference.md"

COUNTED = {
    "reached": "calls of the fault's hooks by tasks in scope",
    "matched": "those under the call chain, at the place, for which the predicates hold",
    "injected": "those that failed",
    "held_probability": "those that the probability let through",
    "held_times": "those that came after `times` was used up",
    "held_deadline": "those that came after the deadline",
    "held_nofail": "requests with `__GFP_NOFAIL`, which must not fail",
    "held_bootstrap": "requests for the slab cache that caches are made from",
    "held_interrupt": "calls in an interrupt: the task on the CPU did not make them",
    "held_kthread": "calls by kernel threads",
    "held_exiting": "calls by tasks that are exiting",
    "held_oom": "calls by tasks that are being OOM-killed",
    "held_dry_run": "those that would have failed without `dry_run`",
    "provoked": "calls that the agent made itself, to prove that the hook is alive",
    "missed_returns": "calls under a chain of which a function had returned unseen",
    "untracked": "threads, processes and control groups that escaped because a table was full",
    "unlisted": "failed calls of processes beyond the 4 096 that `processes` lists",
    "held_site": "those at other sites than the ones that are to fail",
    "unlisted_sites": "those whose sites were not kept: there is room for 4 096",
    "held_page_fault": "requests of page faults that `page_faults` would have failed",
    "page_faults": "of those that failed, or would have in a dry run, the requests of page faults",
    "held_cleanup": "requests of clean-ups that must not fail: a 9p mount would be broken for all",
}
"""What each counter counts; complete, or a test fails."""

JOURNAL = {
    "name": "the fault's name",
    "summary": "what was asked for, in one sentence",
    "verdict": "what came of it, in one sentence",
    "asked": "what was asked for, by the arguments of `start_injection`: `fault`, `errno` (given "
    "or usual), `probability`, `times`, `duration`, `mechanism`, `engine`, and the others where "
    "they say something; `pods` are `namespace/name`",
    "fault": "the kind that was armed",
    "stand_in_for": "the kind that was asked for, where another one was armed in its place",
    "hook": "the hooks, as one text",
    "hooks": "the hooks, by their symbols on this kernel",
    "mechanism": "`fmod_ret` or `kprobe`",
    "proof": "`called`, `attached` or `accepted`: [how it comes into force]"
    "(architecture.md#how-a-fault-comes-into-force)",
    "engine": "`core`, `bcc`, or `none` for a rehearsal",
    "callchain": "the frames: their `symbol` on this kernel and the `mechanism` that follows them",
    "targets": "the scope as it was found: processes, control groups, pods",
    "left_out": "callers who get past the fault",
    "limits": "`probability` in per cent, `times`, `duration` in seconds",
    "dry_run": "whether everything was let through",
    "state": "`active`, `ended` or `lost`",
    "armed_at": "when it came into force; all times are ISO 8601 in UTC",
    "expires_at": "its deadline",
    "ended_at": "when it ended; empty while it is active",
    "first_injection_at": "when the first call failed; empty where none did, or where it is not "
    "known: only the latest 256 are kept",
    "last_injection_at": "when the last call failed",
    "reason": "why it ended: `stop`, `deadline`, a signal, or what became of the agent",
    "counters": "see [counters](#counters)",
    "series": "counters over time: `points` of the `columns` that it names, in seconds after "
    "`from`; one a second, thinned to at most 600; `nodes` and `pods`, the 16 hit most, have 60",
    "stacks": "the ten stacks of most injections, the most first: `count`, `hook`, and `stack`, "
    "the names of functions from the hook outwards",
    "stacks_of": "how many injections `stacks` counts: of the latest 256 those whose stacks were "
    "kept",
    "events": "the latest 20 injections, as `injection_events` returns them",
    "dropped": "how many older injections `events` leaves out",
    "leftovers": "ids of programs that were loaded after the end",
    "warnings": "what does not work on this kernel as it should; mostly absent",
}
"""What each key of a fault's record holds; complete, or a test fails."""

VARIABLES = {
    "CHAOSKERNEL_OTEL": "`1` sends counters and a span by OpenTelemetry; see "
    "[telemetry.md](telemetry.md)",
    "CHAOSKERNEL_PROMETHEUS": "a port of 127.0.0.1, or a file, for Prometheus; see "
    "[telemetry.md](telemetry.md)",
    "CHAOSKERNEL_CACHE": "the lab's cache; else `chaoskernel` below `$XDG_CACHE_HOME`, `~/.cache`",
    "CHAOSKERNEL_CPU": "the CPU limit of an agent's container on a cluster",
    "CHAOSKERNEL_EXPERIMENTS": "where the gallery's experiments find their files",
    "CHAOSKERNEL_FAULT": "set by the Job: the fault that the agent on a node injects",
    "CHAOSKERNEL_IMAGE": "the agent's image on a cluster",
    "CHAOSKERNEL_MEMORY": "the memory limit of an agent's container on a cluster",
    "CHAOSKERNEL_NAMESPACE": "the namespace of the agents' Jobs",
    "CHAOSKERNEL_PID_FILE": "the pid file that experiments of `convert` read",
    "CHAOSKERNEL_PRIORITY_CLASS": "the priority class of the agents' pods",
    "CHAOSKERNEL_PYTHON": "the Python that runs the agent on this host",
    "CHAOSKERNEL_START_SECONDS": "how many seconds a start may take; 180 unless set",
    "CHAOSKERNEL_WORK": "set by `explore`: the directory that a run begins in",
}
"""What each variable of the environment sets; complete, or a test fails."""

_HEAD = """\
# Reference

Generated by `python -m tools.reference` from the docstrings, the command line and the table of
faults.  Change those, not this file.

- [Faults](#faults)
- [Actions](#actions) and [probes](#probes)
- [The control](#the-control) and [the journal](#the-journal)
- [Commands](#commands)
- [Counters](#counters)
- [Exit status](#exit-status)
- [Environment](#environment)
"""

_ACTIONS = """\
## Actions

A list may be text: one item, or items between commas, such as `/run/db.pid` or `4711, 4712`.
So may a mapping: `app=web, tier=db`.  What has a comma in it, or is no text, is written as JSON.
`chaos init` asks for both as text.
"""

_CONTROL = """\
## The control

Declare `chaoskernel.control` once, for the whole experiment:

```json
"controls": [{
    "name": "kernel faults",
    "provider": {"type": "python", "module": "chaoskernel.control"}
}]
```

It stops every fault that is left at the end, puts the counters and the latest injections into the
journal under the key `chaoskernel`, and lets the experiment deviate when a fault hit nothing.
`chaos validate`, and `chaos run` before it begins, have it check every activity of this package:
[what validation finds](validation.md).  Where an experiment does not declare it, or misspells it,
the log says what to declare when the first fault starts, and the control is applied from then on.
"""


_JOURNAL = """\
## The journal

The control writes the key `chaoskernel`: `verdict`, what the run has shown, in one sentence;
`shortfalls`, why it fell short of its aim, a line for each reason; and `faults`, a record for each
fault, which `stop_injection` returns, too.  New keys may be added.
"""


class Described(NamedTuple):
    """A docstring's parts.

    :param text: what comes before the fields, in paragraphs.
    :param fields: (name of the field, text), such as ("param name", "names the fault").
    """

    text: str
    fields: list[tuple[str, str]]


def described(function: Callable[..., Any]) -> Described:
    """Return the parts of a function's docstring."""
    text, *fields = re.split(r"^:([a-z]+(?: \w+)?): ", inspect.getdoc(function) or "", flags=re.M)
    pairs = zip(fields[::2], fields[1::2], strict=True)
    return Described(text.strip(), [(name, " ".join(said.split())) for name, said in pairs])


def document() -> str:
    """Return the whole reference."""
    parts = [
        _HEAD,
        _faults(),
        _ACTIONS,
        *(_activity(actions, name) for name in actions.__all__),
        "## Probes\n",
        *(_activity(probes, name) for name in probes.__all__),
        _CONTROL,
        _JOURNAL,
        _table(("key", "holds"), ((f"`{key}`", said) for key, said in JOURNAL.items())),
        "## Commands\n",
        *_commands(),
        _listed("## Counters", "counter", "counts", COUNTED, COUNTERS),
        "`matched` is the sum of `injected` and of everything that was held back.\n",
        _listed("## Exit status", "status", "meaning", MEANINGS, tuple(MEANINGS)),
        _listed("## Environment", "variable", "sets", VARIABLES, sorted(VARIABLES)),
    ]
    return "\n".join(parts)


def _table(heads: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _plain(text: str) -> str:
    """Return text in which Markdown finds nothing to mark up but what is in backticks."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part.replace("|", "\\|") if part.startswith("`") else re.sub(r"([*|<])", r"\\\1", part)
        for part in parts
    )


def _listed(title: str, key: str, meaning: str, said: dict[str, str], order: Sequence[str]) -> str:
    rows = ([f"`{name}`" if name[0] != "a" else name, said[name]] for name in order)
    return f"{title}\n\n{_table([key, meaning], rows)}"


def _faults() -> str:
    rows = ([f"`{kind.value}`", *_fault(row)] for kind, row in TABLE.items())
    heads = ["fault", "what fails", "usual error", "other documented errors", "where", "needs"]
    return (
        "## Faults\n\nValues of the argument `fault`.  Any error number up to 4095 is accepted; "
        "the manual pages of the system\ncalls document those listed here.\n\n"
        f"{_table(heads, rows)}"
    )


def _fault(row: Row) -> list[str]:
    usual, others = (row.errors[0], row.errors[1:]) if row.errors else ("", ())
    where = "`paths`, `devices`" if row.takes_paths else "`peers`" if row.takes_peers else ""
    if row.needs_place:
        where += "; required, or `any_file`"
    options = dict.fromkeys(hook.option for hook in row.hooks if not hook.optional)
    needs = ", ".join(options) or "CONFIG_FUNCTION_ERROR_INJECTION"
    own = "one of its own" if row.hooks else "as asked for"
    return [_plain(row.fails), usual or own, ", ".join(others), where, _plain(needs)]


def _activity(module: Any, name: str) -> str:
    function = getattr(module, name)
    said = described(function)
    meanings = {**_SHARED, **_meanings(said)}
    signature = inspect.signature(function)
    rows = (
        [f"`{key}`", _type(key, each), _default(each), _plain(meanings.get(key, ""))]
        for key, each in signature.parameters.items()
    )
    table = _table(["argument", "type", "default", "meaning"], rows)
    ends = {
        "returns": f"**Returns** `{signature.return_annotation.__name__}`:",
        "raises": "**Fails** when",
    }
    shown = [
        f"{ends[field.split()[0]]} {_plain(text)}\n"
        for field, text in said.fields
        if field.split()[0] in ends
    ]
    return "\n".join([f"### `{name}`\n", f"{_plain(said.text)}\n", table, *shown])


def _meanings(said: Described) -> dict[str, str]:
    return {field.partition(" ")[2]: text for field, text in said.fields}


_SHARED = {
    "name": "names the fault.",
    **_meanings(described(actions.start_pod_injection)),
    **_meanings(described(actions.start_injection)),
}
"""What an argument means where an activity does not say otherwise."""


def _type(key: str, argument: inspect.Parameter) -> str:
    """Return the type of an argument; `chaos discover` has to show some of them as text."""
    if key in LISTS:
        return "list"
    if key in MAPPINGS:
        return "dict"
    return "int" if key == "seed" else str(argument.annotation.__name__)


def _default(argument: inspect.Parameter) -> str:
    if argument.default is inspect.Parameter.empty:
        return "required"
    if argument.default is None or argument.default == "":
        return ""
    return f"`{str(argument.default).lower()}`"


def _commands() -> Iterator[str]:
    top = click.Context(cli, info_name="chaoskernel")
    for name in cli.list_commands(top):
        command = cli.get_command(top, name)
        assert command is not None
        yield from _command(command, click.Context(command, info_name=name, parent=top))


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    prose, _, examples = (command.help or "").partition("\b\n")
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    shown = inspect.cleandoc(examples.partition("\n")[2])
    if examples:
        shown = "\n".join(line.removeprefix("  ") for line in shown.splitlines())
    yield "\n".join(
        [
            f"### `{context.command_path}`\n",
            *([] if isinstance(command, click.Group) else [f"```console\n$ {usage}\n```\n"]),
            f"{_plain(inspect.cleandoc(prose)).strip()}\n",
            *([f"```sh\n{shown}\n```\n"] if shown else []),
            *_options(command, context),
        ]
    )
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _command(inner, click.Context(inner, info_name=name, parent=context))


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    options = [each for each in command.params if isinstance(each, click.Option)]
    records = [found for each in options if (found := each.get_help_record(context))]
    if records:
        rows = ([_plain(f"`{names}`"), _plain(meaning)] for names, meaning in records)
        yield _table(["option", "meaning"], rows)


def main() -> int:
    """Write the reference."""
    PLACE.write_text(document(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Options that several commands share: which fault, and whose requests fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from chaoskernel.cli import suggestions
from chaoskernel.fault.hooks import TABLE, Kind
from chaoskernel.fault.spec import (
    EngineName,
    Mechanism,
    Stacks,
)

_Command = TypeVar("_Command", bound=Callable[..., Any])

KIND_OF = {row.inject_py: kind.value for kind, row in TABLE.items() if row.inject_py}
"""By what inject.py calls them."""


def _together(*options: Callable[[Any], Any]) -> Callable[[_Command], _Command]:
    def add(function: _Command) -> _Command:
        for option in reversed(options):  # as stacked decorators are applied
            function = option(function)
        return function

    return add


def seconds(least: float, most: float) -> Callable[[click.Context, click.Parameter, float], float]:
    """Return a check of an option of seconds."""

    def check(_context: click.Context, _option: click.Parameter, value: float) -> float:
        if not least <= value <= most:  # which is false of nan, too
            raise click.BadParameter(f"{value:g} is not from {least:g} to {most:g} s")
        return value

    return check


def _percent(_context: click.Context, _option: click.Parameter, value: float | None) -> Any:
    return None if value is None else value * 100


in_scope = _together(
    click.option(
        "--pid",
        "pids",
        multiple=True,
        type=int,
        metavar="PID",
        help="A process, with its descendants.",
    ),
    click.option(
        "--pid-file",
        "pid_files",
        multiple=True,
        metavar="FILE",
        help="A file whose first line is a process id.",
    ),
    click.option(
        "--command", "commands", multiple=True, metavar="NAME", help="Every process of that name."
    ),
    click.option(
        "--cgroup",
        "cgroups",
        multiple=True,
        metavar="PATH",
        help="A control group, with all below it.",
    ),
    click.option(
        "--container", "containers", multiple=True, metavar="ID", help="A container, by its id."
    ),
    click.option("--system-wide", is_flag=True, help="Every process of this host."),
)
"""Adds the options that make a scope; --pid and the like are repeatable."""

manifest_file = click.option(
    "-f",
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="KernelChaos documents, in YAML or JSON.",
)

describing_a_fault = _together(
    manifest_file,
    click.option(
        "--fault",
        type=click.Choice([*(kind.value for kind in Kind), *KIND_OF]),
        default=Kind.SLAB.value,
        show_default=True,
        metavar="KIND",
        help=f"What fails: {', '.join(kind.value for kind in Kind)}; `chaoskernel faults` "
        "describes each.  kmalloc and alloc_page are inject.py's names of slab and page.",
    ),
    click.option(
        "--spec",
        default="(true)",
        metavar="SPEC",
        help="The call chain as inject.py takes it, innermost function first.",
    ),
    click.option(
        "-I",
        "--include",
        "headers",
        multiple=True,
        metavar="HEADER",
        help="What the predicates need, such as linux/blkdev.h.",
    ),
    click.option(
        "--probability",
        type=float,
        metavar="PERCENT",
        help="How many of the requests fail.  [default: 100]",
    ),
    click.option(
        "-P",
        "fraction",
        type=click.FloatRange(0, 1, min_open=True),
        callback=_percent,
        metavar="FRACTION",
        help="The same as inject.py takes it: 0.01 is one per cent.",
    ),
    click.option(
        "-c",
        "--count",
        "--times",
        "times",
        type=click.IntRange(-1),
        default=0,
        metavar="TIMES",
        help="Most failures; 0, or -1 as inject.py has it, is no limit.",
    ),
    click.option(
        "--duration",
        default="5m",
        show_default=True,
        metavar="TIME",
        help="When it ends by itself, such as 30s or 1h30m.",
    ),
    click.option(
        "--function",
        default="",
        metavar="NAME",
        shell_complete=suggestions.functions,
        help="The function that --fault function fails.",
    ),
    click.option(
        "--errno",
        default="",
        metavar="NAME",
        shell_complete=suggestions.errors,
        help="The error that the program gets, such as EIO.",
    ),
    click.option("--parameters", default="", metavar="C", help="Parameters of --function, in C."),
    click.option(
        "--path",
        "paths",
        multiple=True,
        metavar="PATH",
        help="A file, or a directory with all below it, for faults about files.",
    ),
    click.option(
        "--device",
        "devices",
        multiple=True,
        metavar="DEVICE",
        help="A mounted device or a mount point, for faults about files.",
    ),
    click.option("--any-file", is_flag=True, help="Every file, standard streams too."),
    click.option(
        "--peer",
        "peers",
        multiple=True,
        metavar="PEER",
        help="For faults about sockets, such as 10.0.0.0/8, :5432, [::1]:80 or unix:/run/x.sock.",
    ),
    click.option(
        "--name",
        default="run",
        show_default=True,
        metavar="NAME",
        help="What the fault is called.",
    ),
    click.option(
        "--mechanism",
        type=click.Choice([mechanism.value for mechanism in Mechanism]),
        default=Mechanism.AUTO.value,
        show_default=True,
        help="By what the hook's result is replaced.",
    ),
    click.option(
        "--engine",
        type=click.Choice([engine.value for engine in EngineName]),
        default=EngineName.AUTO.value,
        show_default=True,
        help="What brings the program onto the kernel; none, with --dry-run, attaches nothing.",
    ),
    click.option("--dry-run", is_flag=True, help="Let everything through, and count."),
    click.option(
        "--sites",
        is_flag=True,
        help="Record where in the kernel requests are made, show that, and fail none.",
    ),
    click.option(
        "--site",
        default="",
        metavar="ID",
        help="Fail requests at this site alone; two with a comma between them fail both.",
    ),
    click.option(
        "--hits",
        default="once",
        show_default=True,
        metavar="WHICH",
        help="Which requests at the site fail: once, persistent, or the number of one.",
    ),
    click.option(
        "--stand-in",
        is_flag=True,
        help="Where the kernel lacks slab or page, take allocation or memory in its place.",
    ),
    click.option(
        "--page-faults",
        is_flag=True,
        help="Fail requests of page faults too, where every request of slab or page fails; "
        "the kernel tries such a page fault again, until the fault ends.",
    ),
    click.option(
        "--stacks",
        type=click.Choice([stacks.value for stacks in Stacks]),
        default=Stacks.SAMPLE.value,
        show_default=True,
        help="Which of the kept injections have the kernel's stack, most of what one costs: "
        "the first ones and a sample, all, or none.",
    ),
    in_scope,
)
"""Adds the options that describe faults; `wanted` reads them."""


def _of_a_cluster(context: click.Context, option: click.Parameter, value: str) -> str:
    """Refuse --namespace without --kubernetes: the faults of this host would be meant.

    :raises click.UsageError: it is so.
    """
    source = context.get_parameter_source(str(option.name))
    if source is click.core.ParameterSource.COMMANDLINE and not context.params.get("kubernetes"):
        raise click.UsageError("--namespace is of a cluster; add --kubernetes")
    return value


in_a_cluster = _together(
    click.option(
        "--kubernetes",
        is_flag=True,
        is_eager=True,  # read before --namespace, wherever it stands
        help="Take the faults of the kubeconfig's cluster.",
    ),
    click.option(
        "--namespace",
        default="",
        callback=_of_a_cluster,
        metavar="NAME",
        help="The namespace of the Jobs; else CHAOSKERNEL_NAMESPACE, else chaoskernel.",
    ),
)
"""Adds what leads to the faults of a cluster."""

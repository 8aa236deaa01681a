"""What options mean: which faults are wanted, and for whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from chaoskernel.chaosmesh import manifest
from chaoskernel.chaosmesh.manifest import KernelChaos
from chaoskernel.cli.options import KIND_OF
from chaoskernel.errors import InvalidFault
from chaoskernel.fault import syntax
from chaoskernel.fault.arguments import fault_of
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import (
    EngineName,
    Fault,
    Limits,
    Mechanism,
    engine_named,
    mechanism_named,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for: documents, or one fault.

    :param scope: whose requests fail; documents leave that to the host.
    """

    documents: tuple[KernelChaos, ...]
    fault: Fault | None
    scope: Scope
    mechanism: Mechanism
    engine: EngineName
    dry_run: bool
    stand_in: bool = False

    def faults(self) -> list[Fault]:
        """Return each fault for the scope."""
        if self.fault:
            return [self.fault]
        return [
            chaos.fault(
                self.scope,
                mechanism=self.mechanism,
                engine=self.engine,
                dry_run=self.dry_run,
                stand_in=self.stand_in,
            )
            for chaos in self.documents
        ]


def scope_of(options: dict[str, Any]) -> Scope:
    """Return the scope that the options name.

    :raises InvalidFault: they name none, or something impossible.
    """
    names = ("pids", "pid_files", "commands", "cgroups", "containers", "system_wide")
    return syntax.scope(**{name: options[name] for name in names})


SCOPES = "--pid, --pid-file, --command, --cgroup or --container, or --system-wide for every process"
"""The options that name a scope."""


def _scope_of(options: dict[str, Any]) -> Scope:
    """Return the scope; where somebody tries the command without one, say what can fail, too.

    :raises InvalidFault: see `scope_of`.
    """
    try:
        return scope_of(options)
    except InvalidFault as wrong:
        if wrong.key != "scope":
            raise
        kinds = ", ".join(kind.value for kind in Kind)
        raise click.UsageError(
            f"whose requests fail is missing; give {SCOPES}; --fault is one of {kinds}"
        ) from None


def from_options(options: dict[str, Any]) -> Wanted:
    """Return what the options describe.

    :raises ChaosKernelError: it is wrong somewhere.
    """
    scope, mechanism = _scope_of(options), mechanism_named(options["mechanism"])
    engine = engine_named(options["engine"])
    file: Path | None = options["file"]
    if file:
        _refuse_beside_a_file()
        documents = manifest.load_file(file)
        return Wanted(
            documents, None, scope, mechanism, engine, options["dry_run"], options["stand_in"]
        )
    if options["fault"] == Kind.FUNCTION and not options["function"]:
        raise click.UsageError(
            "--fault function needs --function NAME, the kernel function that fails, such as "
            "sys_openat; --spec names those that call it"
        )
    chain = syntax.spec(options["spec"])
    fault = fault_of(
        name=options["name"],
        fault=KIND_OF.get(options["fault"], options["fault"]),
        scope=scope,
        callchain=[dataclasses.asdict(frame) for frame in chain.frames],
        predicate=chain.predicate,
        probability=_probability(options),
        times=max(0, options["times"]),
        mechanism=options["mechanism"],
        engine=options["engine"],
        headers=options["headers"],
        **{
            name: options[name]
            for name in (
                *("duration", "function", "errno", "parameters", "paths", "devices"),
                *("any_file", "peers", "dry_run", "stand_in", "site", "hits", "sites"),
                *("page_faults", "stacks"),
            )
        },
    )
    return Wanted((), fault, scope, mechanism, engine, options["dry_run"], options["stand_in"])


def _probability(options: dict[str, Any]) -> float:
    given: Sequence[float] = [
        value for value in (options["probability"], options["fraction"]) if value is not None
    ]
    if len(given) > 1:
        raise click.UsageError("--probability and -P say the same; give one of them")
    return given[0] if given else Limits().probability


def _refuse_beside_a_file() -> None:
    """Refuse options that a file says already, rather than pass them over."""
    context = click.get_current_context()
    said = ("fault", "spec", "headers", "probability", "fraction", "times", "duration")
    for name in (
        *said,
        *("function", "errno", "parameters", "paths", "devices", "any_file", "peers", "name"),
        *("page_faults", "stacks"),
    ):
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = next(each for each in context.command.params if each.name == name)
            raise click.UsageError(f"{option.opts[0]} is not possible with -f: the file says it")

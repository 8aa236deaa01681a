"""`chaoskernel stop`: end faults of this host, or of a cluster, whoever started them."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable

import click

from chaoskernel.agent.notice import Notice, is_posted, survey
from chaoskernel.cli import options
from chaoskernel.cli.ps import tell_doubts
from chaoskernel.errors import ChaosKernelError, EngineError, NotPermitted, UnknownFault
from chaoskernel.k8s import leftovers
from chaoskernel.k8s.access import access
from chaoskernel.k8s.api import Cluster
from chaoskernel.k8s.leftovers import Left
from chaoskernel.kernel import bpf
from chaoskernel.terminal import document, shown

_LOOK_SECONDS = 1.0


@click.command(name="stop")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--all", "everything", is_flag=True, help="End all faults of this host, or namespace."
)
@click.option(
    "--timeout",
    default=15.0,
    show_default=True,
    callback=options.seconds(0, 600),
    metavar="SECONDS",
    help="Seconds that an agent gets before it is killed.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a list of objects.")
@options.in_a_cluster
def command(
    names: tuple[str, ...],
    everything: bool,
    timeout: float,
    as_json: bool,
    kubernetes: bool,
    namespace: str,
) -> None:
    """End the faults of these NAMEs, and verify that nothing stays attached.

    \b
    Examples:
      sudo chaoskernel stop mount-enomem
      sudo chaoskernel stop --all
      chaoskernel stop --kubernetes pod-enomem
    """
    if bool(names) == everything:
        both = f"--all ends every fault: leave out --all or {names[0][:60]}" if names else ""
        raise click.UsageError(both or "name the faults to end, or give --all")
    if kubernetes:
        _stop_jobs(names, as_json, namespace, timeout)
        return
    stopped, troubles = _stop_each(_chosen(names), timeout)
    if as_json:
        rows = [{"name": each.name, "agent": each.pid, "ended_by": how} for each, how in stopped]
        click.echo(document(rows))
    else:
        for notice, how in stopped:
            click.echo(shown(f"stopped {notice.name} (agent {notice.pid}, {how})"))
        if not stopped and not troubles:
            click.echo("no fault is in force")
    if len(troubles) == 1:
        raise troubles[0]
    if troubles:
        hints = dict.fromkeys(trouble.hint for trouble in troubles if trouble.hint)
        raise EngineError("; ".join(each.message for each in troubles), hint="; ".join(hints))


def _stop_each(
    chosen: Iterable[Notice], seconds: float
) -> tuple[list[tuple[Notice, str]], list[ChaosKernelError]]:
    """End every agent, whatever befalls another one.

    :return: those that ended, with the signal that it took, and what went wrong with the others.
    """
    stopped: list[tuple[Notice, str]] = []
    troubles: list[ChaosKernelError] = []
    for notice in chosen:
        try:
            stopped.append((notice, _stop(notice, seconds)))
        except ChaosKernelError as error:
            troubles.append(error)
    return stopped, troubles


def _stop_jobs(names: tuple[str, ...], as_json: bool, namespace: str, seconds: float) -> None:
    """Delete the Jobs of faults, and wait until their pods are gone.

    :raises EngineError: some are there still.
    """
    reached = access(namespace=namespace)
    cluster, where = reached.cluster, reached.settings.namespace
    found = [left for left in leftovers.find(cluster, where) if not names or left.fault in names]
    if missing := sorted(set(names) - {left.fault for left in found}):
        raise UnknownFault(
            f"no fault named '{missing[0]}' has a Job in namespace {where}",
            hint="chaoskernel ps --kubernetes shows those that have",
        )
    troubles = [
        f"{left.job}: {why}" for left, why in leftovers.remove(cluster, where, found) if why
    ]
    jobs = {left.job for left in found}
    end = time.monotonic() + seconds
    while (left := _left(cluster, where, jobs)) and time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)
    troubles += [f"{each.job} on node {each.node} is {each.state} still" for each in left]
    stopped = [each for each in found if each.job not in {still.job for still in left}]
    if as_json:
        rows = [{"name": each.fault, "job": each.job} for each in stopped]
        click.echo(document(rows))
    else:
        for each in stopped:
            click.echo(shown(f"stopped {each.fault} (Job {each.job} on node {each.node})"))
        if not found:
            click.echo(f"no fault has a Job in namespace {where}")
    if troubles:
        raise EngineError("; ".join(troubles), hint="a fault ends at its deadline all the same")


def _left(cluster: Cluster, namespace: str, jobs: set[str]) -> list[Left]:
    return [left for left in leftovers.find(cluster, namespace) if left.job in jobs]


def _chosen(names: tuple[str, ...]) -> list[Notice]:
    """Return the notices of these names, or all; before anything is stopped."""
    found, doubted = survey()
    tell_doubts(doubted)
    known = {notice.name for notice in found}
    for name in names:
        if name not in known:
            raise UnknownFault(
                f"no fault named '{name}' is in force on this host",
                hint=f"there are: {', '.join(sorted(known))}" if known else "there is none",
            )
    return [notice for notice in found if not names or notice.name in names]


def _stop(notice: Notice, seconds: float) -> str:
    """End an agent; return the signal that it took.

    :raises NotPermitted: it is somebody else's.
    :raises EngineError: a program of the fault is loaded still.
    """
    how = "it had ended"
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(notice.pid)
        try:
            how = _end(descriptor, notice, seconds)
        finally:
            os.close(descriptor)
    if left := bpf.still_loaded(notice.message.get("programs", [])):
        raise EngineError(
            f"fault '{notice.name}' has ended, but its programs are loaded still: "
            f"{', '.join(map(str, left))}",
            hint="`bpftool prog` lists what is loaded, and by whom",
        )
    return how


def _end(descriptor: int, notice: Notice, seconds: float) -> str:
    # Between the notice and the descriptor the pid may have become another process's: what is
    # found now is the descriptor's own process, and an agent.
    if not is_posted(notice):
        return "it had ended"
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
        try:
            signal.pidfd_send_signal(descriptor, number)
        except PermissionError:
            raise NotPermitted(
                f"fault '{notice.name}' belongs to another user", hint="run it as root"
            ) from None
        if select.select([descriptor], [], [], patience)[0]:
            return number.name
    raise EngineError(f"the agent of fault '{notice.name}', process {notice.pid}, cannot be killed")

"""The action that explores a program.  chaoskernel.actions passes it on."""

from typing import TYPE_CHECKING

from chaoskernel.lazy import Lazy
from chaoskernel.toolkit.activity import List, failing_in_one_line

if TYPE_CHECKING:
    from chaoskernel.explore import activities
else:
    activities = Lazy("chaoskernel.explore.activities")


def explore(
    command: List,
    start: str = "",
    ready: str = "",
    check: str = "",
    stop: str = "",
    verify: str = "",
    fixture: str = "",
    faults: List = None,
    hits: List = None,
    phases: List = None,
    depth: int = 1,
    baselines: int = 3,
    timeout: str = "60s",
    budget: str = "10m",
    sites: int = 0,
    seed: int = 1,
    state: str = "explore.jsonl",
    resume: bool = False,
) -> dict:
    """Find every place where the kernel can fail a program, and fail each in a run of its own.

    :param command: words of the program, or a line as in a shell; with `start`, of the
        service's workload.
    :param start: the service to explore, in the place of the command.
    :param ready: a command that exits with 0 once the service is up.
    :param check: a command that exits with 0 when all is well after the fault.
    :param stop: what stops the service; SIGTERM where it is left out.
    :param verify: a command that exits with 0 when the data is whole, after a start anew.
    :param fixture: prepares the empty directory that each run begins in.
    :param faults: kinds of fault; else slab and page where the kernel has them, else allocation.
    :param hits: which requests at a site fail: once, persistent, or the number of one.
    :param phases: fail in exec, start, work or stop alone; else everywhere but in exec.
    :param depth: 2 fails pairs of sites as well.
    :param baselines: how often it is played without a fault first.
    :param timeout: how long a baseline may take.
    :param budget: when the exploration ends; what is left goes on with `resume`.
    :param sites: how many attempts at most; 0 is no limit.
    :param seed: the same one gives the same order.
    :param state: the file that each result is written to at once.
    :param resume: true goes on with the file.
    :returns: the document of results that docs/explore.md describes.
    :raises ActivityFailed: the program does not work without a fault, or nothing can be injected.
    """
    with failing_in_one_line():
        return activities.explore(
            state,
            resume,
            command=command,
            start=start,
            ready=ready,
            check=check,
            stop=stop,
            verify=verify,
            fixture=fixture,
            faults=faults,
            hits=hits,
            phases=phases,
            depth=depth,
            baselines=baselines,
            timeout=timeout,
            budget=budget,
            sites=sites,
            seed=seed,
        )

"""Probes: how often the kernel was made to fail, whether it is being made to, whether it can be.

They may be called from the thread of a continuous hypothesis.  Types are plain for
the reason that actions.py gives.
"""

from typing import TYPE_CHECKING

from chaoslib.exceptions import ActivityFailed

from chaoskernel.backend.backends import shared
from chaoskernel.backend.outcome import hits, why_nothing
from chaoskernel.backend.record import State
from chaoskernel.chaosmesh import registry
from chaoskernel.errors import UnknownFault
from chaoskernel.fault.hooks import TABLE
from chaoskernel.fault.sites import most_first
from chaoskernel.lazy import Lazy
from chaoskernel.toolkit import arguments
from chaoskernel.toolkit.activity import failing_in_one_line

if TYPE_CHECKING:
    from chaoskernel.explore import activities
else:
    activities = Lazy("chaoskernel.explore.activities")

__all__ = [
    "counters",
    "ensure_injected",
    "injected",
    "injection_active",
    "injection_events",
    "kernel_chaos_state",
    "kernel_supports",
    "not_survived",
    "sites",
]


def injected(name: str) -> int:
    """Return how many requests a fault made fail so far, or in all once it ended.

    :raises ActivityFailed: no fault of that name was started, or its agent is silent.
    """
    return int(counters(name).get("injected", 0))


def counters(name: str) -> dict:
    """Return a fault's counters: `reached`, `matched`, `injected`, and `held_…` by reason.

    `frames` has, for each function of the call chain, how often it was `entered` and how often
    it `matched`, which shows where a chain ends; `processes` lists those that were
    hit; `near` counts the system calls of the scope that are near those of the fault, such as
    fdatasync beside fsync.  On a cluster these are sums, as of the last second (`near`: once the
    fault has ended); `pods` and `nodes` have those of each.  `stand_in_for` is there where
    another kind is armed in place of the one that was asked for.

    :raises ActivityFailed: no fault of that name was started, or its agent is silent.
    """
    with failing_in_one_line():
        return {**shared().counters(name), **shared().record(name).label}


def injection_events(name: str, limit: int = 100) -> dict:
    """Return a fault's latest injections as `events`, and how many older ones were `dropped`.

    Each has the time (`at`), `pid`, `tid`, `command`, `cgroup`, what the request was for
    (`arguments`) and the kernel's `stack`, the innermost function first.  In a dry run
    they are those that would have been.  `stack_kept` is false where the fault's `stacks` left
    the stack out, which is empty then.

    :param limit: the largest number of events; no more than the latest 256 are kept.
    :raises ActivityFailed: no fault of that name was started, or its agent is silent.
    """
    with failing_in_one_line():
        return shared().events(name, arguments.count("limit", limit))


def sites(name: str) -> list:
    """Return the sites that a fault has recorded: a hook with the kernel's stack there.

    Each has its `id`, which start_injection takes as `site`, the `hook`, how the kernel was
    entered (`by`, and the system call as `call`), `places` (function, offset in bytes, module;
    the innermost first), the `error` number that the hook returns to fail, what the first request
    there asked for (`arguments`) and by which process (`pid`, `command`), and `count`: how often
    it was met.  The one that was met most comes first.

    :raises ActivityFailed: no fault of that name was started, or it was started without
        `sites` and `site`.
    """
    with failing_in_one_line():
        return [
            {**site.to_json(), "count": count} for site, count in most_first(shared().sites(name))
        ]


def injection_active(name: str) -> bool:
    """Tell whether a fault is in force; one that was never started is not.

    :raises ActivityFailed: that is no name.
    """
    with failing_in_one_line():
        name = arguments.fault_name(name)
        try:
            return shared().record(name).state is State.ACTIVE
        except UnknownFault:
            return False


def ensure_injected(name: str, minimum: int = 1) -> bool:
    """Fail unless a fault made enough requests fail: nothing hit is not success.

    In a dry run, those count that would have failed.

    :param minimum: the least number of injections.
    :raises ActivityFailed: there were fewer; the line says what held them back.
    """
    with failing_in_one_line():
        minimum = arguments.count("minimum", minimum)
    seen = counters(name)
    hit = hits(seen)
    if hit < minimum:
        listed = ", ".join(f"{key} {value}" for key, value in seen.items() if _tells(key, value))
        raise ActivityFailed(
            f"fault '{name}' injected {hit} of at least {minimum}"
            + (f": {listed}" if listed else "")
            + "; "
            + (
                "check that its scope and call chain are those of the workload"
                if hit
                else why_nothing(seen)
            )
        )
    return True


def kernel_chaos_state(name: str, namespace: str = "default") -> dict:
    """Return the state of a KernelChaos in the words of Chaos Mesh, and its counts.

    `selected`, `allInjected`, `allRecovered` and `paused` are its conditions, `desiredPhase`
    is Run or Stop, `containerRecords` has what is hit and how often that was injected
    and recovered, `failedMessage` why the latest injection failed.  `injected` is how many
    requests failed in all.  With a schedule, `schedule` counts its ticks: `started`,
    `missed`, `forbidden`, `next`, and which injections are `active` or in the `history`.

    :param name: its metadata.name.
    :param namespace: its metadata.namespace.
    :raises ActivityFailed: apply_kernel_chaos has applied none of that name.
    """
    with failing_in_one_line():
        return registry.shared().get(name, namespace).state()


def kernel_supports(fault: str = "slab", function: str = "") -> bool:
    """Tell whether the running kernel lets a kind of request be made to fail.

    :param fault: a kind of fault, as start_injection takes it.
    :param function: the kernel function, when the fault is `function`.
    :raises ActivityFailed: there is no such fault, or asking the kernel takes root.
    """
    # Imported here, because only this probe looks at the kernel of this host.
    from chaoskernel.kernel.features import usable  # noqa: PLC0415

    with failing_in_one_line():
        kind, function = arguments.supported(fault=fault, function=function)
        hooks = [hook.symbol for hook in TABLE[kind].hooks if not hook.optional]
        return all(map(usable, hooks or [function]))


def not_survived(state: str = "explore.jsonl", accept: str = "") -> int:
    """Return how many attempts of an exploration came to something that needs a look.

    Those are all but survived, reported and not reached; a steady state has a tolerance of 0.

    :param state: the file that the action explore has written.
    :param accept: a file of accepted outcomes, as `chaoskernel explore --write-accept` writes it.
    :raises ActivityFailed: one of the files cannot be read.
    """
    with failing_in_one_line():
        return activities.not_survived(state, accept)


def _tells(key: str, value: object) -> bool:
    return isinstance(value, int) and (bool(value) or key in ("reached", "matched"))

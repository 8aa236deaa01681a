"""What a run shows of its faults: the journal's entry, and what it is short of.

An experiment whose faults hit nothing has shown nothing, however steady its steady
state was; each reason for that is a shortfall, and makes the experiment deviate.
Pure functions on the toolkit's documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from chaoskernel.backend.outcome import why_nothing
from chaoskernel.backend.record import Record, State

JOURNAL_KEY = "chaoskernel"

_STARTS = (
    ("chaoskernel.actions", "start_injection"),
    ("chaoskernel.actions", "start_pod_injection"),
    ("chaoskernel.actions", "apply_kernel_chaos"),
    ("chaoskernel.actions", "apply_pod_kernel_chaos"),
)
_ENSURE = (
    ("chaoskernel.probes", "ensure_injected"),
    ("chaoskernel.actions", "wait_for_injection"),
)
# The toolkit prefixes an activity's error with its class, once for each wrapping.
_WRAPPING = re.compile(r"^(?:chaoslib\.exceptions\.\w+: )+")


def shortfalls(
    method: Sequence[Mapping[str, Any]],
    runs: Sequence[Mapping[str, Any]],
    records: Sequence[Record],
) -> list[str]:
    """Return why a run injected less than its experiment meant to, one line each.

    :param method: the experiment's method.
    :param runs: what was played of it, as in the journal's `run`.
    :param records: the faults that were started, with counters up to date.
    """
    return [
        *_not_played(method, runs),
        *_failed(runs),
        *_without_injection(runs, records),
        *_without_effect(records),
    ]


def entry(
    records: Sequence[Record], short_of: Sequence[str], journal: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the journal's entry of these faults.

    :param journal: the toolkit's own, at the end of the run.
    """
    return {
        "verdict": verdict(records, short_of, journal),
        "faults": [record.to_json() for record in records],
        "shortfalls": list(short_of),
    }


def verdict(records: Sequence[Record], short_of: Sequence[str], journal: Mapping[str, Any]) -> str:
    """Return in one sentence what a run has shown; see `entry`."""
    outcome = "deviated" if journal.get("deviated") else str(journal.get("status", "unknown"))
    after = (journal.get("steady_states") or {}).get("after") or {}
    parts = [f"short of its aim: {each}" for each in short_of]
    if not parts and "steady_state_met" in after:
        met = "met" if after["steady_state_met"] else "not met"
        parts.append(f"the steady state was {met} after the method")
    parts += [f"fault '{record.fault.name}': {record.verdict}" for record in records]
    return f"{outcome}: {'; '.join(parts or ['no kernel fault was started'])}"


def leftovers(records: Sequence[Record]) -> Iterator[str]:
    """Yield a line for each fault that ended with programs still loaded."""
    for record in records:
        if record.leftovers or record.state is State.ACTIVE:
            ids = ", ".join(map(str, record.leftovers or record.armed.get("programs", [])))
            yield f"fault '{record.fault.name}' may be in force still: programs {ids}"


def _not_played(
    method: Sequence[Mapping[str, Any]], runs: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    played = {run["activity"].get("name") for run in runs}
    for activity in method:
        if _calls(activity, *_STARTS) and activity.get("name") not in played:
            yield f"'{activity.get('name')}' was not played"


def _failed(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for run in runs:
        activity = run["activity"]
        if run.get("status") == "failed" and _calls(activity, *_STARTS, *_ENSURE):
            said = "".join(run.get("exception", [])[-1:]).strip()
            yield f"'{activity.get('name')}' failed: {_WRAPPING.sub('', said)}"


def _without_injection(
    runs: Sequence[Mapping[str, Any]], records: Sequence[Record]
) -> Iterator[str]:
    """Yield what succeeded without a fault: it is paused, or its schedule has not ticked.

    In the toolkit's dry mode an activity succeeds without an output.
    """
    for run in runs:
        activity = run["activity"]
        if not records and run.get("output") and _calls(activity, *_STARTS):
            yield f"'{activity.get('name')}' injected nothing"


def _without_effect(records: Sequence[Record]) -> Iterator[str]:
    for record in records:
        if record.hits == 0:
            seen = ", ".join(
                f"{key} {record.counters.get(key, 0)}" for key in ("reached", "matched")
            )
            why = why_nothing(record.counters)
            yield f"fault '{record.fault.name}' injected nothing ({seen}): {why}"


def _calls(activity: Mapping[str, Any], *functions: tuple[str, str]) -> bool:
    provider = activity.get("provider", {})
    return (provider.get("module"), provider.get("func")) in functions

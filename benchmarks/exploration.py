"""What an exploration adds to each run, over SQLite's sites: `make bench-explore`, in a guest.

Runs of three sorts take turns, so that whatever else the machine does meets all of them: the bare
workload, the same with its sites recorded, and the same with one site failing that is survived.
Then SQLite is explored for a while, to see how many sites are tried in ten minutes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from chaoskernel.backend.local import LocalBackend
from chaoskernel.explore import session, store, surroundings
from chaoskernel.explore.loop import Explorer
from chaoskernel.explore.observation import Attempt
from chaoskernel.explore.outcome import Outcome
from chaoskernel.explore.plan import Plan, why_left_out
from chaoskernel.explore.recording import Recording
from chaoskernel.explore.target import Target

WORDS = (
    "sqlite3",
    "db",
    "create table t(x); insert into t values(1), (2); select count(*) from t; vacuum",
)
SECONDS = float(os.environ.get("CHAOSKERNEL_BENCH_SECONDS", "150"))
"""How long each of the two parts takes at most."""

_LIMIT = 60.0
_TEN_MINUTES = 600.0


def timed(target: Target, attempt: Attempt, *, every: bool = False) -> float:
    """Play once, and return how many seconds that took."""
    begun = time.monotonic()
    target.play(attempt, _LIMIT, every=every)
    return time.monotonic() - begun


def compared(plan: Plan, state: Path) -> dict[str, Any]:
    """Return how long runs of each sort took."""
    seconds: dict[str, list[float]] = {"bare": [], "recorded": [], "survived": []}
    with contextlib.ExitStack() as undo:
        faults = undo.enter_context(session.armed(plan))
        recorded = undo.enter_context(session.stage(plan, faults))
        bare = undo.enter_context(session.stage(plan, Recording(LocalBackend(), {})))
        kept = undo.enter_context(store.begin(state, plan))
        explorer = Explorer(kept, recorded, faults, session.Quiet())
        explorer.baseline()
        begun = time.monotonic()
        sites = [
            found.site.id
            for found in kept.findings.sites.values()
            if not why_left_out(plan, found.site, found.phases) and found.steady
        ]
        for site in sites:
            if time.monotonic() - begun > SECONDS:
                break
            seconds["bare"].append(timed(bare, Attempt()))
            seconds["recorded"].append(timed(recorded, Attempt(), every=True))
            failing = time.monotonic()
            _, verdict = explorer.judged(Attempt((site,)))
            if verdict.outcome is Outcome.SURVIVED:
                seconds["survived"].append(time.monotonic() - failing)
    medians = {name: statistics.median(each) for name, each in seconds.items() if each}
    return {
        "sites": len(sites),
        "runs": {name: len(each) for name, each in seconds.items()},
        "median_seconds": {name: round(each, 4) for name, each in medians.items()},
        "ratio": {name: round(each / medians["bare"], 3) for name, each in medians.items()},
    }


def explored(plan: Plan, state: Path) -> dict[str, Any]:
    """Return how many sites an exploration tries in ten minutes, as it went in less."""
    with store.begin(state, dataclasses.replace(plan, budget=SECONDS)) as kept:
        ended_by = session.explore(kept, session.Quiet())
        found = kept.findings
    tried = len(found.results)
    return {
        "tried": tried,
        "seconds": round(found.seconds, 1),
        "in_ten_minutes": round(tried / found.seconds * _TEN_MINUTES),
        "ended_by": ended_by,
        "outcomes": {kind.value: number for kind, number in found.counts().items()},
    }


def main() -> None:
    """Measure, and print a line of JSON."""
    plan = Plan(WORDS)
    surroundings.settle(plan)  # as in every guest of `explore --lab`
    place = Path(tempfile.mkdtemp())
    document = {
        "kernel": os.uname().release,
        **compared(plan, place / "compared.jsonl"),
        "exploration": explored(plan, place / "explored.jsonl"),
    }
    json.dump(document, sys.stdout)
    print()


if __name__ == "__main__":
    main()

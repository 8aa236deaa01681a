"""What an exploration adds to each run, over SQLite's sites: `make bench-explore`, in a guest.

Runs of three sorts take turns, so that whatever else the machine does meets all of them: the bare
workload, the same with its sites recorded, and the same with one site failing that is survived.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from chaoskernel.backend.local import LocalBackend
from chaoskernel.explore import store
from chaoskernel.explore.loop import Explorer
from chaoskernel.explore.observation import Attempt
from chaoskernel.explore.outcome import Outcome
from chaoskernel.explore.plan import Plan, why_left_out
from chaoskernel.explore.recording import Recording
from chaoskernel.explore.session import Quiet, armed, stage
from chaoskernel.explore.target import Target

WORDS = (
    "sqlite3",
    "db",
    "create table t(x); insert into t values(1), (2); select count(*) from t; vacuum",
)
MOST_SECONDS = float(os.environ.get("CHAOSKERNEL_BENCH_SECONDS", "240"))
_LIMIT = 60.0


def timed(target: Target, attempt: Attempt) -> float:
    """Play once, and return how many seconds that took."""
    begun = time.monotonic()
    target.play(attempt, _LIMIT)
    return time.monotonic() - begun


def main() -> None:
    """Measure, and print a line of JSON."""
    plan = Plan(WORDS, baselines=2)
    seconds: dict[str, list[float]] = {"bare": [], "recorded": [], "survived": []}
    with contextlib.ExitStack() as undo:
        faults = undo.enter_context(armed(plan))
        recorded = undo.enter_context(stage(plan, faults))
        bare = undo.enter_context(stage(plan, Recording(LocalBackend(), {})))
        state = Path(tempfile.mkdtemp()) / "bench.jsonl"
        kept = undo.enter_context(store.begin(state, plan))
        explorer = Explorer(kept, recorded, faults, Quiet())
        explorer.baseline()
        begun = time.monotonic()
        sites = [
            found.site.id
            for found in kept.findings.sites.values()
            if not why_left_out(plan, found.site, found.phases)
        ]
        tried = 0
        for site in sites:
            if time.monotonic() - begun > MOST_SECONDS:
                break
            tried += 1
            seconds["bare"].append(timed(bare, Attempt()))
            seconds["recorded"].append(timed(recorded, Attempt()))
            failing = time.monotonic()
            _, verdict = explorer.judged(Attempt((site,)))
            if verdict.outcome is Outcome.SURVIVED:
                seconds["survived"].append(time.monotonic() - failing)
    medians = {name: statistics.median(each) for name, each in seconds.items() if each}
    json.dump(
        {
            "kernel": os.uname().release,
            "sites": len(sites),
            "tried": tried,
            "runs": {name: len(each) for name, each in seconds.items()},
            "median_seconds": {name: round(each, 4) for name, each in medians.items()},
            "ratio": {name: round(each / medians["bare"], 3) for name, each in medians.items()},
        },
        sys.stdout,
    )
    print()


if __name__ == "__main__":
    main()

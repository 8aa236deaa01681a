"""The document of results: its keys are a contract with whoever reads it."""

from __future__ import annotations

import json
from pathlib import Path

from chaoskernel.explore import results, store
from chaoskernel.explore.findings import Findings, Found, Result
from chaoskernel.explore.observation import Attempt
from chaoskernel.explore.outcome import Outcome
from chaoskernel.explore.plan import Plan
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.sites import Hits, Phase
from tests.unit.explore.samples import WELL, site

DOCUMENT = Path(__file__).parents[3] / "docs/explore.md"

CRASHES, FINE, IN_EXEC = site("getname_flags"), site("alloc_file"), site("bprm", call="execve")


def findings() -> Findings:
    """Return what an exploration of three sites found."""
    found = Findings.begun_by(store.head_of(Plan(("db",), faults=(Kind.SLAB,))))
    for each in (CRASHES, FINE, IN_EXEC):
        known = Found(each, Kind.SLAB, (Phase.WORK,), 3)
        found.take({"record": "site", "found": json.loads(json.dumps(known.to_json()))})
    runs = [WELL.to_json(), WELL.to_json()]
    found.take({"record": "baseline", "runs": runs, "masked": 1, "facts": {"requests": 9}})
    for result in (
        Result(Attempt((FINE.id,)), Outcome.SURVIVED),
        Result(Attempt((CRASHES.id,)), Outcome.REPORTED, "exit status 1"),
        Result(Attempt((CRASHES.id,), Hits.PERSISTENT), Outcome.CRASHED, "killed by SIGSEGV"),
    ):
        found.take({"record": "trying", "attempt": {"sites": result.attempt.sites, "hits": 1}})
        found.take({"record": "result", "result": json.loads(json.dumps(result.to_json()))})
    return found


def test_worst_sites_come_first_and_show_their_worst_attempt() -> None:
    document = results.document(findings(), "db.jsonl")
    assert [each["id"] for each in document["sites"]] == [CRASHES.id, FINE.id, IN_EXEC.id]
    worst = document["sites"][0]
    assert (worst["outcome"], worst["detail"]) == ("crashed", "killed by SIGSEGV")
    assert worst["function"] == "getname_flags"
    assert worst["errno"] == "ENOMEM"
    assert [each["outcome"] for each in worst["attempts"]] == ["crashed", "reported"]
    assert worst["replay"] == (
        f"chaoskernel explore --replay {CRASHES.id}@persistent --state db.jsonl"
    )
    assert document["outcomes"] == {"crashed": 1, "reported": 1, "survived": 1}


def test_sites_below_exec_are_left_out_and_say_why() -> None:
    last = results.document(findings())["sites"][-1]
    assert last["outcome"] is None
    assert last["phases"] == ["exec"]
    assert last["left_out"] == "in exec, before the program's first instruction"


def test_every_key_is_documented() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    document = results.document(findings())
    keys = {*document, *document["baseline"], *document["sites"][0]}
    assert [key for key in sorted(keys) if f"`{key}`" not in text] == []
    assert [each.value for each in Outcome if f"| `{each.value}` |" not in text] == []

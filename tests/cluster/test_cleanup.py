"""How faults end: by a stop, by somebody else, by their deadline; and how what is left is found."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chaoslib.exceptions import ActivityFailed
from click.testing import CliRunner

from chaoskernel import actions, probes
from chaoskernel.cli import ps, stop
from chaoskernel.errors import EngineError
from tests.cluster import agents
from tests.cluster.conftest import ACCOUNT, Rehearse, fault, impatient
from tests.cluster.kubectl import jobs, kubectl
from tests.waiting import within
from tools.cluster.cluster import Cluster

KILLED = ("brief", "long")
DB = {"label_selectors": {"app": "db"}}


def listed(*faults: str) -> list[dict[str, Any]]:
    """Return what `chaoskernel ps --kubernetes` shows of some faults, or of all."""
    outcome = CliRunner().invoke(ps.command, ["--kubernetes", "--json"])
    assert outcome.exit_code == 0, outcome.output
    found: list[dict[str, Any]] = json.loads(outcome.output)
    return [each for each in found if not faults or each["fault"] in faults]


def test_a_node_that_is_cut_off_is_listed_and_its_fault_ends_by_its_deadline(
    shop: Cluster,
) -> None:
    target = impatient(stop=3)
    began = time.monotonic()
    target.start(fault("cut", {"app": "db"}, duration=12))
    node = shop.nodes[1]
    node.cut()
    try:
        with pytest.raises(EngineError) as caught:
            target.stop("cut")
        assert "node node-2 (pods shop/db-1, shop/db-2) could not be confirmed" in str(caught.value)
        assert "it ends by itself at 20" in str(caught.value)
        assert "node-1" not in str(caught.value)
        assert len(agents.running("cut")) == 1
        assert ("node-2", "terminating") in [
            (each["node"], each["state"]) for each in listed("cut")
        ]
        assert within(20, lambda: agents.running("cut") == [])
        assert time.monotonic() - began >= 11
    finally:
        node.join()


def test_a_stop_leaves_no_job_no_agent_and_in_the_end_no_pod(rehearse: Rehearse) -> None:
    rehearse("x", **DB)
    assert len(agents.running("x")) == 2
    assert {(each["node"], each["pods"], each["state"]) for each in listed("x")} == {
        ("node-1", "shop/db-0", "running"),
        ("node-2", "shop/db-1, shop/db-2", "running"),
    }
    (ended,) = actions.stop_pod_injection("x")["faults"]
    assert (ended["state"], ended["reason"], ended["leftovers"]) == ("ended", "stop", [])
    assert jobs() == []
    assert within(10, lambda: agents.running("x") == [])  # one that has said its last word
    assert within(60, lambda: listed("x") == [], pause=1)


def test_a_job_that_somebody_deletes_ends_its_agent_which_still_reports(
    rehearse: Rehearse,
) -> None:
    rehearse("x", **DB)
    first = next(job for job in jobs() if job.endswith("-0"))
    kubectl("delete", "job", "-n", ACCOUNT, first)
    assert within(10, lambda: len(agents.running("x")) == 1)
    assert probes.injection_active("x")
    kubectl("delete", "jobs", "--all", "-n", ACCOUNT)
    assert within(10, lambda: not probes.injection_active("x"))
    assert within(10, lambda: agents.running("x") == [])
    (ended,) = actions.stop_pod_injection("x")["faults"]
    assert (ended["state"], ended["reason"]) == ("ended", "stop")


def test_an_api_server_that_restarts_is_taken_up_again(shop: Cluster, rehearse: Rehearse) -> None:
    rehearse("x", **DB)
    shop.plane.api.stop()
    with pytest.raises(ActivityFailed, match="could not be asked to list pods of shop"):
        rehearse("y", **DB)
    assert len(agents.running("x")) == 2
    shop.plane.api.start()
    (ended,) = actions.stop_pod_injection("x")["faults"]
    assert (ended["state"], ended["reason"]) == ("ended", "stop")
    assert within(10, lambda: agents.running() == [])
    assert jobs() == []


@pytest.fixture
def killed(shop: Cluster, tmp_path: Path) -> Iterator[None]:
    """A `chaos run` that was killed while two of its faults were in force."""
    experiment = tmp_path / "experiment.json"
    experiment.write_text(json.dumps(_experiment(brief="15s", long="10m")), encoding="utf-8")
    chaos = str(Path(sys.executable).with_name("chaos"))
    command = [chaos, "--no-version-check", "--no-log-file", "run", str(experiment)]
    with subprocess.Popen(command, cwd=tmp_path) as run:
        assert within(60, lambda: len(agents.running()) == 4 and len(listed(*KILLED)) == 4)
        run.send_signal(signal.SIGKILL)
    yield
    kubectl("delete", "jobs", "--all", "-n", ACCOUNT)
    assert within(15, lambda: agents.running() == [])


def _experiment(**durations: str) -> dict[str, Any]:
    def start(name: str) -> dict[str, Any]:
        arguments = {
            "name": name,
            "namespaces": ["shop"],
            **DB,
            "mode": "all",
            "engine": "none",
            "dry_run": True,
            "duration": durations[name],
        }
        func = {"module": "chaoskernel.actions", "func": "start_pod_injection"}
        return {
            "type": "action",
            "name": name,
            "provider": {"type": "python", **func, "arguments": arguments},
        }

    method = [start(name) for name in durations]
    method[-1]["pauses"] = {"after": 600}
    return {"title": "It is killed", "description": "It is killed", "method": method}


def test_of_a_run_that_is_killed_faults_end_by_their_deadline_or_by_whoever_finds_them(
    killed: None,
) -> None:
    assert {(each["fault"], each["node"], each["state"]) for each in listed(*KILLED)} == {
        (fault, node, "running") for fault in ("brief", "long") for node in ("node-1", "node-2")
    }
    assert all("process " in each["started_by"] for each in listed(*KILLED))
    assert within(25, lambda: agents.running("brief") == [])
    assert len(agents.running("long")) == 2
    assert within(15, lambda: {each["state"] for each in listed(*KILLED)} == {"running", "ended"})
    outcome = CliRunner().invoke(stop.command, ["--kubernetes", "long", "--timeout", "60"])
    assert outcome.exit_code == 0, outcome.output
    assert outcome.output.count("stopped long (Job chaoskernel-long-") == 2
    assert agents.running() == []
    assert {each["fault"] for each in listed(*KILLED)} == {"brief"}
    # The next run of the experiment removes what the killed one has left.
    assert len(actions.stop_pod_injection("brief")["removed"]) == 2
    assert within(60, lambda: listed(*KILLED) == [], pause=1)


def test_in_the_end_nothing_is_left_of_the_node_that_was_cut_off_either(shop: Cluster) -> None:
    # A kubelet that is back takes up to a minute until it lets go of a pod.
    assert within(90, lambda: listed() == [], pause=1)

"""Real faults in pods: a lab machine as the node of a real control plane, and `chaos run`.

    python -m tools.cluster enter -- .venv/bin/pytest tests/e2e/test_cluster.py

Two pods of one image are on the machine; what is injected shows in what they print each second,
and a third pod prints which BPF programs the machine's kernel has.  The tests go on from
each other in one boot, for an emulated machine is slow; the last one cuts its power.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoskernel.lab.progress import Progress
from tests.waiting import within
from tools.cluster import images
from tools.cluster.control import ControlPlane
from tools.cluster.machine import Machine, own_kernel

CHAOS = Path(sys.executable).with_name("chaos")
CHAOSKERNEL = CHAOS.with_name("chaoskernel")
EXPERIMENTS = Path("experiments")
NODE = "machine"
PODS = {"victim": "chaos-demo", "neighbour": "chaos-demo", "observer": "observer"}

WELL = "mount EPERM, read well, write well, create well"
NO_MEMORY = "mount ENOMEM, read well, write well, create well"
BAD_DISK = "mount EPERM, read EIO, write well, create well"

RUNNING_SECONDS = 300
ARMED_SECONDS = 300
NOTICED_SECONDS = 120


def kubectl(*arguments: str, check: bool = True) -> str:
    ended = subprocess.run(
        ["kubectl", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert ended.returncode == 0 or not check, ended.stderr
    return ended.stdout


def log(pod: str, *options: str) -> list[str]:
    """Return what a pod has printed since it was last started; nothing before that."""
    # A kubelet that is busy starting containers may leave a question for a log unanswered.
    asked = ("--request-timeout=30s", "--namespace", PODS[pod], "logs", *options, pod)
    text = kubectl(*asked, check=False)
    return text.splitlines()


def last_word(pod: str) -> str:
    # A line that is written while kubectl looks comes along.
    return (log(pod, "--tail=1") or [""])[-1]


def containers() -> set[str]:
    """Return the ids of the containers of the three pods, of those that run."""
    pods = json.loads(kubectl("get", "pods", "--all-namespaces", "--output=json"))["items"]
    return {
        status["containerID"]
        for pod in pods
        if pod["metadata"]["name"] in PODS
        for status in pod["status"].get("containerStatuses", [])
        if "running" in status["state"]
    }


def phases(pod: str, *options: str) -> list[str]:
    """Return the different lines of a pod, in the order in which they came about."""
    return [line for line, _ in itertools.groupby(log(pod, *options))]


def programs() -> dict[str, list[str]]:
    """Return what is loaded and hooked on the machine, by its latest account."""
    seen = json.loads(last_word("observer"))
    return {key: seen[key] for key in ("programs", "functions")}


NOTHING: dict[str, list[str]] = {"programs": [], "functions": []}


def chaos_command(experiment: Path, directory: Path) -> list[str]:
    return [
        *(str(CHAOS), "--no-version-check", "--log-file", str(directory / "chaos.log"), "run"),
        *("--journal-path", str(directory / "journal.json"), str(experiment)),
    ]


def played(experiment: Path, directory: Path, seconds: float = 400) -> dict[str, Any]:
    """Run an experiment; return its journal."""
    ended = subprocess.run(
        chaos_command(experiment, directory),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=seconds,
    )
    print(ended.stdout)
    assert ended.returncode == 0
    journal: dict[str, Any] = json.loads((directory / "journal.json").read_text(encoding="utf-8"))
    return journal


@contextlib.contextmanager
def holding(directory: Path, duration: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the shipped experiment up to a long pause after its start; it is in force then."""
    experiment = json.loads((EXPERIMENTS / "kubernetes-pod-enomem.json").read_text())
    start = experiment["method"][0]
    start["provider"]["arguments"]["duration"] = duration
    start["pauses"] = {"after": 600}
    changed = directory / "experiment.json"
    changed.write_text(json.dumps(experiment))
    with (directory / "output").open("w") as output:
        child = subprocess.Popen(
            chaos_command(changed, directory), stdout=output, stderr=output, process_group=0
        )
    try:
        assert within(ARMED_SECONDS, lambda: last_word("victim") == NO_MEMORY, 1), (
            directory / "output"
        ).read_text()
        yield child
    finally:
        child.kill()
        child.wait()


def jobs_left() -> list[dict[str, Any]]:
    shown = subprocess.run(
        [CHAOSKERNEL, "ps", "--kubernetes", "--json"],
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    found: list[dict[str, Any]] = json.loads(shown.stdout)
    return found


def states() -> list[tuple[str, str, str]]:
    """Return fault, node and state of what `chaoskernel ps` shows."""
    return [(each["fault"], each["node"], each["state"]) for each in jobs_left()]


def last_message(job: str) -> dict[str, Any]:
    """Return what the agent of a Job has said last."""
    # The whole log: --tail counts the pieces of 16 KiB that a runtime makes of long lines.
    text = kubectl("--namespace", "chaoskernel", "logs", f"job/{job}")
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found


def remove(fault: str) -> str:
    done = subprocess.run(
        [CHAOSKERNEL, "stop", "--kubernetes", "--timeout", "60", fault],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def outputs(journal: dict[str, Any]) -> dict[str, Any]:
    return {run["activity"]["name"]: run.get("output") for run in journal["run"]}


def nothing_injects() -> None:
    """Check that the machine has nothing of a fault."""
    assert within(NOTICED_SECONDS, lambda: programs() == NOTHING, 1), programs()
    assert within(NOTICED_SECONDS, lambda: last_word("victim") == WELL, 1)


def nothing_is_left() -> None:
    """Check that neither the machine nor the cluster has anything of a fault."""
    nothing_injects()
    assert within(NOTICED_SECONDS, lambda: jobs_left() == [], 1), jobs_left()
    assert kubectl("--namespace", "chaoskernel", "get", "jobs,pods", "--output=name") == ""


def start_pods(node: Machine, progress: Progress) -> None:
    """Wait for a machine, and for the three pods on it."""
    kubectl("apply", "-f", "deploy/rbac.yaml", "-f", "experiments/kubernetes/workload.yaml")
    kubectl("apply", "-f", "tests/e2e/observer.yaml")
    node.await_ready()
    progress.phase("starting pods")
    node.await_(lambda: all(map(last_word, PODS)), RUNNING_SECONDS)
    progress.phase("ready")


@pytest.fixture(scope="module")
def machine(
    plane: ControlPlane, progress: Progress, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """The node, with the three pods on it."""
    kernel, archives = own_kernel(progress), [images.pause(progress), images.agent()]
    directory = tmp_path_factory.mktemp("machine")
    with Machine(plane, NODE, 1, kernel, archives, directory, progress=progress) as node:
        start_pods(node, progress)
        yield node


def test_the_machine_has_no_program_before_a_fault(machine: Machine) -> None:
    assert programs() == NOTHING
    assert set(log("victim")) == set(log("neighbour")) == {WELL}


GALLERY = {
    "kubernetes-pod-enomem.json": (["should_failslab"], NO_MEMORY),
    "kubernetes-bio-eio.json": (["should_fail_bio"], BAD_DISK),
    "kubernetes-kernelchaos.yaml": (["should_failslab"], NO_MEMORY),
}


@pytest.mark.parametrize("name", GALLERY)
def test_the_selected_pod_is_hit_and_its_neighbour_is_not(
    name: str, machine: Machine, tmp_path: Path
) -> None:
    hooks, effect = GALLERY[name]
    journal = played(EXPERIMENTS / name, tmp_path)
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    seen = outputs(journal)
    assert seen["what the victim reports"]["stdout"].splitlines()[-1] == effect
    assert seen["what the victim reports again"]["stdout"].splitlines()[-1] == WELL
    faults = journal["chaoskernel"]["faults"]
    assert [fault["hook"].split(", ")[0] for fault in faults] == hooks
    for fault in faults:
        assert fault["engine"] == "core"
        assert (fault["state"], fault["reason"], fault["leftovers"]) == ("ended", "stop", [])
        counters = fault["counters"]
        assert counters["pods"] == [
            {"pod": "chaos-demo/victim", "injected": counters["injected"], "node": NODE}
        ]
        assert counters["injected"] >= 2
    assert {run["status"] for run in journal["rollbacks"]} == {"succeeded"}
    # It came and went, and nothing else happened.
    nothing_injects()
    # Of several faults one comes, and goes, before another.
    came = [line for line in phases("victim") if line in (WELL, effect) or len(faults) == 1]
    assert came[-3:] == [WELL, effect, WELL]
    assert set(log("neighbour")) == {WELL}


def test_the_experiments_leave_no_job_and_no_pod(machine: Machine) -> None:
    nothing_is_left()


def test_every_experiment_for_a_cluster_is_run() -> None:
    # This machine's kernel has no security hooks; test_stock_node.py has one that does.
    elsewhere = {"kubernetes-disk-full.json"}
    assert {path.name for path in EXPERIMENTS.glob("kubernetes-*")} == {*GALLERY, *elsewhere}


def test_a_fault_whose_chaos_is_killed_ends_at_its_deadline(
    machine: Machine, tmp_path: Path
) -> None:
    with holding(tmp_path, duration="40s") as chaos:
        os.killpg(chaos.pid, signal.SIGKILL)
        chaos.wait()
        (left,) = jobs_left()
        assert left["pods"] == "chaos-demo/victim"
        assert states() == [("pod-enomem", NODE, "running")]
        assert within(NOTICED_SECONDS, lambda: programs() != NOTHING, 1)
        # Nobody ends it: it is in force until its deadline, and then no longer.
        assert last_word("victim") == NO_MEMORY
        nothing_injects()
    assert within(NOTICED_SECONDS, lambda: last_message(left["job"])["type"] == "disarmed", 1)
    disarmed = last_message(left["job"])
    assert (disarmed["reason"], disarmed["leftovers"]) == ("deadline", [])
    assert within(NOTICED_SECONDS, lambda: states() == [("pod-enomem", NODE, "ended")], 1)
    assert left["job"] in remove("pod-enomem")
    nothing_is_left()
    assert set(log("neighbour")) == {WELL}


def test_nothing_is_left_after_the_power_was_cut_and_restored(
    machine: Machine, tmp_path: Path
) -> None:
    before, old = machine.boot_id(), containers()
    with holding(tmp_path, duration="10m") as chaos:
        machine.stop()
        os.killpg(chaos.pid, signal.SIGKILL)
        chaos.wait()
    machine.start()
    machine.await_ready(after=before)
    # Until they run anew, their logs are those from before.
    machine.await_(lambda: len(containers() - old) == len(PODS), RUNNING_SECONDS)
    machine.await_(lambda: all(map(last_word, PODS)), RUNNING_SECONDS)
    # The fault had minutes to go; it is not in force, and its agent is not started again.
    ended = [("pod-enomem", NODE, "ended")]
    assert within(NOTICED_SECONDS, lambda: states() == ended, 1), states()
    assert set(log("victim")) == {WELL}
    (left,) = jobs_left()
    assert left["job"] in remove("pod-enomem")
    nothing_is_left()
    accounts = [json.loads(line) for line in log("observer")]
    assert [each for each in accounts if each["programs"] or each["functions"]] == []

"""The real `chaos` command, from discovery to a run that is killed half-way."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.kernel_requests import mounts
from tests.programs import gone_within, loaded_programs

CHAOS = Path(sys.executable).with_name("chaos")
EXPERIMENT = Path("experiments/mount-enomem.json")
ACTIVITIES = {
    "start_injection": "action",
    "stop_injection": "action",
    "injected": "probe",
    "counters": "probe",
    "injection_active": "probe",
    "ensure_injected": "probe",
    "kernel_supports": "probe",
}

pytestmark = pytest.mark.usefixtures("lab")


def chaos(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CHAOS, "--no-version-check", "--log-file", directory / "chaos.log", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )


def test_discovery_lists_every_activity_with_plain_types(tmp_path: Path) -> None:
    found = tmp_path / "discovery.json"
    ended = chaos(
        tmp_path,
        "discover",
        "chaostoolkit-kernel",
        "--no-install",
        "--discovery-path",
        str(found),
    )
    assert ended.returncode == 0, ended.stdout
    activities = {
        activity["name"]: activity for activity in json.loads(found.read_text())["activities"]
    }
    kinds = {name: activity["type"] for name, activity in activities.items()}
    assert {name: kinds.get(name) for name in ACTIVITIES} == ACTIVITIES
    types = {
        argument.get("type")
        for activity in activities.values()
        for argument in activity.get("arguments", [])
    }
    assert "object" not in types


def test_check_finds_the_hooks_of_this_kernel_alive() -> None:
    program = Path(sys.executable).with_name("chaoskernel")
    checked = subprocess.run(
        [program, "check", "--json"], stdout=subprocess.PIPE, text=True, check=True, timeout=600
    )
    states = {finding["subject"]: finding["state"] for finding in json.loads(checked.stdout)}
    assert states["slab"] == "live"
    assert states["page"] == "live"
    assert states["bio"] == "live"
    assert states["kprobe override"] == "bpf_override_return"


def test_the_experiment_is_valid(tmp_path: Path) -> None:
    ended = chaos(tmp_path, "validate", str(EXPERIMENT))
    assert ended.returncode == 0, ended.stdout
    assert "experiment syntax and semantic look valid" in ended.stdout


def test_a_run_completes_with_evidence_in_its_journal(tmp_path: Path) -> None:
    before = loaded_programs()
    journal_path = tmp_path / "journal.json"
    ended = chaos(tmp_path, "run", "--journal-path", str(journal_path), str(EXPERIMENT))
    assert ended.returncode == 0, ended.stdout
    journal = json.loads(journal_path.read_text())
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    (fault,) = journal["chaoskernel"]["faults"]
    assert fault["hook"] == "should_failslab"
    assert fault["reason"] == "stop"
    assert fault["leftovers"] == []
    errors = [
        run["output"]["stdout"]
        for run in journal["run"]
        if run["activity"]["name"] == "the loop reports: Cannot allocate memory"
    ]
    assert "Cannot allocate memory" in errors[0]
    assert fault["counters"]["injected"] >= 2
    assert fault["counters"]["injected"] <= fault["counters"]["matched"]
    assert loaded_programs() == before


def test_a_run_that_hits_nothing_deviates(tmp_path: Path) -> None:
    """The same experiment, with a call chain that the loop never comes through."""
    experiment = json.loads(EXPERIMENT.read_text())
    start = arguments_of(experiment, "start_injection")
    start["callchain"] = ["sys_swapon"]
    changed = tmp_path / "experiment.json"
    changed.write_text(json.dumps(experiment))
    journal_path = tmp_path / "journal.json"
    ended = chaos(tmp_path, "run", "--journal-path", str(journal_path), str(changed))
    journal = json.loads(journal_path.read_text())
    assert journal["deviated"] is True, ended.stdout
    assert ended.returncode != 0
    assert journal["chaoskernel"]["faults"][0]["counters"]["injected"] == 0


def test_killing_chaos_half_way_leaves_nothing(tmp_path: Path) -> None:
    before = loaded_programs()
    victim_of_kill = subprocess.Popen(
        [CHAOS, "--no-version-check", "--log-file", tmp_path / "log", "run", EXPERIMENT],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        programs = wait_for_new_programs(before, seconds=300)
        assert wait_for_failure(Path("/run/chaoskernel-demo/loop.log"), seconds=60)
    finally:
        victim_of_kill.send_signal(signal.SIGKILL)
        victim_of_kill.wait()
    assert gone_within(programs, 1.0)
    assert mounts(tmp_path, 3) == [0, 0, 0]
    subprocess.run(["sh", "experiments/mount_loop.sh", "stop"], check=True, timeout=120)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"fault": "slap"}, "fault: 'slap' is not one of slab, page, bio"),
        ({"probability": 101}, "probability: 101 is not a percentage"),
        ({"duration": "banana"}, "duration: 'banana' is not"),
        ({"pid_files": []}, "scope: missing; name pids, pid_files"),
        ({"callchain": ["sys_mound"]}, "near: "),
        ({"pid_files": ["/nonexistent"]}, "pid_files: '/nonexistent' is not a readable file"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_arguments_are_named_in_one_line(
    arguments: dict[str, Any], said: str, tmp_path: Path
) -> None:
    """By calling the action as the toolkit does; a whole run for each would take minutes."""
    experiment = json.loads(EXPERIMENT.read_text())
    given = arguments_of(experiment, "start_injection")
    if "pid_files" not in arguments:
        given |= {"pid_files": [], "system_wide": True}
    given |= arguments
    before = loaded_programs()
    code = (
        "import json, sys; from chaoskernel.actions import start_injection; "
        "start_injection(**json.loads(sys.argv[1]))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, json.dumps(given)], capture_output=True, text=True, check=False
    )
    last = ended.stderr.strip().splitlines()[-1]
    assert ended.returncode == 1
    assert last.startswith("chaoslib.exceptions.ActivityFailed: ")
    assert said in last
    assert loaded_programs() == before


def test_whoever_is_not_root_is_told_so() -> None:
    ended = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c",
         "from chaoskernel.actions import start_injection; "
         "start_injection('x', system_wide=True)"],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    assert (
        ended.stderr.strip()
        .splitlines()[-1]
        .endswith("kernel faults need root; run chaos as root, or with sudo")
    )


def arguments_of(experiment: dict[str, Any], function: str) -> dict[str, Any]:
    for activity in experiment["method"]:
        if activity["provider"].get("func") == function:
            arguments: dict[str, Any] = activity["provider"]["arguments"]
            return arguments
    pytest.fail(f"the experiment has no {function}")


def wait_for_new_programs(before: set[int], seconds: float) -> set[int]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        # The hook is attached last: four more are there when it is.
        new = loaded_programs() - before
        if len(new) >= 5:
            return new
        time.sleep(0.2)
    pytest.fail(f"nothing was attached within {seconds} s")


def wait_for_failure(log: Path, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if log.exists() and "Cannot allocate memory" in log.read_text():
            return True
        time.sleep(0.2)
    return False

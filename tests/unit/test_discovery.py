"""What `chaos discover` and `chaos validate` see."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from chaoslib.experiment import ensure_experiment_is_valid
from chaoslib.loader import load_experiment

import chaoskernel
from chaoskernel.chaosmesh import manifest

ROOT = Path(__file__).parents[2]


def activities() -> list[dict[str, Any]]:
    return cast("list[dict[str, Any]]", chaoskernel.discover()["activities"])


def names(kind: str) -> list[str]:
    return sorted(activity["name"] for activity in activities() if activity["type"] == kind)


def test_actions_are_discovered_as_actions() -> None:
    assert names("action") == [
        "apply_kernel_chaos",
        "apply_pod_kernel_chaos",
        "delete_kernel_chaos",
        "explore",
        "pause_kernel_chaos",
        "resume_kernel_chaos",
        "start_injection",
        "start_pod_injection",
        "stop_injection",
        "stop_pod_injection",
        "wait_for_injection",
    ]


def test_probes_are_discovered_as_probes() -> None:
    assert names("probe") == [
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


def test_controls_are_not_offered_as_activities() -> None:
    assert {activity["type"] for activity in activities()} == {"action", "probe"}


def test_every_argument_and_result_has_a_type_that_the_toolkit_knows() -> None:
    """`chaos init` crashes on "object"."""
    types = {
        (activity["name"], argument["name"]): argument["type"]
        for activity in activities()
        for argument in activity["arguments"]
    }
    types |= {(activity["name"], "->"): activity["return_type"] for activity in activities()}
    assert types["start_injection", "callchain"] == "string"  # a list is taken apart into letters
    assert types["start_injection", "probability"] == "number"
    assert types["counters", "->"] == "mapping"
    assert [where for where, kind in types.items() if kind == "object"] == []


def test_every_activity_is_documented() -> None:
    assert [activity["name"] for activity in activities() if not activity["doc"]] == []


def test_importing_the_package_imports_nothing_of_its_dependencies() -> None:
    code = (
        "import sys, chaoskernel.fault.spec, chaoskernel.agent.protocol; "
        "print([m for m in ('chaoslib', 'click', 'rich', 'durationpy') if m in sys.modules])"
    )
    seen = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert seen.stdout.strip() == "[]"


EXPERIMENTS = [
    path for path in (ROOT / "experiments").iterdir() if path.suffix in (".json", ".yaml")
]


@pytest.mark.parametrize("path", sorted(EXPERIMENTS), ids=lambda path: path.name)
def test_every_shipped_experiment_is_valid_and_always_rolls_back(path: Path) -> None:
    experiment = load_experiment(str(path))
    ensure_experiment_is_valid(experiment)
    assert experiment["runtime"]["rollbacks"]["strategy"] == "always"
    assert experiment["controls"][0]["provider"]["module"] == "chaoskernel.control"
    assert experiment["rollbacks"][0]["provider"]["func"] == "stop_injection"
    for key in ("title", "description", "contributions", "tags", "steady-state-hypothesis"):
        assert experiment[key], key


def test_the_documents_of_the_experiments_are_valid() -> None:
    paths = sorted((ROOT / "experiments/manifests").iterdir())
    found = [chaos.name for path in paths for chaos in manifest.load(str(path))]
    assert found == ["kernel-chaos-example", "pod-mount-enomem"]

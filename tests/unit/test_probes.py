"""Probes: what was injected, and what is told when too little was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from chaoslib.exceptions import ActivityFailed

from chaoskernel import actions, probes
from chaoskernel.backend.backends import sharing
from tests.unit.fakes import FakeBackend


@pytest.fixture
def target() -> Iterator[FakeBackend]:
    """Share a target on which the fault `mount` is active."""
    target = FakeBackend({"reached": 7, "matched": 5, "injected": 3, "held_probability": 2})
    with sharing(target):
        actions.start_injection("mount", pids=[12])
        yield target


@pytest.mark.usefixtures("target")
def test_injected_is_a_plain_number() -> None:
    assert probes.injected("mount") == 3
    assert type(probes.injected("mount")) is int


@pytest.mark.usefixtures("target")
def test_counters_are_those_of_the_agent() -> None:
    assert probes.counters("mount") == {
        "reached": 7,
        "matched": 5,
        "injected": 3,
        "held_probability": 2,
    }


@pytest.mark.usefixtures("target")
def test_the_latest_injections_are_reported_one_by_one() -> None:
    found = probes.injection_events("mount", 2)
    assert [event["stack"] for event in found["events"]] == [["f1+0x1"], ["f2+0x1"]]
    assert found["dropped"] == 1


@pytest.mark.usefixtures("target")
def test_sites_are_reported_with_the_one_that_was_met_most_first() -> None:
    found = probes.sites("mount")
    assert [(site["id"], site["count"]) for site in found] == [("0000000001", 5), ("00ab54c0de", 2)]
    assert found[0]["places"][1] == {"function": "ext4_get_tree", "offset": 18, "module": "ext4"}


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("limit", [0, -1, True, "-2", "1.5", 1.5])
def test_a_wrong_limit_of_events_is_refused(limit: object) -> None:
    with pytest.raises(ActivityFailed, match=r"^limit: .* is not a whole number above 0$"):
        probes.injection_events("mount", limit)  # type: ignore[arg-type]


@pytest.mark.usefixtures("target")
def test_a_fault_is_active_from_its_start_to_its_stop() -> None:
    assert probes.injection_active("mount") is True
    actions.stop_injection("mount")
    assert probes.injection_active("mount") is False


@pytest.mark.parametrize("name", [None, [], 5])
def test_what_is_no_name_is_not_merely_inactive(name: Any) -> None:
    with pytest.raises(ActivityFailed, match="is not a name"):
        probes.injection_active(name)


@pytest.mark.usefixtures("target")
def test_a_fault_that_was_never_started_is_not_active() -> None:
    assert probes.injection_active("other") is False


@pytest.mark.usefixtures("target")
@pytest.mark.parametrize("probe", [probes.injected, probes.counters, probes.ensure_injected])
def test_other_probes_of_an_unknown_fault_fail_with_the_targets_line(probe: object) -> None:
    assert callable(probe)
    with pytest.raises(ActivityFailed, match=r"^no fault named 'other'; there are none$"):
        probe("other")


@pytest.mark.usefixtures("target")
def test_enough_injections_are_enough() -> None:
    assert probes.ensure_injected("mount", minimum=3) is True


@pytest.mark.usefixtures("target")
def test_too_few_injections_fail_with_what_held_them_back() -> None:
    with pytest.raises(
        ActivityFailed,
        match=r"^fault 'mount' injected 3 of at least 4: reached 7, matched 5, injected 3, "
        "held_probability 2; check that its scope and call chain are those of the workload$",
    ):
        probes.ensure_injected("mount", minimum=4)


def test_nothing_hit_says_that_nothing_was_reached() -> None:
    counters = {"reached": 0, "matched": 0, "injected": 0, "held_times": 0}
    with sharing(FakeBackend(counters)):
        actions.start_injection("mount", pids=[12])
        with pytest.raises(ActivityFailed, match=r"0 of at least 1: reached 0, matched 0;"):
            probes.ensure_injected("mount")


def test_a_silent_agent_fails_the_probe() -> None:
    with sharing(FakeBackend(silent=True)):
        actions.start_injection("mount", pids=[12])
        with pytest.raises(ActivityFailed, match=r"^no answer$"):
            probes.injected("mount")


def test_support_for_an_unknown_fault_is_a_failure_and_not_a_no() -> None:
    with pytest.raises(ActivityFailed, match=r"^fault: 'disk' is not one of slab, page, bio, "):
        probes.kernel_supports("disk")


@pytest.mark.parametrize("minimum", [0, -1, "0", "2.5", None, 1.5, float("nan"), True, [1]])
def test_a_minimum_that_nothing_could_miss_is_refused(minimum: Any) -> None:
    with pytest.raises(ActivityFailed, match="^minimum: .* is not a whole number above 0$"):
        probes.ensure_injected("mount", minimum=minimum)


@pytest.mark.usefixtures("target")
def test_numbers_that_come_as_text_are_taken() -> None:
    assert probes.ensure_injected("mount", minimum="3")  # type: ignore[arg-type]
    with pytest.raises(ActivityFailed, match="injected 3 of at least 4"):
        probes.ensure_injected("mount", minimum="4")  # type: ignore[arg-type]
    assert len(probes.injection_events("mount", "2")["events"]) == 2  # type: ignore[arg-type]
    with pytest.raises(ActivityFailed, match=r"^minimum: 'x' is not a number; .* \"env_var_type\""):
        probes.ensure_injected("mount", minimum="x")  # type: ignore[arg-type]

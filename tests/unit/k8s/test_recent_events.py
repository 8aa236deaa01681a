"""However many nodes there are, as many events are kept as one agent keeps."""

from __future__ import annotations

from typing import Any

from chaoskernel.fault.spec import MAX_EVENTS
from chaoskernel.k8s.recent_events import Latest


def events(*seconds: int) -> list[dict[str, Any]]:
    return [{"at": f"2026-01-01T00:{second // 60:02}:{second % 60:02}+00:00"} for second in seconds]


def test_events_of_nodes_are_in_the_order_of_time_with_their_node() -> None:
    latest = Latest()
    latest.add("a", events(1, 3))
    latest.add("b", events(2))
    assert [event["node"] for event in latest.events] == ["a", "b", "a"]
    assert latest.dropped == 0


def test_the_latest_of_all_nodes_are_kept_and_the_others_counted() -> None:
    latest = Latest()
    for node in range(4):
        latest.add(f"n{node}", events(*range(node, 4 * MAX_EVENTS, 4)))
    assert len(latest.events) == MAX_EVENTS
    assert latest.dropped == 3 * MAX_EVENTS
    assert list(latest.events) == sorted(latest.events, key=lambda event: str(event["at"]))
    assert {event["node"] for event in latest.events} == {"n0", "n1", "n2", "n3"}
    assert latest.events[0]["at"] == events(3 * MAX_EVENTS)[0]["at"]

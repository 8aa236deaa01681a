"""What an agent answers about sites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from chaoskernel.agent import protocol
from chaoskernel.agent.answers import answer
from chaoskernel.engine import ArmedFault
from chaoskernel.errors import AgentError, InvalidFault
from chaoskernel.fault.sites import Hits, Phase, Run, Site, Sites
from tests.unit.fault.test_sites import SITE

MANY = [Site.from_json({**SITE.to_json(), "id": f"{number:010x}"}) for number in range(900)]


class FakeRecorder:
    def __init__(self) -> None:
        self.begun: list[tuple[Sequence[int], Sites]] = []
        self.phases: list[Phase] = []

    def begin(self, pids: Sequence[int], sites: Sites) -> None:
        if 1 in pids or 7 in pids:
            raise InvalidFault("pids", 7, "a process that may be hit")
        self.begun.append((pids, sites))

    def set_phase(self, phase: Phase) -> None:
        self.phases.append(phase)

    def end(self) -> Run:
        return Run({site.id: 1 for site in MANY}, tuple(MANY), (1,), 3, {MANY[0].id: (Phase.STOP,)})

    def known(self) -> list[tuple[Site, int]]:
        return [(site, 2) for site in reversed(MANY)]


class FakeArmed:
    def __init__(self) -> None:
        self.recorder: FakeRecorder | None = FakeRecorder()


@pytest.fixture
def armed() -> FakeArmed:
    return FakeArmed()


def said(armed: FakeArmed, **message: Any) -> dict[str, Any]:
    answered = answer(cast(ArmedFault, armed), message)
    assert answered
    line = protocol.encode(answered)
    assert len(line) < protocol.MAX_MESSAGE
    return dict(protocol.heard(line))


def test_a_run_is_begun_with_what_fails_and_who_is_hit(armed: FakeArmed) -> None:
    sites = {"fail": [SITE.id], "hits": "persistent", "phases": ["stop"], "every": False}
    assert said(armed, request="begin_run", id=4, pids=[42], sites=sites) == {
        "type": "begin_run",
        "id": 4,
    }
    assert armed.recorder
    assert armed.recorder.begun == [
        ([42], Sites((SITE.id,), Hits.PERSISTENT, (Phase.STOP,), every=False))
    ]
    assert "refused" not in said(armed, request="phase", phase="work")
    assert armed.recorder.phases == [Phase.WORK]


@pytest.mark.parametrize(
    "message",
    [
        {"request": "begin_run", "pids": [7]},
        {"request": "begin_run", "sites": {"fail": ["x"]}},
        {"request": "begin_run", "sites": 5},
        {"request": "phase", "phase": "never"},
        {"request": "phase"},
    ],
)
def test_a_run_that_cannot_be_is_refused_and_the_fault_stays(
    armed: FakeArmed, message: dict[str, Any]
) -> None:
    assert said(armed, **message)["refused"]
    assert armed.recorder
    assert not armed.recorder.begun
    assert not armed.recorder.phases


@pytest.mark.parametrize(
    "message",
    [
        {"request": "begin_run", "pids": "42"},
        {"request": "begin_run", "pids": [1]},
        {"request": "begin_run", "pids": [42] * 65},
        {"request": "begin_run", "pids": [True]},
        {"request": "sites", "first": -1},
    ],
)
def test_a_request_of_wrong_types_is_an_error(armed: FakeArmed, message: dict[str, Any]) -> None:
    with pytest.raises(AgentError):
        answer(cast(ArmedFault, armed), message)


def test_sites_come_in_pieces(armed: FakeArmed) -> None:
    run = said(armed, request="end_run")
    assert len(run["new"]) == 500
    assert len(run["left"]) == 400
    assert (run["failed"], run["lost"]) == ([1], 3)
    assert run["phases"] == {MANY[0].id: ["stop"]}
    first = said(armed, request="sites")
    rest = said(armed, request="sites", first=500)
    assert first["known"] == rest["known"] == 900
    assert [each["id"] for each in first["sites"] + rest["sites"]] == [s.id for s in MANY]


def test_a_fault_without_sites_says_so(armed: FakeArmed) -> None:
    armed.recorder = None
    with pytest.raises(AgentError, match="records no sites"):
        answer(cast(ArmedFault, armed), {"request": "sites"})


def test_what_is_no_request_is_not_answered(armed: FakeArmed) -> None:
    for request in ("dance", None, 5, ["sites"]):
        assert answer(cast(ArmedFault, armed), {"request": request}) is None

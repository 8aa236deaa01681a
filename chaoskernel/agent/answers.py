"""What an agent answers to the requests of its owner, but to stop; see protocol.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from chaoskernel.agent import protocol
from chaoskernel.engine import ArmedFault, Recorder
from chaoskernel.errors import AgentError, InvalidFault
from chaoskernel.fault.checks import is_int, mapping
from chaoskernel.fault.scope import MAX_PID
from chaoskernel.lazy import Lazy

if TYPE_CHECKING:
    from chaoskernel.fault import sites as given
else:
    given = Lazy("chaoskernel.fault.sites")  # of faults with sites

_SITES = 500
"""Most sites in one message: each may have 64 places."""

_MAX_PIDS = 64


def answer(armed: ArmedFault, message: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a request is answered with; None to one that is not known here.

    :raises AgentError: the request is not what protocol.py says.
    """
    request = message.get("request")
    answers = _ANSWERS.get(request) if isinstance(request, str) else None
    if answers is None:
        return None
    number = {"id": message["id"]} if is_int(message.get("id")) else {}
    return {"type": request, **answers(armed, message), **number}


def _counters(armed: ArmedFault, _: Mapping[str, Any]) -> dict[str, Any]:
    return {"counters": dict(armed.counters())}


def _events(armed: ArmedFault, message: Mapping[str, Any]) -> dict[str, Any]:
    return dict(armed.events(_number(message, "limit")))


def _begin_run(armed: ArmedFault, message: Mapping[str, Any]) -> dict[str, Any]:
    pids = message.get("pids", [])
    if (
        not isinstance(pids, list)
        or len(pids) > _MAX_PIDS
        or not all(is_int(pid) and 1 < pid <= MAX_PID for pid in pids)
    ):
        raise AgentError(f"pids: {str(pids)[:60]!r} is not a list of up to {_MAX_PIDS} processes")
    try:
        sites = given.sites_of(mapping("sites", message.get("sites", {})))
        _recorder(armed).begin(pids, sites)
    except InvalidFault as wrong:  # the fault stays; the owner hears why there is no run
        return {"refused": str(wrong)}
    return {}


def _phase(armed: ArmedFault, message: Mapping[str, Any]) -> dict[str, Any]:
    try:
        _recorder(armed).set_phase(given.phase_of(message.get("phase")))
    except InvalidFault as wrong:
        return {"refused": str(wrong)}
    return {}


def _end_run(armed: ArmedFault, _: Mapping[str, Any]) -> dict[str, Any]:
    run = _recorder(armed).end()
    return {
        "counts": dict(run.counts),
        "new": [site.to_json() for site in run.new[:_SITES]],
        "left": [site.id for site in run.new[_SITES:]],
        "failed": list(run.failed),
        "lost": run.lost,
        "phases": {site: [phase.value for phase in met] for site, met in run.phases.items()},
    }


def _sites(armed: ArmedFault, message: Mapping[str, Any]) -> dict[str, Any]:
    return sites_from(_recorder(armed), min(_number(message, "first"), given.MAX_SITES))


def sites_from(recorder: Recorder, first: int = 0) -> dict[str, Any]:
    """Return a piece of the list of sites, in the order of their ids, and how many there are."""
    known = sorted(recorder.known(), key=lambda each: each[0].id)
    some = known[first : first + _SITES]
    return {
        "sites": [{**site.to_json(), "count": count} for site, count in some],
        "known": len(known),
    }


def _recorder(armed: ArmedFault) -> Recorder:
    if armed.recorder is None:
        raise AgentError("this fault records no sites", hint="start it with sites")
    return armed.recorder


def _number(message: Mapping[str, Any], key: str) -> int:
    value = message.get(key, 0)
    if not is_int(value) or value < 0:
        raise AgentError(f"{key}: {str(value)[:60]!r} is not a number from 0 on")
    return int(value)


_ANSWERS: dict[str, Callable[[ArmedFault, Mapping[str, Any]], dict[str, Any]]] = {
    protocol.REQUEST_COUNTERS: _counters,
    protocol.REQUEST_EVENTS: _events,
    protocol.REQUEST_BEGIN_RUN: _begin_run,
    protocol.REQUEST_PHASE: _phase,
    protocol.REQUEST_END_RUN: _end_run,
    protocol.REQUEST_SITES: _sites,
}

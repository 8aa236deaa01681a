"""The life of an agent: one fault, from its document to its end.

Until the fault is armed a signal simply ends the process; afterwards it ends the
fault first.  Either way the descriptors go with the process, and with them
everything that is attached.
"""

from __future__ import annotations

import datetime
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from chaoskernel.agent import protocol
from chaoskernel.agent.lifeline import DEADLINE, Lifeline, Requests
from chaoskernel.agent.notice import posted
from chaoskernel.engine import ArmedFault, Engine, events
from chaoskernel.engine.choice import engine_for
from chaoskernel.errors import ChaosKernelError, InvalidFault
from chaoskernel.spec import Fault

FAILED = 1


_LOOK_SECONDS = 1.0
"""How often an agent looks after its pods, and reports what has changed."""
_REPORT_SECONDS = 10.0
"""How often it reports all the same: one that says nothing is cut off."""


def main(owner: int, document: str = "") -> int:
    """Serve one fault on standard input and output; return the exit status.

    :param owner: the process that the fault must not outlive; 0 for none.
    :param document: the fault; empty when it comes on standard input.
    """
    if owner:
        Lifeline.tie_to(owner)
    requests = Requests(sys.stdin.fileno())
    try:
        fault = Fault.from_text(document) if document else _read_fault(requests)
        serve(fault, engine_for(fault), requests)
    except ChaosKernelError as error:
        send(protocol.error_message(error))
        return FAILED
    return 0


def serve(fault: Fault, engine: Engine, requests: Requests) -> None:
    """Arm a fault, answer requests while it lasts, and take it back."""
    armed = engine.arm(fault, progress=lambda step: send({"type": protocol.PROGRESS, "step": step}))
    try:
        message = _armed_message(fault, engine, armed)
        with posted(message), Lifeline(requests) as lifeline:
            send(message)
            if fault.scope.pods:
                reason = _report(lifeline, armed)
            else:
                reason = _answer(lifeline, armed, until=armed.expires)
    finally:
        leftovers = armed.disarm()
    send(
        {
            "type": protocol.DISARMED,
            "reason": reason,
            "counters": dict(armed.counters()),
            **armed.events(events.KEPT),
            "ended_at": _iso(time.time()),
            "leftovers": leftovers,
        }
    )


def send(message: Mapping[str, Any]) -> None:
    """Write a message; when nobody reads any more, end at once."""
    line = protocol.encode(message)
    try:
        sys.stdout.write(line)
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        os._exit(FAILED)


def _read_fault(requests: Requests) -> Fault:
    line = requests.line()
    if line is None:
        raise InvalidFault("the fault", "", "a JSON document", hint="write it on standard input")
    return Fault.from_text(line)


def _report(lifeline: Lifeline, armed: ArmedFault) -> str:
    """Report the counters, and follow the pods, until the fault is to end; return why it ends.

    On a node nobody can ask: what is read there is the log.
    """
    said: Mapping[str, Any] = {}
    said_at = 0.0
    while True:
        armed.follow()
        now, seen = time.monotonic(), armed.counters()
        if seen != said or now - said_at >= _REPORT_SECONDS:
            send({"type": protocol.COUNTERS, "counters": dict(seen)})
            said, said_at = seen, now
        look = time.monotonic_ns() + round(_LOOK_SECONDS * 1e9)
        reason = _answer(lifeline, armed, until=min(look, armed.expires))
        if reason != DEADLINE or time.monotonic_ns() >= armed.expires:
            return reason


def _answer(lifeline: Lifeline, armed: ArmedFault, *, until: int) -> str:
    """Answer requests until the fault is to end; return why it ends.

    :param until: CLOCK_MONOTONIC, ns.
    """
    while True:
        line = lifeline.wait(until=until)
        if isinstance(line, str):
            return line
        message = protocol.decode(line.text)
        request = message.get("request")
        if request == protocol.REQUEST_STOP:
            return "stop"
        if request == protocol.REQUEST_COUNTERS:
            send({"type": protocol.COUNTERS, "counters": dict(armed.counters())})
        if request == protocol.REQUEST_EVENTS:
            send({"type": protocol.EVENTS, **armed.events(message.get("limit", 0))})


def _armed_message(fault: Fault, engine: Engine, armed: ArmedFault) -> dict[str, Any]:
    now, left = time.time(), armed.expires - time.monotonic_ns()
    return {
        "type": protocol.ARMED,
        "name": fault.name,
        "hook": armed.placement.hook.symbol,
        "mechanism": armed.placement.hook.mechanism.value,
        "engine": engine.name,
        "callchain": [
            {"symbol": probe.symbol, "mechanism": probe.mechanism.value}
            for probe in armed.placement.frames
        ],
        "targets": [dict(target) for target in armed.targets],
        "armed_at": _iso(now),
        "expires_at": _iso(now + left / 1e9),
        "programs": list(armed.programs),
        "warnings": list(armed.warnings),
    }


def _iso(moment: float) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).isoformat()

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
from chaoskernel.agent.lifeline import Lifeline, Requests
from chaoskernel.agent.notice import posted
from chaoskernel.engine import ArmedFault, Engine, events
from chaoskernel.engine.choice import engine_for
from chaoskernel.errors import ChaosKernelError, InvalidFault
from chaoskernel.spec import Fault

FAILED = 1


def main(owner: int) -> int:
    """Serve one fault on standard input and output; return the exit status.

    :param owner: the process that the fault must not outlive; 0 for none.
    """
    if owner:
        Lifeline.tie_to(owner)
    requests = Requests(sys.stdin.fileno())
    try:
        fault = _read_fault(requests)
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
            reason = _answer(lifeline, armed)
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
    try:
        sys.stdout.write(protocol.encode(message))
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        os._exit(FAILED)


def _read_fault(requests: Requests) -> Fault:
    line = requests.line()
    if line is None:
        raise InvalidFault("the fault", "", "a JSON document", hint="write it on standard input")
    return Fault.from_json(protocol.decode(line))


def _answer(lifeline: Lifeline, armed: ArmedFault) -> str:
    """Answer requests until the fault is to end; return why it ends."""
    while True:
        line = lifeline.wait(until=armed.expires)
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
    }


def _iso(moment: float) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).isoformat()

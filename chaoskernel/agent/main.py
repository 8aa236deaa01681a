"""The life of an agent: one fault, from its document to its end.

Until the fault is armed a signal simply ends the process; afterwards it ends the
fault first.  Either way the descriptors go with the process, and with them
everything that is attached.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from chaoskernel.agent import kmsg, protocol
from chaoskernel.agent.answers import answer, sites_from
from chaoskernel.agent.lifeline import DEADLINE, Lifeline, Requests
from chaoskernel.agent.notice import posted
from chaoskernel.agent.output import Output, never_block
from chaoskernel.agent.own_types import say_types
from chaoskernel.agent.reports import Points, Reports, Teller
from chaoskernel.engine import ArmedFault, Engine, events, stand_in
from chaoskernel.engine.choice import engine_for
from chaoskernel.engine.stand_in import Started
from chaoskernel.errors import ChaosKernelError, InvalidFault
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.error_numbers import error_text
from chaoskernel.fault.spec import Fault
from chaoskernel.kernel import boottime, processes
from chaoskernel.moment import iso

FAILED = 1

_LOOK_SECONDS = 1.0
"""How often an agent looks after its pods, and at its counters."""

_FINAL_SECONDS = 5.0
"""How long somebody may take to read the last message; the fault is over by then."""


def main(owner: int, document: str = "") -> int:
    """Serve one fault on standard input and output; return the exit status.

    :param owner: the process that the fault must not outlive; 0 for none.
    :param document: the fault, as an Assignment's; empty when it comes on standard input.
    """
    if owner:
        Lifeline.tie_to(owner)
    if sys.stdin is None or sys.stdout is None:  # closed: something else may get its number
        return FAILED
    if sys.stderr is not None:
        never_block(sys.stderr.fileno())
    requests, output = Requests(sys.stdin.fileno()), Output(sys.stdout.fileno())
    status = 0
    try:
        given = Assignment.from_text(document) if document else _read_assignment(requests)
        given.require_machine()
        if given.types:
            say_types(output)
        serve(given.fault, engine_for(given.fault, given.object), requests, output, given.object)
    except ChaosKernelError as error:
        output.say(protocol.error_message(error))
        status = FAILED
    finally:
        written = output.flush(_FINAL_SECONDS)
    return status if written else FAILED


def serve(
    fault: Fault, engine: Engine, requests: Requests, output: Output, image: str = ""
) -> None:
    """Arm a fault, answer requests while it lasts, and take it back.

    What is said last is said when nothing is attached any more; it is on its way on return.

    :param image: the object that was compiled for the fault; a stand-in has the same chain.
    """
    started = stand_in.arm(
        fault,
        engine,
        lambda step: output.say({"type": protocol.PROGRESS, "step": step}),
        lambda other: engine_for(other, image),
    )
    armed = started.armed
    # On a node nobody can ask: what is read there is the log.
    on_a_node = bool(fault.scope.pods)
    teller: Teller = Reports() if on_a_node else Points()
    count = armed.counters if on_a_node else armed.totals
    try:
        message = _armed_message(fault, started)
        with posted(message), Lifeline(requests, armed.hold) as lifeline:
            output.say(message)
            error = error_text(fault.reported) or "a value of its own"
            kmsg.say(f"fault '{fault.name}' is in force: {message['hook']} fails with {error}")
            reason = _follow(lifeline, armed, output, teller, count)
    finally:
        leftovers = armed.disarm()
        hits = armed.counters().get("injected", 0)
        kmsg.say(f"fault '{fault.name}' has ended: {hits} requests failed")
    output.say(
        {
            "type": protocol.DISARMED,
            "reason": reason,
            "counters": dict(armed.counters()),
            **armed.events(events.KEPT),
            "ended_at": iso(time.time()),
            "leftovers": leftovers,
            "unread": output.unread,
            "since": teller.since,
            **(sites_from(armed.recorder) if armed.recorder else {}),
        }
    )


def _read_assignment(requests: Requests) -> Assignment:
    line = requests.line()
    if line is None:  # its end is that of the input: printf, or tr -d '\n'
        line = requests.rest()
    if not line:
        raise InvalidFault("the fault", "", problem="missing", hint="write it on standard input")
    return Assignment.from_text(line)


def _follow(
    lifeline: Lifeline,
    armed: ArmedFault,
    output: Output,
    teller: Teller,
    count: Callable[[], Mapping[str, Any]],
) -> str:
    """Follow containers and mounts, and report, until the fault is to end; return why it ends.

    :param count: returns what the teller is asked about.
    """
    while True:
        armed.follow()
        if message := teller.due(count(), time.monotonic()):
            output.say(message)
        look = boottime.now() + round(_LOOK_SECONDS * 1e9)
        reason = _answer(lifeline, armed, output, until=min(look, armed.expires))
        if reason != DEADLINE or boottime.now() >= armed.expires:
            return reason


def _answer(lifeline: Lifeline, armed: ArmedFault, output: Output, *, until: int) -> str:
    """Answer requests until the fault is to end; return why it ends.

    :param until: CLOCK_BOOTTIME, ns.
    :raises AgentError: what came in is not a request.
    """
    while True:
        line = lifeline.wait(until=until)
        if isinstance(line, str):
            return line
        message = protocol.decode(line.text)
        if message.get("request") == protocol.REQUEST_STOP:
            return "stop"
        if said := answer(armed, message):
            output.say(said)


def _armed_message(asked: Fault, started: Started) -> dict[str, Any]:
    """Return what is said of a fault in force.

    :param asked: the fault that was asked for, which may be another.
    """
    fault, engine, armed, why = started
    label = {"fault": fault.kind.value, "stand_in_for": asked.kind.value} if why else {}
    now, left = time.time(), armed.expires - boottime.now()
    return {
        "type": protocol.ARMED,
        "name": fault.name,
        **label,
        "hook": ", ".join(placed.probe.symbol for placed in armed.placement.hooks),
        "hooks": [placed.probe.symbol for placed in armed.placement.hooks],
        "mechanism": armed.placement.mechanism.value,
        "proof": armed.proof,
        "engine": engine.name,
        "callchain": [
            {"symbol": probe.symbol, "mechanism": probe.mechanism.value}
            for probe in armed.placement.frames
        ],
        "targets": [dict(target) for target in armed.targets],
        "armed_at": iso(now),
        "expires_at": iso(now + left / 1e9),
        "programs": list(armed.programs),
        "warnings": [*([why] if why else []), *fault.warnings, *armed.warnings, *_nobody(fault)],
        "left_out": list(armed.placement.left_out),
    }


def _nobody(fault: Fault) -> list[str]:
    """Return which of the commands in scope no process has now, a line for each."""
    if not fault.scope.commands:
        return []
    running = {process.command for process in processes.snapshot().values()}
    return [
        f"no process is named {command} now; those that take the name later are hit"
        for command in fault.scope.commands
        if command not in running
    ]

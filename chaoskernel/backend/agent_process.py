"""One child agent, as its owner sees it: what it has said, and how it is ended."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from chaoskernel.agent import kmsg, protocol
from chaoskernel.agent.output import Output
from chaoskernel.backend.launch import START_VARIABLE
from chaoskernel.backend.record import Record, State
from chaoskernel.backend.series import Series
from chaoskernel.errors import AgentError, TimeLimit
from chaoskernel.fault.spec import Fault
from chaoskernel.log import logger

_TAIL_LINES = 20
_TAIL_CHARACTERS = 500
_MOST_SKIPPED = 20
_DRAIN_SECONDS = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class Waits:
    """How many seconds the backend waits for an agent before it does something about it.

    :param start: from the launch until the fault is armed; None is what
        launch.start_seconds() says.
    :param reply: for counters.
    :param stop: from the request to stop until SIGTERM.
    :param term: from SIGTERM until SIGKILL.
    """

    start: float | None = None
    reply: float = 10.0
    stop: float = 15.0
    term: float = 5.0


class Agent:
    """A child agent, and what it has said so far.

    Two threads read its output and its errors; everything they write is guarded
    by `_news`, which wakes whoever waits for it.
    """

    def __init__(self, child: subprocess.Popen[str], name: str) -> None:
        self._child = child
        self._name = name
        self._news = threading.Condition()
        self._said: dict[str, Mapping[str, Any]] = {}  # the last message of each type
        self._asked: collections.Counter[str] = collections.Counter()
        self._answered: collections.Counter[str] = collections.Counter()
        self._series = Series()
        self._skipped = 0
        self._gone = ""  # when it ended
        self._input = _input_of(child)
        self._tail: collections.deque[str] = collections.deque(maxlen=_TAIL_LINES)
        self._errors = threading.Thread(target=self._read_errors, daemon=True)
        self._output = threading.Thread(target=self._read_output, daemon=True)
        self._errors.start()
        self._output.start()

    @property
    def armed(self) -> bool:
        """Whether its fault came into force at any time."""
        return protocol.ARMED in self._said

    def tell(self, message: Mapping[str, Any]) -> None:
        """Send a message, and do not wait for its being read.

        That the agent is gone is learnt from the end of its output.
        """
        if self._input is not None:
            self._input.say(message)

    def await_armed(self, seconds: float) -> None:
        """Wait until the fault is in force.

        :raises ChaosKernelError: the agent's own error.
        :raises AgentError: the agent died.
        :raises TimeLimit: it took too long.
        """
        with self._news:
            self._news.wait_for(lambda: self.armed or self._is_over(), seconds)
            if protocol.ERROR in self._said:
                raise protocol.error_of(self._said[protocol.ERROR])
            if self.armed:
                return
            if self._gone:
                raise AgentError(f"{self._obituary()} before fault '{self._name}' was armed")
        raise TimeLimit(
            f"fault '{self._name}' was not armed within {seconds:g} s, and its agent was ended",
            hint=f"on a slow machine, set {START_VARIABLE} to more",
        )

    def ask(self, request: str, seconds: float, **details: Any) -> Mapping[str, Any]:
        """Ask for what is answered by a message of the same name.

        :return: the answer; nothing when the fault came to its end instead.
        :raises AgentError: no answer came in time.
        """
        with self._news:
            self._asked[request] += 1
            mine = self._asked[request]
            self.tell({"request": request, "id": mine, **details})
            if not self._news.wait_for(
                lambda: self._answered[request] >= mine or self._is_over(), seconds
            ):
                raise AgentError(
                    f"the agent of fault '{self._name}' did not answer within {seconds:g} s",
                    hint="stop the fault; that ends the agent in any case",
                )
            return self._said[request] if self._answered[request] >= mine else {}

    def ask_to_stop(self) -> None:
        """Ask for the end, without waiting.  One that is not armed yet takes no requests."""
        if self.armed:
            self.tell({"request": protocol.REQUEST_STOP})
        else:
            self._child.send_signal(signal.SIGTERM)

    def finish(self, waits: Waits) -> None:
        """Wait for the end that was asked for; bring it about when it does not come.

        :raises AgentError: even SIGKILL did not end the agent.
        """
        if not self._exits_within(waits.stop):
            logger.warning("the agent of fault '%s' does not stop; ending it", self._name)
            self.end(waits)
        self._output.join(_DRAIN_SECONDS)

    def end(self, waits: Waits) -> None:
        """End the agent by signals, and reap it.

        :raises AgentError: even SIGKILL did not end it.
        """
        for number in (signal.SIGTERM, signal.SIGKILL):
            self._child.send_signal(number)
            if self._exits_within(waits.term):
                return
        raise AgentError(
            f"the agent of fault '{self._name}', process {self._child.pid}, cannot be killed"
        )

    def record(self, fault: Fault) -> Record:
        """Return what is known of the fault."""
        with self._news:
            armed = self._said.get(protocol.ARMED, {})
            counters = self._said.get(protocol.COUNTERS, {}).get("counters", {})
            series = self._series.to_json()
            if protocol.DISARMED in self._said:
                last = self._said[protocol.DISARMED]
                return Record(
                    fault=fault,
                    state=State.ENDED,
                    armed=armed,
                    counters=last.get("counters", counters),
                    ended_at=last.get("ended_at", ""),
                    reason=last.get("reason", ""),
                    leftovers=tuple(last.get("leftovers", ())),
                    events=tuple(last.get("events", ())),
                    dropped=last.get("dropped", 0),
                    series=series,
                )
            if not self._is_over():
                return Record(fault, State.ACTIVE, armed, counters, series=series)
            error = self._said.get(protocol.ERROR)
            reason = str(protocol.error_of(error)) if error else self._obituary()
            ended = self._gone or _now()
            return Record(fault, State.LOST, armed, counters, ended, reason, series=series)

    def final_sites(self) -> Sequence[Mapping[str, Any]]:
        """Return the sites that were known at the end; none before it."""
        with self._news:
            last = self._said.get(protocol.DISARMED, {})
            found: Sequence[Mapping[str, Any]] = last.get("sites", ())
            return found

    def _is_over(self) -> bool:
        return bool(self._gone) or bool(self._said.keys() & {protocol.ERROR, protocol.DISARMED})

    def _exits_within(self, seconds: float) -> bool:
        try:
            self._child.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _obituary(self) -> str:
        status = self._child.returncode
        how = "ended"
        if status is not None:
            how = f"exited with status {status}"
            if status < 0:
                how = f"was killed by {_signal_name(-status)}"
        said = next((line for line in reversed(self._tail.copy()) if line.strip()), "")
        return f"the agent {how}" + (f" ({said.strip()})" if said else "")

    def _read_errors(self) -> None:
        if self._child.stderr is not None:
            with self._child.stderr as errors:
                for line in _lines(errors):
                    self._tail.append(line[:_TAIL_CHARACTERS])

    def _read_output(self) -> None:
        try:
            if self._child.stdout is not None:
                with self._child.stdout as output:
                    for line in _lines(output):
                        self._hear(line)
        finally:
            self._errors.join(_DRAIN_SECONDS)
            self._child.wait()
            if self._input is not None:
                self._input.close()
            if self.armed and protocol.DISARMED not in self._said:  # it could not say so itself
                kmsg.say(f"fault '{self._name}' has ended: {self._obituary()}")
            with self._news:
                self._gone = _now()
                self._news.notify_all()

    def _hear(self, line: str) -> None:
        """Take in a line; skip and report one that is no message."""
        try:
            message = protocol.heard(line)
        except AgentError as error:  # a library's own words, the interpreter's, another version's
            self._tail.append(line[:_TAIL_CHARACTERS])
            self._skipped += 1
            if self._skipped <= _MOST_SKIPPED:
                logger.warning("Fault '%s': a line of its agent is skipped: %s", self._name, error)
            return
        kind = str(message["type"])
        if kind == protocol.PROGRESS:
            logger.info("Fault '%s': %s", self._name, message.get("step", ""))
        if kind == protocol.ARMED:
            for warning in protocol.warnings_of(message):
                logger.warning("Fault '%s': %s", self._name, warning)
        with self._news:
            if kind == protocol.ARMED:
                self._series.begin(message)
            if kind in (protocol.POINT, protocol.DISARMED):
                self._series.take(message)
            self._said[kind] = message
            self._answered[kind] = message.get("id", self._answered[kind] + 1)
            self._news.notify_all()


def _input_of(child: subprocess.Popen[str]) -> Output | None:
    """Return what writes to a child; a thread owns the descriptor, so that none closes it early."""
    if child.stdin is None:
        return None
    descriptor = os.dup(child.stdin.fileno())
    child.stdin.close()
    return Output(descriptor, backlog=2 * protocol.MAX_LINE, gone=lambda: None)


def _lines(stream: IO[str]) -> Iterator[str]:
    """Yield the lines of a stream; of one that is too long for a message only the beginning."""
    begins = True
    while piece := stream.readline(protocol.MAX_MESSAGE + 1):
        if begins:
            yield piece
        begins = piece.endswith("\n")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals
        return f"signal {number}"


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat()

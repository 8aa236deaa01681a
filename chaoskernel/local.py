"""The local target: one child agent for each fault, on this host.

The agent owns the fault, so that the fault's end is sure: an agent ends with a
request, with its deadline, with a signal and with the death of its parent, and the
kernel detaches what a dead process had attached.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import logging
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from chaoskernel.agent import protocol
from chaoskernel.errors import AgentError, EngineError, InvalidFault, TimeLimit, UnknownFault
from chaoskernel.launch import START_VARIABLE, launch_agent, start_seconds
from chaoskernel.spec import Fault
from chaoskernel.target import Record, State, Target

logger = logging.getLogger("chaostoolkit.kernel")

_TAIL_LINES = 20
_DRAIN_SECONDS = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class Waits:
    """How many seconds the target waits for an agent before it does something about it.

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


class LocalTarget:
    """Faults of this process on this host.

    :param launch: starts an agent, with pipes for its standard streams.
    """

    def __init__(
        self,
        launch: Callable[[], subprocess.Popen[str]] = launch_agent,
        waits: Waits | None = None,
    ) -> None:
        self._launch = launch
        self._waits = waits or Waits()
        self._lock = threading.Lock()
        self._held: list[_Held] = []

    def start(self, fault: Fault) -> Record:
        """Inject a fault; return once it is in force.

        :raises ChaosKernelError: it is not in force, and its agent was ended.
        """
        seconds = self._waits.start
        if seconds is None:
            seconds = start_seconds()
        with contextlib.ExitStack() as undo:
            held = self._hold(fault, undo)
            held.agent.tell(fault.to_json())
            held.agent.await_armed(seconds)
            undo.pop_all()
        return held.record()

    def counters(self, name: str) -> dict[str, Any]:
        """Return a fault's counters: as of now, or the final ones once it ended.

        :raises UnknownFault: no fault of that name was started.
        :raises AgentError: the agent did not answer.
        """
        held = self._named(name)
        if held.record().state is State.ACTIVE:
            held.agent.ask_counters(self._waits.reply)
        return dict(held.record().counters)

    def record(self, name: str) -> Record:
        """Return what is known of a fault, without asking its agent.

        :raises UnknownFault: no fault of that name was started.
        """
        return self._named(name).record()

    def records(self) -> Sequence[Record]:
        """Return what is known of every fault, in the order in which they were started."""
        with self._lock:
            return [held.record() for held in self._held if held.agent.armed]

    def stop(self, name: str = "") -> Sequence[Record]:
        """End a fault, or all of them, and return them with their final counters.

        Every agent is seen to before an error of one of them is raised.

        :param name: the fault; empty for all of them, also those that are still
            being started.
        :raises EngineError: a program of a fault was loaded still; the agent is gone.
        :raises AgentError: an agent could not be killed.
        """
        with self._lock:
            chosen = [held for held in self._held if name in ("", held.fault.name)]
        if name:
            chosen = chosen[-1:]
        for held in chosen:
            held.agent.ask_to_stop()
        troubles = [trouble for held in chosen for trouble in self._finish(held)]
        if troubles:
            raise EngineError(
                ", and ".join(troubles), hint="`bpftool prog` lists what is loaded, and by whom"
            )
        return [held.record() for held in chosen if held.agent.armed]

    def _finish(self, held: _Held) -> Iterator[str]:
        """Wait for the end of an agent that was asked to stop; yield what went wrong."""
        try:
            held.agent.finish(self._waits)
        except AgentError as error:
            yield str(error)
        leftovers = held.new_leftovers()
        if leftovers:
            ids = ", ".join(map(str, leftovers))
            yield f"fault '{held.fault.name}' has ended, but its programs are loaded still: {ids}"

    def _hold(self, fault: Fault, undo: contextlib.ExitStack) -> _Held:
        """Launch an agent and enter it into the registry; both are undone with `undo`.

        It is entered before it is armed, so that `stop` finds it in every state.
        """
        with self._lock:
            for held in self._held:
                if held.fault.name == fault.name and held.unfinished():
                    raise InvalidFault(
                        "name",
                        fault.name,
                        "free: a fault of that name is active",
                        hint="stop that one first, or take another name",
                    )
            new = _Held(fault, _Agent(self._launch(), fault.name))
            self._held.append(new)
            undo.callback(self._held.remove, new)
            undo.callback(new.agent.end, self._waits)
            return new

    def _named(self, name: str) -> _Held:
        with self._lock:
            armed = [held for held in self._held if held.agent.armed]
        for held in reversed(armed):
            if held.fault.name == name:
                return held
        known = ", ".join(dict.fromkeys(held.fault.name for held in armed))
        raise UnknownFault(
            f"no fault named '{name}' was started by this process",
            hint=f"there are: {known}" if known else "start_injection starts one",
        )


_shared: list[Target] = []
_shared_lock = threading.Lock()


def shared() -> Target:
    """Return the one target of this process: it has all the faults that its activities start."""
    with _shared_lock:
        if not _shared:
            _shared.append(LocalTarget())
        return _shared[-1]


@contextlib.contextmanager
def sharing(target: Target) -> Iterator[None]:
    """Make another target the shared one for a while."""
    with _shared_lock:
        _shared.append(target)
    try:
        yield
    finally:
        with _shared_lock:
            _shared.remove(target)


class _Held:
    """A fault and its agent."""

    def __init__(self, fault: Fault, agent: _Agent) -> None:
        self.fault = fault
        self.agent = agent
        self._leftovers_told = False

    def record(self) -> Record:
        return self.agent.record(self.fault)

    def unfinished(self) -> bool:
        return self.record().state is State.ACTIVE

    def new_leftovers(self) -> tuple[int, ...]:
        """Return what is loaded still, once: an agent that is gone cannot look again."""
        told, self._leftovers_told = self._leftovers_told, True
        return () if told else self.record().leftovers


class _Agent:
    """A child agent, and what it has said so far.

    Two threads read its output and its errors; everything they write is guarded
    by `_news`, which wakes whoever waits for it.
    """

    def __init__(self, child: subprocess.Popen[str], name: str) -> None:
        self._child = child
        self._name = name
        self._news = threading.Condition()
        self._said: dict[str, Mapping[str, Any]] = {}  # the last message of each type
        self._asked = 0
        self._answered = 0
        self._gone = ""  # when it ended
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
        """Send a message; that the agent is gone is learnt from the end of its output."""
        child_input = self._child.stdin
        if child_input is not None:
            with self._news, contextlib.suppress(OSError, ValueError):
                child_input.write(protocol.encode(message))
                child_input.flush()

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

    def ask_counters(self, seconds: float) -> None:
        """Have the counters brought up to date.

        :raises AgentError: no answer came in time.
        """
        with self._news:
            self._asked += 1
            mine = self._asked
            self.tell({"request": protocol.REQUEST_COUNTERS})
            if not self._news.wait_for(lambda: self._answered >= mine or self._is_over(), seconds):
                raise AgentError(
                    f"the agent of fault '{self._name}' did not answer within {seconds:g} s",
                    hint="stop the fault; that ends the agent in any case",
                )

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
                )
            if not self._is_over():
                return Record(fault, State.ACTIVE, armed, counters)
            error = self._said.get(protocol.ERROR)
            reason = str(protocol.error_of(error)) if error else self._obituary()
            return Record(fault, State.LOST, armed, counters, self._gone or _now(), reason)

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
                how = f"was killed by {signal.Signals(-status).name}"
        said = next((line for line in reversed(self._tail.copy()) if line.strip()), "")
        return f"the agent {how}" + (f" ({said.strip()})" if said else "")

    def _read_errors(self) -> None:
        if self._child.stderr is not None:
            with self._child.stderr as errors:
                self._tail.extend(errors)

    def _read_output(self) -> None:
        if self._child.stdout is not None:
            with self._child.stdout as output:
                for line in output:
                    self._hear(line)
        self._errors.join(_DRAIN_SECONDS)
        self._child.wait()
        with self._news:
            if self._child.stdin is not None:
                with contextlib.suppress(OSError):
                    self._child.stdin.close()
            self._gone = _now()
            self._news.notify_all()

    def _hear(self, line: str) -> None:
        try:
            message = protocol.decode(line)
        except AgentError:
            self._tail.append(line)  # a library's own words, or the interpreter's
            return
        kind = str(message.get("type", ""))
        if kind == protocol.PROGRESS:
            logger.info("Fault '%s': %s", self._name, message.get("step", ""))
        with self._news:
            self._said[kind] = message
            self._answered += kind == protocol.COUNTERS
            self._news.notify_all()


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat()

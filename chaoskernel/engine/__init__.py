"""Engines load a fault's program on this kernel and own what they attached."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from chaoskernel.bpf.placement import Placement
from chaoskernel.fault.spec import Fault

if TYPE_CHECKING:
    from chaoskernel.fault.sites import Phase, Run, Site, Sites

Progress = Callable[[str], None]


class Recorder(Protocol):
    """The sites of one fault in force."""

    def begin(self, pids: Sequence[int], sites: Sites) -> None:
        """Count anew, say which sites fail from now on, and put processes in scope.

        :param pids: with all the descendants that they will have.
        :raises InvalidFault: one of them must not be hit, or is not there.
        """

    def set_phase(self, phase: Phase) -> None:
        """Say what the program is doing from now on: a store."""

    def end(self) -> Run:
        """Let nothing fail from now on; return what was seen since `begin`."""

    def known(self) -> Sequence[tuple[Site, int]]:
        """Return all sites that were met, and how often each was since `begin`."""


class ArmedFault(Protocol):
    """A fault in force, and the owner of every descriptor that keeps it so."""

    @property
    def placement(self) -> Placement:
        """Where its parts are attached."""

    @property
    def targets(self) -> Sequence[Mapping[str, Any]]:
        """What the scope names, as JSON objects: processes with their commands, and so on."""

    @property
    def programs(self) -> Sequence[int]:
        """Ids, as `bpftool prog` lists them."""

    @property
    def warnings(self) -> Sequence[str]:
        """What does not work on this kernel as it should, a line for each."""

    @property
    def proof(self) -> str:
        """How the hook was shown to be alive: a word of engine.prove; empty of a rehearsal."""

    @property
    def expires(self) -> int:
        """CLOCK_BOOTTIME, in ns; from then on the program itself injects nothing."""

    def counters(self) -> Mapping[str, Any]:
        """Return the counters, summed over the CPUs; monotonic while armed.

        Beside those of bpf.program.COUNTERS there are `frames`: of each frame its
        `symbol`, how often it was `entered` by tasks in scope and how often it
        `matched`, that is took its place in the chain; and `processes`: `pid`, `command` and
        `injected` of each that was hit (in a dry run: that would have been).  Where the
        scope has pods, `pods` tells the same of each `pod`.  `near` has each system `call` that
        is near the fault's own, and its `count` in the scope, where they are counted.
        """

    def totals(self) -> Mapping[str, int]:
        """Return those of bpf.program.COUNTERS alone: cheap, for once a second."""

    def events(self, limit: int) -> Mapping[str, Any]:
        """Return the latest injections, the oldest first; in a dry run those that would have been.

        :param limit: how many `events` to return at most; of more than
            events.KEPT the older ones are gone, and counted as `dropped`.
        """

    @property
    def recorder(self) -> Recorder | None:
        """What keeps its sites; None where it records none."""

    def follow(self) -> None:
        """Take in what has come into scope that the program does not see by itself.

        That is a container of a pod that was made anew.
        """

    def hold(self) -> None:
        """Inject nothing from now on: one store, for a signal's handler; `disarm` is to follow."""

    def disarm(self) -> list[int]:
        """Detach everything, the hook first; idempotent.

        Return the ids of programs that are loaded still: none, unless something
        went wrong.
        """


class Engine(Protocol):
    """A way to bring a program onto a kernel."""

    @property
    def name(self) -> str:
        """What `start_injection` returns as the engine."""

    def arm(self, fault: Fault, *, progress: Progress) -> ArmedFault:
        """Attach a fault, then put it in force in one step.

        :param progress: told what is being done, for steps that take long.
        :raises InvalidFault: this host has no such function or process.
        :raises UnsupportedKernel: this kernel cannot do it.
        :raises NotPermitted: this process may not load programs.
        :raises EngineError: the compiler, the verifier or an attachment failed.
        """

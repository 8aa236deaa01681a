"""What was seen of one run of a program: facts alone, without a judgement.

Frozen, and JSON both ways: the store keeps them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from chaoskernel.explore.typed import checked
from chaoskernel.fault.sites import Hits

TAIL_BYTES = 4096
"""How much of the end of an output is kept."""


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """One thing to try: which sites fail together, and which of their requests.

    :param sites: ids, up to two; the second fails as the first does.  None is the bare run.
    """

    sites: tuple[str, ...] = ()
    hits: Hits | int = Hits.ONCE

    @property
    def id(self) -> str:
        """What names it: `0123456789`, `0123456789+abcdef0123`, with `@persistent` or `@3`."""
        mode = "" if self.hits is Hits.ONCE else f"@{self.hits}"
        return "+".join(self.sites) + mode


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """How the program's first process ended.

    :param status: its exit status; None where a signal ended it, or it was ended by us.
    :param signal: the name of the signal that ended it; empty where none did.
    :param hung: it had to be ended, because its time was over.
    :param seconds: from its first instruction to its end.
    :param memory: peak of its resident memory, in bytes.
    :param not_started: the error number of execve(2), where it could not be started.
    """

    status: int | None = None
    signal: str = ""
    hung: bool = False
    seconds: float = 0.0
    memory: int = 0
    not_started: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one run.

    A check that was not asked for is None.

    :param ending: of the program, or of the service when it was stopped.
    :param output: a digest of what it wrote, with what changes from run to run masked.
    :param tail: the end of what it wrote, both streams, in text.
    :param ready: the service came up.
    :param workload: exit status of the workload of a service; None where there is none.
    :param steady: the check held while the service lived, after the fault.
    :param steady_again: it held after a restart; looked at where `steady` is false.
    :param intact: the verification held after a start without a fault.
    :param detail: what the checks said, a line.
    :param failed: how many requests failed at each site of the attempt.
    :param kernel: lines of the kernel's log that accuse the kernel, and processes that it does not
        end when they are killed.
    :param log: other lines of the kernel's log, such as those of a crashed child.
    :param descriptors: open files of the program's processes after its work; None where unknown.
    :param memory: their resident memory in bytes, or the peak of a command's.
    :param lost: the guest was lost.
    """

    ending: Ending = Ending()
    output: str = ""
    tail: str = ""
    ready: bool | None = None
    workload: int | None = None
    steady: bool | None = None
    steady_again: bool | None = None
    intact: bool | None = None
    detail: str = ""
    failed: tuple[int, ...] = ()
    kernel: tuple[str, ...] = ()
    log: tuple[str, ...] = ()
    descriptors: int | None = None
    memory: int = 0
    lost: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as a document of JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Observation:
        """Return what `to_json` made a document of.

        :raises ValueError: it is something else.
        """
        try:
            given = dict(document)
            for key in ("failed", "kernel", "log"):
                given[key] = tuple(given[key])
            return checked(cls(**{**given, "ending": checked(Ending(**given["ending"]))}))
        except (TypeError, KeyError, AttributeError) as wrong:
            raise ValueError(f"not an observation: {wrong}") from None


@dataclasses.dataclass(frozen=True, slots=True)
class Baseline:
    """What the program does when nothing fails, from several runs.

    :param runs: what was seen of each, their outputs masked by one mask.
    :param masked: how many parts of the output change from run to run.
    """

    runs: tuple[Observation, ...]
    masked: int = 0

    @property
    def outputs(self) -> frozenset[str]:
        """The digests of the outputs; more than one where the mask could not make them equal."""
        return frozenset(each.output for each in self.runs)

    @property
    def statuses(self) -> frozenset[tuple[int | None, int | None]]:
        """Exit statuses of program and workload."""
        return frozenset((each.ending.status, each.workload) for each in self.runs)

    @property
    def seconds(self) -> float:
        """How long the slowest took."""
        return max(each.ending.seconds for each in self.runs)

    @property
    def memory(self) -> int:
        """The most memory of a run, in bytes."""
        return max(each.memory for each in self.runs)

    @property
    def descriptors(self) -> int | None:
        """The most open files of a run; None where they are not known."""
        known = [each.descriptors for each in self.runs if each.descriptors is not None]
        return max(known) if known else None


def tail_of(text: bytes) -> str:
    """Return the end of an output as text."""
    return text[-TAIL_BYTES:].decode(errors="replace")

"""What a KernelChaos document says, checked; it knows no host and no cluster."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping

from chaoskernel.chaosmesh.cron import Cron
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.limits import MAX_DURATION
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault, Frame, Limits, Mechanism


class Mode(enum.StrEnum):
    """How many of the pods that a selector finds."""

    ONE = "one"
    ALL = "all"
    FIXED = "fixed"
    FIXED_PERCENT = "fixed-percent"
    RANDOM_MAX_PERCENT = "random-max-percent"


class Operator(enum.StrEnum):
    """How an expression compares a label (Kubernetes: set-based selectors)."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


class Phase(enum.StrEnum):
    """Where a pod is in its life (Kubernetes: PodPhase)."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


class Concurrency(enum.StrEnum):
    """What a tick does while the run of an earlier one lasts."""

    FORBID = "Forbid"
    ALLOW = "Allow"


@dataclasses.dataclass(frozen=True, slots=True)
class Requirement:
    """One expression on a pod's labels."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Selector:
    """Which pods: those that meet everything that is named.

    :param namespaces: at least one, unless `pods` names any.
    :param phases: a pod is in one of these.
    :param not_phases: and in none of these.
    :param nodes: a pod runs on one of these nodes, or one with `node_labels`.
    :param pods: names by namespace; they bypass everything else.
    """

    namespaces: tuple[str, ...] = ()
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    expressions: tuple[Requirement, ...] = ()
    annotations: Mapping[str, str] = dataclasses.field(default_factory=dict)
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)
    phases: tuple[Phase, ...] = ()
    not_phases: tuple[Phase, ...] = ()
    nodes: tuple[str, ...] = ()
    node_labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    pods: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Selection:
    """Which pods, how many of them, and which of their containers.

    :param value: how many, or how many per cent, where the mode asks for it.
    :param containers: by name; none is each pod's first.
    """

    mode: Mode
    selector: Selector
    value: int = 0
    containers: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """When a fault is injected again and again.

    :param deadline: how many seconds late a tick may be acted on; None is what
        schedule.py allows.
    :param history: how many runs that are over are remembered.
    """

    cron: Cron
    concurrency: Concurrency = Concurrency.FORBID
    deadline: float | None = None
    history: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class KernelChaos:
    """One document of kind KernelChaos, or of kind Schedule that holds one.

    :param probability: percent, above 0.
    :param duration: seconds; None is until it is deleted.
    :param plan: None injects once.
    :param paused: nothing is injected until it is resumed.
    """

    name: str
    namespace: str
    selection: Selection
    kind: Kind
    callchain: tuple[Frame, ...] = ()
    predicate: str = ""
    headers: tuple[str, ...] = ()
    probability: int = 100
    times: int = 0
    duration: float | None = None
    plan: Plan | None = None
    paused: bool = False

    def fault(
        self,
        scope: Scope,
        *,
        mechanism: Mechanism = Mechanism.AUTO,
        engine: EngineName = EngineName.AUTO,
        dry_run: bool = False,
        stand_in: bool = False,
    ) -> Fault:
        """Return the fault for a scope that takes the place of the selection.

        One that lasts until it is deleted ends after the longest duration all the same.

        :raises InvalidFault: its parts do not go together.
        """
        return Fault(
            name=self.name,
            kind=self.kind,
            scope=scope,
            callchain=self.callchain,
            limits=Limits(
                self.probability,
                self.times,
                MAX_DURATION if self.duration is None else self.duration,
            ),
            mechanism=mechanism,
            engine=engine,
            predicate=self.predicate,
            headers=self.headers,
            dry_run=dry_run,
            stand_in=stand_in,
        )

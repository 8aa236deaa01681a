"""The Fault and its parts: what to make fail, where, how often and for how long.

A Fault knows no host.  Its parts validate themselves, so a Fault that exists is
a Fault that makes sense.  `to_json` and `from_json` are exact inverses; what travels to an
agent is an Assignment.  Standard library only.
"""

from __future__ import annotations

import dataclasses
import enum
import errno
import re
from typing import TYPE_CHECKING, Any

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.chain import Frame, check_frames, frames_of
from chaoskernel.fault.checks import (
    check_flag,
    mapping,
    member,
    only,
    sequence_of,
)
from chaoskernel.fault.error_numbers import errno_of, error_number
from chaoskernel.fault.hook_types import Hook, Row
from chaoskernel.fault.hooks import RETRIED, TABLE, Kind
from chaoskernel.fault.limits import Limits
from chaoskernel.fault.rules import (
    check_c,
    check_error,
    check_kind,
    check_own_c,
    check_page_faults,
    check_place,
    check_stand_in,
)
from chaoskernel.fault.scope import Scope, scope_of
from chaoskernel.fault.where import Where, where_of
from chaoskernel.lazy import Lazy

if TYPE_CHECKING:
    from chaoskernel.fault import sites
    from chaoskernel.fault.sites import Sites
else:
    sites = Lazy("chaoskernel.fault.sites")

__all__ = [
    "MAX_EVENTS",
    "NAME",
    "EngineName",
    "Fault",
    "Frame",
    "Limits",
    "Mechanism",
    "Stacks",
    "engine_named",
    "frames_of",
    "kind_named",
    "mechanism_named",
    "stacks_named",
]

MAX_EVENTS = 256
"""How many of the latest injections are kept of a fault, wherever it is."""

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
"""What a fault may be called: what a label of Kubernetes may have."""


class Mechanism(enum.StrEnum):
    """A way to override the hook's return value."""

    AUTO = "auto"
    FMOD_RET = "fmod_ret"
    KPROBE = "kprobe"


class EngineName(enum.StrEnum):
    """A way to bring the program onto a kernel; `none` brings none, for a rehearsal."""

    AUTO = "auto"
    BCC = "bcc"
    CORE = "core"
    NONE = "none"


class Stacks(enum.StrEnum):
    """Which of the injections that are kept as events have the kernel's stack with them.

    `sample`: the first of each sort of request, and some of the others.
    """

    SAMPLE = "sample"
    ALL = "all"
    NONE = "none"


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One fault, wherever it is to be injected.

    :param name: unique among the faults of an experiment.
    :param callchain: outermost frame first; the frames need not be adjacent.
    :param function: what fails, when the hook is `function`.
    :param errno: the error number that the hooks return; 0 is the usual one of the kind.
    :param parameters: the hook's parameters in C, when the kind is `function`.
    :param predicate: a C expression over the hook's own arguments; empty is true.
    :param where: which files or peers it is about, when the kind is about either.
    :param headers: what the predicates need, such as linux/blkdev.h.
    :param dry_run: count what would have failed, and let it through.
    :param engine: what brings the program onto the kernel.
    :param sites: record the sites of its requests, and fail those alone that it names.
    :param stand_in: where the kernel lacks the hook, arm the kind of STAND_INS in its place.
    :param page_faults: fail requests of page faults too, where every request fails.
    :param stacks: which of the events have a stack, which costs ten times all else of an injection.
    """

    name: str
    kind: Kind
    scope: Scope
    callchain: tuple[Frame, ...] = ()
    limits: Limits = dataclasses.field(default_factory=Limits)
    mechanism: Mechanism = Mechanism.AUTO
    function: str = ""
    errno: int = 0
    parameters: str = ""
    predicate: str = ""
    headers: tuple[str, ...] = ()
    dry_run: bool = False
    engine: EngineName = EngineName.AUTO
    where: Where = dataclasses.field(default_factory=Where)
    stand_in: bool = False
    sites: Sites | None = None
    page_faults: bool = False
    stacks: Stacks = Stacks.SAMPLE

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise InvalidFault(
                "name",
                self.name,
                "a name",
                hint="use up to 63 letters, digits, dots, dashes and underscores",
            )
        check_frames("callchain", len(self.callchain))
        check_kind(self.kind, self.function, system_wide=self.scope.system_wide)
        check_error(self.kind, self.errno)
        check_own_c(self.kind, self.function, self.parameters, self.predicate)
        check_place(self.kind, self.where, self.scope, self.predicate)
        check_c(self.parameters, self.predicate, self.headers, self.callchain)
        check_flag("dry_run", self.dry_run)
        if self.engine is EngineName.NONE and not self.dry_run:
            raise InvalidFault(
                "engine",
                self.engine.value,
                problem="nothing fails with this engine",
                hint="add dry_run: true for a rehearsal, or name core, bcc or auto",
            )
        if self.engine is EngineName.BCC and self.needs_core:
            raise InvalidFault(
                "engine",
                self.engine.value,
                problem=f"not possible when {self.why_core}",
                hint="the engine core knows it; leave engine out",
            )
        check_stand_in(self.kind, self.stand_in)
        check_page_faults(self.kind, self.page_faults, possible=self.meets_page_faults)

    @property
    def needs_core(self) -> bool:
        """Tell whether the engine core alone can bring it onto a kernel."""
        return bool(self.why_core)

    @property
    def why_core(self) -> str:
        """Return what the engine core alone knows of it, as a clause; empty where bcc will do."""
        if self.sites:
            return "it has sites"
        return f"the fault is {self.kind.value}" if self.row.needs_core else ""

    @property
    def meets_page_faults(self) -> bool:
        """Tell whether a page fault comes to its hooks, and is tried again when they fail."""
        return any(hook.symbol in RETRIED for hook in self.hooks)

    @property
    def tells_page_faults(self) -> bool:
        """Tell whether requests of page faults are told from others; a chain does that itself."""
        return self.meets_page_faults and not self.callchain

    @property
    def holds_page_faults(self) -> bool:
        """Tell whether page faults are let through, because they would be tried again for ever."""
        always = self.limits.probability == 100 and self.sites is None
        return self.tells_page_faults and always and not self.page_faults

    @property
    def has_predicates(self) -> bool:
        """Tell whether the program has C of the user's in it."""
        return bool(self.predicate or any(frame.predicate for frame in self.callchain))

    def c_of(self, key: str) -> str:
        """Return the C of the user's that stands at a key, such as callchain[1].predicate."""
        if found := re.fullmatch(r"callchain\[(\d+)\]\.(predicate|parameters)", key):
            return str(getattr(self.callchain[int(found[1])], found[2]))
        return ", ".join(self.headers) if key == "headers" else str(getattr(self, key))

    @property
    def row(self) -> Row:
        """What is known of its kind."""
        return TABLE[self.kind]

    @property
    def hooks(self) -> tuple[Hook, ...]:
        """The functions that are made to fail, system calls by their portable names."""
        if self.kind is Kind.FUNCTION:
            return (Hook(self.function, self.parameters),)
        unix = self.where.has_unix_peers
        return tuple(hook for hook in self.row.hooks if unix or not hook.of_unix_peers)

    @property
    def to_open(self) -> Where:
        """What is found by opening it: all that it is about, but sockets that bind makes."""
        return dataclasses.replace(self.where, peers=()) if self.kind is Kind.BIND else self.where

    @property
    def symbol(self) -> str:
        """What fails, by the names of its functions."""
        return ", ".join(hook.symbol for hook in self.hooks)

    @property
    def error(self) -> int:
        """The error number that the hooks return; 0 where they have a value of their own."""
        return self.errno or self.row.error

    @property
    def reported(self) -> int:
        """The error number that programs get, unless a caller reports another; 0: not known."""
        return self.error or self.row.own_error

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the fault asks for that may surprise, a line for each."""
        said = []
        percent = self.limits.probability
        if percent < 1:
            said.append(
                f"probability {percent:g} is per cent: one request in {round(100 / percent)} "
                f"fails; {percent * 100:g} would be a share of {percent:g}"
            )
        documented = self.row.errors
        if self.errno and documented and self.errno not in map(error_number, documented):
            name = errno.errorcode.get(self.errno, f"error {self.errno}")
            said.append(
                f"the manual pages of {self.kind.value} do not document {name}; "
                f"they document {', '.join(documented)}"
            )
        return tuple(said)

    def to_json(self) -> dict[str, Any]:
        """Return the fault as a document of JSON types."""
        return {
            "name": self.name,
            "fault": self.kind.value,
            "callchain": [dataclasses.asdict(frame) for frame in self.callchain],
            "limits": dataclasses.asdict(self.limits),
            "scope": self.scope.to_json(),
            "mechanism": self.mechanism.value,
            "function": self.function,
            "errno": self.errno,
            "parameters": self.parameters,
            "predicate": self.predicate,
            "headers": list(self.headers),
            "dry_run": self.dry_run,
            "engine": self.engine.value,
            "where": self.where.to_json(),
            "stand_in": self.stand_in,
            "sites": self.sites and self.sites.to_json(),
            "page_faults": self.page_faults,
            "stacks": self.stacks.value,
        }

    @classmethod
    def from_json(cls, described: Any) -> Fault:
        """Return the fault that a document describes.

        :raises InvalidFault: a key is unknown, absent or has an impossible value.
        """
        body = mapping("the fault", described)
        only(body, ({field.name for field in dataclasses.fields(cls)} - {"kind"}) | {"fault"}, "")
        limits = mapping("limits", body.get("limits", {}))
        only(limits, {field.name for field in dataclasses.fields(Limits)}, "limits.")
        return cls(
            name=body.get("name", ""),
            kind=kind_named(body.get("fault", "")),
            callchain=frames_of(body.get("callchain", [])),
            limits=Limits(**limits),
            scope=scope_of(mapping("scope", body.get("scope", {}))),
            mechanism=mechanism_named(body.get("mechanism", Mechanism.AUTO.value)),
            function=body.get("function", ""),
            errno=errno_of(body.get("errno", 0)),
            parameters=body.get("parameters", ""),
            predicate=body.get("predicate", ""),
            headers=sequence_of("headers", body.get("headers", [])),
            dry_run=body.get("dry_run", False),
            engine=engine_named(body.get("engine", EngineName.AUTO.value)),
            where=where_of(mapping("where", body.get("where", {}))),
            stand_in=body.get("stand_in", False),
            sites=_sites_of(body.get("sites")),
            page_faults=body.get("page_faults", False),
            stacks=stacks_named(body.get("stacks", Stacks.SAMPLE.value)),
        )


def kind_named(name: Any) -> Kind:
    """Return the hook of that name.

    :raises InvalidFault: there is none.
    """
    return member("fault", name, Kind)


def mechanism_named(name: Any) -> Mechanism:
    """Return the mechanism of that name.

    :raises InvalidFault: there is none.
    """
    return member("mechanism", name, Mechanism)


def engine_named(name: Any) -> EngineName:
    """Return the engine of that name.

    :raises InvalidFault: there is none.
    """
    return member("engine", name, EngineName)


def stacks_named(name: Any) -> Stacks:
    """Return which stacks are kept by that name.

    :raises InvalidFault: there is none.
    """
    return member("stacks", name, Stacks)


def _sites_of(document: Any) -> Sites | None:
    return None if document is None else sites.sites_of(mapping("sites", document))

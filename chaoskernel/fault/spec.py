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
from collections.abc import Mapping
from typing import Any

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.c_text import check_expression, check_header, check_parameters
from chaoskernel.fault.checks import (
    check_count,
    check_flag,
    check_function,
    is_int,
    is_number,
    mapping,
    member,
    only,
    sequence_of,
)
from chaoskernel.fault.hooks import (
    STAND_INS,
    TABLE,
    Hook,
    Kind,
    Row,
    takes_uninitialised,
    why_refused,
)
from chaoskernel.fault.scope import Scope, scope_of
from chaoskernel.fault.sites import Sites, sites_of
from chaoskernel.fault.where import Where, where_of

MAX_FRAMES = 16
"""Longest call chain: bpfki and inject.py keep as many."""

MAX_DURATION = 24 * 60 * 60.0
"""Longest duration of a fault, in seconds."""

MAX_TIMES = 2**63 - 1
MAX_ERRNO = 4095
"""Largest error number that a kernel function can return (include/linux/err.h)."""

MAX_HEADERS = 32

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


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """One function of a call chain (KernelChaos: `failKernRequest.callchain[]`).

    :param funcname: a kernel function, or a system call by its portable name.
    :param parameters: the function's parameters in C, as far as the predicate needs them.
    :param predicate: a C expression over the parameters; empty is true.  Both are canonical,
        as predicate.py returns them.
    """

    funcname: str
    parameters: str = ""
    predicate: str = ""

    def __post_init__(self) -> None:
        check_function("callchain.funcname", self.funcname)
        check_parameters("callchain.parameters", self.parameters)
        check_expression("callchain.predicate", self.predicate)


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How often, and for how long.

    :param probability: percent, above 0 and up to 100; drawn once per entry of the
        outermost frame, or per hook call when the chain is empty.
    :param times: most injections; 0 is no limit.
    :param duration: seconds from the moment the fault is armed.
    """

    probability: float = 100.0
    times: int = 0
    duration: float = 300.0

    def __post_init__(self) -> None:
        if not is_number(self.probability) or not 0 < self.probability <= 100:
            raise InvalidFault(
                "probability",
                self.probability,
                "a percentage above 0 and up to 100",
                hint="1 is one per cent, 100 is always",
            )
        if not is_int(self.times) or not 0 <= self.times <= MAX_TIMES:
            raise InvalidFault(
                "times",
                self.times,
                f"a whole number from 0 to {MAX_TIMES}",
                hint="0 sets no limit",
            )
        if not is_number(self.duration) or not 0 < self.duration <= MAX_DURATION:
            raise InvalidFault(
                "duration",
                self.duration,
                f"a time above 0 and up to {MAX_DURATION:g} s",
                hint="every fault ends by itself: 300 is five minutes, which activities take as 5m",
            )

    @property
    def probability_of_2_32(self) -> int:
        """How many of 2^32 draws fail: one at least."""
        return max(1, round(self.probability / 100 * 2**32))


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

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise InvalidFault(
                "name",
                self.name,
                "a name",
                hint="use up to 63 letters, digits, dots, dashes and underscores",
            )
        check_frames("callchain", len(self.callchain))
        self._check_hook()
        self._check_where()
        self._check_code()
        check_flag("dry_run", self.dry_run)
        if self.engine is EngineName.NONE and not self.dry_run:
            raise InvalidFault(
                "engine",
                self.engine.value,
                "core, bcc or auto where something is to fail",
                hint="a rehearsal, which attaches nothing, has dry_run: true",
            )
        if self.engine is EngineName.BCC and self.needs_core:
            what = "it has sites" if self.sites else f"the fault is {self.kind.value}"
            raise InvalidFault(
                "engine",
                self.engine.value,
                f"possible when {what}",
                hint="the engine core knows it; leave engine out",
            )
        self._check_stand_in()

    @property
    def needs_core(self) -> bool:
        """Tell whether the engine core alone can bring it onto a kernel."""
        return self.row.needs_core or self.sites is not None

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
    def warnings(self) -> tuple[str, ...]:
        """What the fault asks for that may surprise, a line for each."""
        documented = self.row.errors
        if not self.errno or not documented or self.errno in map(error_number, documented):
            return ()
        name = errno.errorcode.get(self.errno, f"error {self.errno}")
        return (
            f"the manual pages of {self.kind.value} do not document {name}; "
            f"they document {', '.join(documented)}",
        )

    def _check_stand_in(self) -> None:
        check_flag("stand_in", self.stand_in)
        if self.stand_in and self.kind not in STAND_INS:
            each = (f"{other.value} for {kind.value}" for kind, other in STAND_INS.items())
            raise InvalidFault(
                "stand_in",
                True,
                f"possible when the fault is {self.kind.value}",
                hint=f"leave it out; the stand-ins are {', '.join(each)}",
            )

    def _check_hook(self) -> None:
        check_kind(self.kind, self.function, system_wide=self.scope.system_wide)
        if self.kind is not Kind.FUNCTION and self.parameters:
            raise _only_of_functions("parameters", self.parameters, self.kind)
        if self.errno and self.kind is not Kind.FUNCTION and not self.row.errors:
            raise _only_of_functions("errno", self.errno, self.kind)
        if not is_int(self.errno) or not 0 <= self.errno <= MAX_ERRNO:
            raise InvalidFault(
                "errno",
                self.errno,
                f"an error number up to {MAX_ERRNO}",
                hint=_without_sign(self.errno) or "ENOMEM is 12",
            )
        if self.predicate and self.kind is not Kind.FUNCTION and not self.row.takes_predicate:
            raise InvalidFault(
                "predicate",
                self.predicate,
                f"possible when the fault is {self.kind.value}",
                hint="its hooks have no arguments to ask; a frame of the call chain may have",
            )

        if self.predicate and self.kind is Kind.FUNCTION and takes_uninitialised(self.function):
            raise InvalidFault(
                "predicate",
                self.predicate,
                f"possible on {self.function}: the kernel has not filled in its arguments yet",
                hint="leave it out; a frame of the call chain may have one",
            )

    def _check_where(self) -> None:
        row, where = self.row, self.where
        if where.named and not row.takes_paths:
            able = ", ".join(kind.value for kind, each in TABLE.items() if each.takes_paths)
            raise InvalidFault(
                "paths" if where.paths else "devices",
                ", ".join(where.named),
                f"possible when the fault is {self.kind.value}",
                hint=f"these are about files: {able}",
            )
        if where.devices and self.scope.pods:
            raise InvalidFault(
                "devices",
                ", ".join(where.devices),
                "possible for pods, which share those of their node",
                hint="name paths, as the pods see them",
            )
        if where.paths and self.scope.has_views and self.scope.has_hosts:
            raise InvalidFault(
                "paths",
                ", ".join(where.paths),
                "possible for containers together with other processes: "
                "the same path is another file to each of them",
                hint="start one fault for the containers, and another one for the others",
            )
        if where.peers and not row.takes_peers:
            able = ", ".join(kind.value for kind, each in TABLE.items() if each.takes_peers)
            raise InvalidFault(
                "peers",
                ", ".join(where.peers),
                f"possible when the fault is {self.kind.value}",
                hint=f"these are about peers: {able}",
            )
        if row.needs_place and not (where.named or where.any_file or self.predicate):
            raise InvalidFault(
                "paths",
                "",
                f"enough for a fault of {self.kind.value}, which would hit standard streams too",
                hint="name paths or devices, or say any_file: true",
            )

    def _check_code(self) -> None:
        check_parameters("parameters", self.parameters)
        check_expression("predicate", self.predicate)
        check_headers("headers", len(self.headers))
        for header in self.headers:
            check_header("headers", header)
        parameters: dict[str, str] = {}
        for frame in self.callchain:
            if parameters.setdefault(frame.funcname, frame.parameters) != frame.parameters:
                raise InvalidFault(
                    "callchain.parameters",
                    frame.parameters,
                    f"the same for every frame that names {frame.funcname}",
                    hint="a function has one list of parameters",
                )

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
            sites=None if body.get("sites") is None else sites_of(mapping("sites", body["sites"])),
        )


def check_kind(kind: Kind, function: str, *, system_wide: bool = False) -> None:
    """Check that a function is named when the kind is `function`, and only then.

    :param system_wide: whether the scope is the whole host.
    :raises InvalidFault: it is not, or it is one that is never failed.
    """
    if kind is Kind.FUNCTION:
        check_function("function", function)
        if why := why_refused(function, system_wide=system_wide):
            raise InvalidFault(
                "function",
                function,
                f"failed by anybody: {why}",
                hint="name one whose failure a program sees; `chaoskernel faults` lists some",
            )
    elif function != "":
        raise _only_of_functions("function", function, kind)


def errno_of(value: Any) -> Any:
    """Return the number of an error that is given by name, such as EMFILE, or by number.

    :raises InvalidFault: there is no error of that name.
    """
    if not isinstance(value, str):
        return value
    if re.fullmatch("[0-9]{1,9}", value):
        return int(value)
    number = error_number(value)
    if not number:
        raise InvalidFault(
            "errno",
            value,
            "the name or number of an error",
            hint=_without_sign(value) or "such as ENOMEM, EIO or 28",
        )
    return number


def error_number(name: str) -> int:
    """Return the number of an error's name, such as EIO; 0 where there is none of that name."""
    number = getattr(errno, name, 0) if re.fullmatch("E[A-Z0-9]+", name) else 0
    return number if is_int(number) else 0


def _without_sign(given: Any) -> str:
    """Return how to write an error that has a sign or lower case; empty for anything else."""
    text = str(given).strip()[:20]
    bare = text.lstrip("+-").upper()
    number = int(bare) if re.fullmatch("[0-9]{1,9}", bare) else error_number(bare)
    if not 0 < number <= MAX_ERRNO or bare == str(given):
        return ""
    return f"write {bare}" + (", without a sign" if text[0] in "+-" else "")


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


def check_frames(key: str, number: int) -> None:
    """Check how many frames there are, before any of them is looked at.

    :raises InvalidFault: there are too many.
    """
    hint = "leave out the frames that do not tell the paths apart"
    check_count(key, number, MAX_FRAMES, "frames", hint=hint)


def check_headers(key: str, number: int) -> None:
    """Check how many headers there are, before any of them is looked at.

    :raises InvalidFault: there are too many.
    """
    hint = "name those alone that the predicates need"
    check_count(key, number, MAX_HEADERS, "headers", hint=hint)


def frames_of(callchain: Any) -> tuple[Frame, ...]:
    """Return the frames of a call chain, outermost first.

    :param callchain: a list whose items are function names or mappings with
        the key `funcname`; their C is canonical.
    :raises InvalidFault: an item is neither.
    """
    return tuple(Frame(**parts) for parts in frame_parts(callchain))


def frame_parts(callchain: Any) -> list[dict[str, Any]]:
    """Return the arguments of each Frame of a call chain, whose values are not checked yet.

    :raises InvalidFault: there are too many, or one has an unknown key.
    """
    items = sequence_of("callchain", callchain)
    check_frames("callchain", len(items))
    return [_parts(item) for item in items]


def _parts(item: Any) -> dict[str, Any]:
    if not isinstance(item, Mapping):
        return {"funcname": item}
    only(item, {field.name for field in dataclasses.fields(Frame)}, "callchain.")
    return {"funcname": "", **item}


def _only_of_functions(key: str, value: Any, kind: Kind) -> InvalidFault:
    return InvalidFault(
        key,
        value,
        f"allowed when the fault is {kind.value}",
        hint="leave it out, or use fault: function",
    )

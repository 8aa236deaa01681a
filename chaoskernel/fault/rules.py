"""What the parts of a fault ask of each other.  Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.chain import Frame
from chaoskernel.fault.checks import check_count, check_flag, check_function, is_int
from chaoskernel.fault.error_numbers import MAX_ERRNO, error_text, without_sign
from chaoskernel.fault.hooks import STAND_INS, TABLE, Kind
from chaoskernel.fault.refused import takes_uninitialised, why_refused
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.where import Where
from chaoskernel.lazy import Lazy

if TYPE_CHECKING:
    from chaoskernel.fault import c_text
else:
    c_text = Lazy("chaoskernel.fault.c_text")

MAX_HEADERS = 32


def check_kind(kind: Kind, function: str, *, system_wide: bool = False) -> None:
    """Check that a function is named when the kind is `function`, and only then.

    :param system_wide: whether the scope is the whole host.
    :raises InvalidFault: it is not, or it is one that is never failed.
    """
    if kind is Kind.FUNCTION:
        if function == "":
            hint = "name the kernel function that fails, such as sys_openat"
            raise InvalidFault("function", "", problem="missing", hint=hint)
        check_function("function", function)
        if why := why_refused(function, system_wide=system_wide):
            raise InvalidFault(
                "function",
                function,
                problem=f"never failed, because {why}",
                hint="name one whose failure a program sees; `chaoskernel faults` lists some",
            )
    elif function != "":
        raise _only_of_functions("function", function, kind)


def check_error(kind: Kind, errno: int) -> None:
    """Check an error number, and that the kind takes one.

    :raises InvalidFault: it does not, or the number is none.
    """
    if errno and kind is not Kind.FUNCTION and not TABLE[kind].errors:
        raise _only_of_functions("errno", error_text(errno), kind)
    if not is_int(errno) or not 0 <= errno <= MAX_ERRNO:
        raise InvalidFault(
            "errno",
            errno,
            f"an error number up to {MAX_ERRNO}",
            hint=without_sign(errno) or "ENOMEM is 12",
        )


def check_own_c(kind: Kind, function: str, parameters: str, predicate: str) -> None:
    """Check that the hooks of a kind have arguments that a predicate can be asked of.

    :raises InvalidFault: they have not.
    """
    if kind is not Kind.FUNCTION and parameters:
        raise _only_of_functions("parameters", parameters, kind)
    if predicate and kind is not Kind.FUNCTION and not TABLE[kind].takes_predicate:
        raise InvalidFault(
            "predicate",
            predicate,
            problem=f"not for a fault of {kind.value}",
            hint="its hooks have no arguments to ask; a frame of the call chain may have",
        )
    if predicate and kind is Kind.FUNCTION and takes_uninitialised(function):
        raise InvalidFault(
            "predicate",
            predicate,
            problem=f"the kernel has not filled in the arguments of {function} yet",
            hint="leave it out; a frame of the call chain may have one",
        )


def check_place(kind: Kind, where: Where, scope: Scope, predicate: str) -> None:
    """Check that a kind can be asked for these files or peers, and says where if it has to.

    :raises InvalidFault: it cannot, or does not.
    """
    row = TABLE[kind]
    if where.named and not row.takes_paths:
        able = ", ".join(kind.value for kind, each in TABLE.items() if each.takes_paths)
        raise InvalidFault(
            "paths" if where.paths else "devices",
            ", ".join(where.named),
            problem=f"not for a fault of {kind.value}",
            hint=f"these are about files: {able}",
        )
    if where.devices and scope.pods:
        raise InvalidFault(
            "devices",
            ", ".join(where.devices),
            problem="not for pods, which share the devices of their node",
            hint="name paths, as the pods see them",
        )
    inside = where.paths or where.sockets
    if inside and scope.has_views and scope.has_hosts:
        raise InvalidFault(
            "paths" if where.paths else "peers",
            ", ".join(inside),
            problem="not for containers together with other processes: "
            "the same path is another file to each of them",
            hint="start one fault for the containers, and another one for the others",
        )
    if where.peers and not row.takes_peers:
        able = ", ".join(kind.value for kind, each in TABLE.items() if each.takes_peers)
        raise InvalidFault(
            "peers",
            ", ".join(where.peers),
            problem=f"not for a fault of {kind.value}",
            hint=f"these are about peers: {able}",
        )
    if row.needs_place and not (where.named or where.any_file or predicate):
        raise InvalidFault(
            "paths",
            "",
            problem=f"missing; a fault of {kind.value} would hit standard streams too",
            hint="name paths or devices, or set any_file: true",
        )


def check_c(
    parameters: str, predicate: str, headers: Sequence[str], callchain: Iterable[Frame]
) -> None:
    """Check the C of a fault.

    :raises InvalidFault: some of it is not canonical, or a function has two lists of parameters.
    """
    if parameters != "":
        c_text.check_parameters("parameters", parameters)
    if predicate != "":
        c_text.check_expression("predicate", predicate)
    check_headers("headers", len(headers))
    for header in headers:
        c_text.check_header("headers", header)
    known: dict[str, str] = {}
    for frame in callchain:
        if known.setdefault(frame.funcname, frame.parameters) != frame.parameters:
            raise InvalidFault(
                "callchain.parameters",
                frame.parameters,
                f"the same for every frame that names {frame.funcname}",
                hint="a function has one list of parameters",
            )


def check_headers(key: str, number: int) -> None:
    """Check how many headers there are, before any of them is looked at.

    :raises InvalidFault: there are too many.
    """
    hint = "name those alone that the predicates need"
    check_count(key, number, MAX_HEADERS, "headers", hint=hint)


def check_stand_in(kind: Kind, stand_in: bool) -> None:
    """Check that there is a stand-in for a kind where one is asked for.

    :raises InvalidFault: there is none.
    """
    check_flag("stand_in", stand_in)
    if stand_in and kind not in STAND_INS:
        each = (f"{other.value} for {kind.value}" for kind, other in STAND_INS.items())
        raise InvalidFault(
            "stand_in",
            "",
            problem=f"not for a fault of {kind.value}",
            hint=f"leave it out; the stand-ins are {', '.join(each)}",
        )


def _only_of_functions(key: str, value: Any, kind: Kind) -> InvalidFault:
    return InvalidFault(
        key,
        value,
        problem=f"only for fault: function, and not for {kind.value}",
        hint="leave it out, or use fault: function",
    )


def check_page_faults(kind: Kind, page_faults: bool, *, possible: bool) -> None:
    """Check that page faults are asked for where they would be tried again.

    :param possible: whether they come to the fault's hooks.
    :raises InvalidFault: they do not.
    """
    check_flag("page_faults", page_faults)
    if page_faults and not possible:
        raise InvalidFault(
            "page_faults",
            "",
            problem=f"not for a fault of {kind.value}",
            hint="leave it out; faults of slab and page take it",
        )

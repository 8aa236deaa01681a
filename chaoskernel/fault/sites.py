"""Sites: a hook and the kernel's stack there, and what a fault does with them.

A site is the same in every run and boot of one build of a kernel: its id is made from the
places of its stack, each relative to where the kernel or the module begins.
Standard library only.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.checks import check_count, check_flag, is_int, only, sequence_of
from chaoskernel.fault.text_place import Place

MAX_SITES = 4096
"""How many sites a program keeps; MAX_SITES of the program."""

MAX_FAILED = 2
"""How many sites a fault can fail; MAX_FAILED of the program."""

MAX_HITS = 2**63 - 1

_ID = re.compile(r"[0-9a-f]{10}")


_PLUMBING = (
    *("should_fail", "__should_fail", "security_", "call_", "bpf_", "fault_"),
    *("kmem_cache_alloc", "kmalloc", "__kmalloc", "kmem_cache_", "slab_", "__kmem_cache"),
    *("alloc_pages", "__alloc_pages", "__folio_alloc", "folio_alloc", "__get_free_page"),
    *("get_zeroed_page", "kvmalloc", "__vmalloc", "vmalloc", "krealloc", "kmemdup", "kstrdup"),
    *("alloc_inode", "entry_SYSCALL", "do_syscall", "x64_sys_call", "asm_", "exc_", "el0"),
    *("vma_alloc_folio", "alloc_skb", "__alloc_skb", "___slab", "__slab", "__do_sys", "__se_sys"),
    *("submit_bio", "__submit_bio", "mempool_alloc", "prepare_alloc_pages", "cgroup_bpf"),
)
"""Beginnings of functions that say only that something was asked for, not what for."""


class Hits(enum.StrEnum):
    """Which of the requests at a site fail; a number is that one, the first being 1."""

    ONCE = "once"
    PERSISTENT = "persistent"


class Phase(enum.StrEnum):
    """What a program is doing when it makes a request.

    `exec` is told by the stack: the request is below execve(2), so that the program's first
    instruction is still to come.  The others are what the one who runs the program says.
    """

    EXEC = "exec"
    START = "start"
    WORK = "work"
    STOP = "stop"


class By(enum.StrEnum):
    """How the kernel was entered when it came to a site."""

    SYSTEM_CALL = "system call"
    PAGE_FAULT = "page fault"
    SIGNAL = "signal"
    OTHER = "other"


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """A hook and the kernel's stack there.

    :param id: ten hexadecimal digits.
    :param hook: the hook's symbol.
    :param by: how the kernel was entered.
    :param call: the system call by its manual page's name, such as openat; empty where it is none.
    :param places: the stack, the innermost first; without trampolines and the program's own.
    :param truncated: whether the stack is deeper than what was kept.
    :param error: the error number that a request would end with there.
    :param pid: the first process that came there.
    :param command: its name, as in /proc/PID/comm.
    :param arguments: what the hook was asked for there, by name; see the events of a fault.
    """

    id: str
    hook: str
    by: By
    call: str
    places: tuple[Place, ...]
    truncated: bool = False
    error: int = 0
    pid: int = 0
    command: str = ""
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def telling(self) -> Place:
        """The innermost place that says what the request was for."""
        for place in self.places:
            if not place.function.startswith(_PLUMBING):
                return place
        return self.places[0] if self.places else Place("", 0)

    @property
    def in_exec(self) -> bool:
        """Whether it is below execve(2) or execveat(2)."""
        return self.by is By.SYSTEM_CALL and self.call in ("execve", "execveat")

    def to_json(self) -> dict[str, Any]:
        """Return the site as a document of JSON types."""
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        places = [
            {"function": each.function, "offset": each.offset, "module": each.module}
            for each in self.places
        ]
        return {**own, "by": self.by.value, "places": places, "arguments": dict(self.arguments)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Site:
        """Return the site that `to_json` made a document of.

        :raises ValueError: it is something else.
        """
        try:
            places = tuple(
                Place(str(each["function"]), int(each["offset"]), str(each.get("module", "")))
                for each in document["places"]
            )
            site = cls(
                id=str(document["id"]),
                hook=str(document["hook"]),
                by=By(document["by"]),
                call=str(document["call"]),
                places=places,
                truncated=bool(document.get("truncated", False)),
                error=int(document.get("error", 0)),
                pid=int(document.get("pid", 0)),
                command=str(document.get("command", "")),
                arguments=dict(document.get("arguments", {})),
            )
        except (KeyError, TypeError, AttributeError) as wrong:
            raise ValueError(f"not a site: {wrong}") from None
        if not _ID.fullmatch(site.id):
            raise ValueError(f"not the id of a site: {site.id[:20]!r}")
        return site


class Run(NamedTuple):
    """What was seen from one `begin_run` to its end.

    :param counts: requests in scope by the id of their site; see `Sites.every`.
    :param new: the sites that were met and had not been told of before.
    :param failed: how many requests failed at each of the sites that were to fail, in order.
    :param lost: requests at sites for which the program's table, of MAX_SITES, has no room.
    :param phases: in which phases each site in `counts` was met, in this run and before it.
    """

    counts: Mapping[str, int]
    new: tuple[Site, ...]
    failed: tuple[int, ...]
    lost: int
    phases: Mapping[str, tuple[Phase, ...]] = {}


@dataclasses.dataclass(frozen=True, slots=True)
class Sites:
    """What a fault does with sites: it records all of them, and fails those that are named.

    :param fail: ids; none records alone.
    :param hits: which requests at each of them fail.
    :param phases: only in these; empty is in all of them.
    :param every: count the requests at every site; else of those alone that fail or are new, and
        record no more than it takes until one has failed, which costs less.
    """

    fail: tuple[str, ...] = ()
    hits: Hits | int = Hits.ONCE
    phases: tuple[Phase, ...] = ()
    every: bool = True

    def __post_init__(self) -> None:
        for site in self.fail:
            if not isinstance(site, str) or not _ID.fullmatch(site):
                raise InvalidFault(
                    "site",
                    site,
                    "the id of a site: ten hexadecimal digits",
                    hint="`chaoskernel run --sites` shows them",
                )
        check_count("site", len(self.fail), MAX_FAILED, "sites", hint="start one fault for each")
        check_flag("every", self.every)
        if not isinstance(self.hits, Hits) and (
            not is_int(self.hits) or not 1 <= self.hits <= MAX_HITS
        ):
            raise InvalidFault(
                "hits", self.hits, "once, persistent or the number of a request", hint="1 is once"
            )

    def to_json(self) -> dict[str, Any]:
        """Return it as a document of JSON types."""
        hits = self.hits.value if isinstance(self.hits, Hits) else self.hits
        return {
            "fail": list(self.fail),
            "hits": hits,
            "phases": [each.value for each in self.phases],
            "every": self.every,
        }


def sites_of(document: Mapping[str, Any]) -> Sites:
    """Return what a document says of sites.

    :raises InvalidFault: a key is unknown, or has an impossible value.
    """
    only(document, {field.name for field in dataclasses.fields(Sites)}, "sites.")
    return Sites(
        tuple(sequence_of("fail", document.get("fail", ()))),
        hits_of(document.get("hits", Hits.ONCE)),
        tuple(phase_of(each) for each in sequence_of("phases", document.get("phases", ()))),
        document.get("every", True),
    )


def hits_of(value: Any) -> Hits | int:
    """Return which requests at a site fail.

    :raises InvalidFault: it says neither once nor persistent, and is no number from 1 on.
    """
    if isinstance(value, str) and value in Hits.__members__.values():
        return Hits(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        value = int(value)
    return Sites(hits=value).hits


def phase_of(value: Any) -> Phase:
    """Return the phase of a name.

    :raises InvalidFault: there is no phase of that name.
    """
    try:
        return Phase(value)
    except ValueError:
        raise InvalidFault("phase", value, "a phase", hint=", ".join(Phase)) from None


def most_first(found: Iterable[tuple[Site, int]]) -> list[tuple[Site, int]]:
    """Return sites with how often each was met, those that were met most first."""
    return sorted(found, key=lambda each: (-each[1], each[0].id))

"""Sites as documents, and what is asked of them."""

from __future__ import annotations

from typing import Any

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.fault import syntax
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.sites import (
    By,
    Hits,
    Phase,
    Site,
    Sites,
    hits_of,
    phase_of,
    sites_of,
)
from chaoskernel.fault.spec import EngineName, Fault
from chaoskernel.fault.text_place import Place

ID = "00ab54c0de"
SITE = Site(
    id=ID,
    hook="should_failslab",
    by=By.SYSTEM_CALL,
    call="mount",
    places=(Place("should_failslab", 5), Place("ext4_get_tree", 18, "ext4")),
    error=12,
    pid=42,
    command="mount",
    arguments={"cache": "kmalloc-64"},
)


def test_a_site_travels_as_json() -> None:
    assert Site.from_json(SITE.to_json()) == SITE
    assert str(SITE.places[1]) == "ext4_get_tree+0x12 [ext4]"


@pytest.mark.parametrize(
    "change",
    [
        {"id": "../../etc"},
        {"id": "00AB54C0DE"},
        {"by": "magic"},
        {"places": [{}]},
        {"places": 3},
        {"places": [{"function": "f", "offset": "far"}]},
        {"arguments": 5},
    ],
)
def test_what_is_no_site_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Site.from_json({**SITE.to_json(), **change})


@pytest.mark.parametrize("call", ["execve", "execveat"])
def test_a_site_below_exec_is_told_apart(call: str) -> None:
    assert not SITE.in_exec
    assert Site.from_json({**SITE.to_json(), "call": call}).in_exec


@pytest.mark.parametrize(
    "sites",
    [Sites(), Sites((ID,), Hits.PERSISTENT), Sites((ID, ID), 7, (Phase.WORK, Phase.STOP))],
)
def test_what_is_asked_of_sites_travels_with_the_fault(sites: Sites) -> None:
    fault = Fault("x", Kind.SLAB, Scope(later=True), sites=sites)
    assert Fault.from_json(fault.to_json()) == fault
    assert fault.needs_core


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"fail": ["0x12"]}, "site"),
        ({"fail": ["00ab54c0de"] * 3}, "site"),
        ({"fail": [5]}, "site"),
        ({"hits": 0}, "hits"),
        ({"hits": "twice"}, "hits"),
        ({"hits": True}, "hits"),
        ({"hits": 2**63}, "hits"),
        ({"phases": ["later"]}, "phase"),
        ({"everything": True}, "sites.everything"),
    ],
)
def test_what_cannot_be_asked_of_sites_is_refused(document: dict[str, Any], key: str) -> None:
    with pytest.raises(InvalidFault) as refused:
        sites_of(document)
    assert refused.value.key == key


def test_hits_are_words_or_a_number() -> None:
    assert [hits_of(value) for value in ("once", "persistent", "3", 4)] == [
        Hits.ONCE,
        Hits.PERSISTENT,
        3,
        4,
    ]
    assert phase_of("work") is Phase.WORK


def test_the_engine_bcc_has_no_sites() -> None:
    with pytest.raises(InvalidFault, match="has sites"):
        Fault("x", Kind.SLAB, Scope(pids=(42,)), engine=EngineName.BCC, sites=Sites())


@pytest.mark.parametrize(
    ("site", "hits", "record", "expected"),
    [
        ("", "once", False, None),
        ("", "once", True, Sites()),
        (ID, "persistent", False, Sites((ID,), Hits.PERSISTENT)),
        (f"{ID}, {ID}", 3, False, Sites((ID, ID), 3)),
    ],
)
def test_arguments_say_what_is_done_with_sites(
    site: str, hits: str | int, record: bool, expected: Sites | None
) -> None:
    assert syntax.sites(site, hits, record) == expected


@pytest.mark.parametrize(
    ("site", "hits", "record", "key"),
    [
        ("mount", "once", False, "site"),
        (5, "once", False, "site"),
        (ID, "never", False, "hits"),
        ("", "persistent", False, "hits"),
        (ID, "once", True, "sites"),
        ("", "once", "yes", "sites"),
        (f"{ID},", "once", False, "site"),
    ],
)
def test_arguments_about_sites_are_checked(site: Any, hits: str, record: Any, key: str) -> None:
    with pytest.raises(InvalidFault) as refused:
        syntax.sites(site, hits, record)
    assert refused.value.key == key


def test_the_telling_place_is_the_first_that_is_no_plumbing() -> None:
    places = ("should_failslab", "kmem_cache_alloc", "getname_flags", "do_sys_openat2")
    site = Site("00ab54c0de", "should_failslab", By.OTHER, "", tuple(Place(p, 1) for p in places))
    assert site.telling.function == "getname_flags"

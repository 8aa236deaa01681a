"""In which order sites are tried."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chaoskernel.explore.observation import Attempt
from chaoskernel.explore.order import Queue, distance, features, pairs
from chaoskernel.fault.sites import By, Hits, Site
from tests.unit.explore.samples import site

ALIKE = [site(f"do_{n}", call="openat") for n in range(8)]
OTHERS = [site("sock_alloc", call="socket"), site("do_anonymous", call="", by=By.PAGE_FAULT)]
SETS = st.frozensets(st.sampled_from("abcdef"), min_size=1)


def order(sites: list[Site], seed: int = 1) -> list[str]:
    queue = Queue(seed)
    for each in sites:
        queue.add(Attempt((each.id,)), [each])
    return [queue.pop().sites[0] for _ in sites]


def test_what_is_most_different_comes_first() -> None:
    first = order([*ALIKE, *OTHERS])[:3]
    assert {each.id for each in OTHERS} <= set(first)


@given(st.integers(0, 99), st.randoms())
def test_same_seed_gives_the_same_order_however_sites_came(seed: int, random: object) -> None:
    sites = [*ALIKE, *OTHERS]
    assert order(sites, seed) == order([*reversed(sites)], seed)
    assert sorted(order(sites, seed)) == sorted(each.id for each in sites)


@given(SETS, SETS)
def test_distance_is_a_measure(one: frozenset[str], other: frozenset[str]) -> None:
    assert distance(one, one) == 0
    assert 0 <= distance(one, other) == distance(other, one) <= 1


def test_offsets_do_not_make_a_site_different() -> None:
    assert features(ALIKE[0]) == features(site("do_0", call="openat"))


def test_nothing_is_queued_twice_and_what_is_known_is_skipped() -> None:
    queue = Queue()
    one = ALIKE[0]
    assert queue.add(Attempt((one.id,)), [one])
    assert not queue.add(Attempt((one.id,)), [one])
    queue.skip(Attempt((ALIKE[1].id,)), [ALIKE[1]])
    assert queue.add(Attempt((one.id,), Hits.PERSISTENT), [one])
    assert len(queue) == 2


def test_what_may_not_be_reached_comes_last() -> None:
    queue = Queue()
    queue.add(Attempt((OTHERS[0].id,)), [OTHERS[0]], late=True)
    for each in ALIKE[:3]:
        queue.add(Attempt((each.id,)), [each])
    assert [queue.pop().sites[0] for _ in range(4)][-1] == OTHERS[0].id


def test_pairs_are_all_there_once() -> None:
    found = [each.id for each in pairs(ALIKE[:4], [Hits.ONCE])]
    assert len(found) == len(set(found)) == 6

"""Which pods are selected, how many of them, and which of their containers."""

from __future__ import annotations

import collections
from typing import Any

import pytest

from chaoskernel.chaosmesh.manifest import Mode, Operator, Phase, Requirement, Selection, Selector
from chaoskernel.chaosmesh.selection import Pod, containers_of, select
from chaoskernel.errors import NothingSelected

NODES = {"n1": {"disk": "ssd", "zone": "a"}, "n2": {"disk": "ssd", "zone": "b"}, "n3": {}}
PODS = [
    Pod("shop", "web-1", "n1", labels={"app": "web", "tier": "front"}, annotations={"chaos": "on"}),
    Pod("shop", "web-2", "n2", labels={"app": "web"}, fields={"spec.restartPolicy": "Never"}),
    Pod("shop", "db-1", "n3", Phase.PENDING, labels={"app": "db", "tier": "back"}),
    Pod("other", "web-1", "n1", Phase.FAILED, labels={"app": "web"}),
]


def names(selector: Selector) -> list[str]:
    found = select(Selection(Mode.ALL, selector), PODS[::-1], NODES)
    return [f"{pod.namespace}/{pod.name}" for pod in found]


def shop(**parts: Any) -> Selector:
    return Selector(namespaces=("shop",), **parts)


def needs(key: str, operator: Operator, *values: str) -> Selector:
    return shop(expressions=(Requirement(key, operator, values),))


WEB = ["shop/web-1", "shop/web-2"]
DB = ["shop/db-1"]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (shop(), DB + WEB),
        (Selector(namespaces=("other", "shop")), ["other/web-1", *DB, *WEB]),
        (shop(labels={"app": "web"}), WEB),
        (shop(labels={"app": "web", "tier": "front"}), ["shop/web-1"]),
        (shop(annotations={"chaos": "on"}), ["shop/web-1"]),
        (needs("tier", Operator.IN, "front", "back"), [*DB, "shop/web-1"]),
        (needs("tier", Operator.NOT_IN, "front"), [*DB, "shop/web-2"]),
        (needs("tier", Operator.EXISTS), [*DB, "shop/web-1"]),
        (needs("tier", Operator.DOES_NOT_EXIST), ["shop/web-2"]),
        (shop(fields={"metadata.name": "web-2"}), ["shop/web-2"]),
        (shop(fields={"spec.nodeName": "n3", "status.phase": "Pending"}), DB),
        (shop(fields={"spec.restartPolicy": "Never"}), ["shop/web-2"]),
        (shop(phases=(Phase.PENDING,)), DB),
        (shop(phases=(Phase.PENDING, Phase.RUNNING)), DB + WEB),
        (shop(not_phases=(Phase.PENDING,)), WEB),
        (shop(phases=(Phase.RUNNING,), not_phases=(Phase.PENDING,)), WEB),
        (shop(nodes=("n1", "n3")), [*DB, "shop/web-1"]),
        (shop(node_labels={"disk": "ssd"}), WEB),
        (shop(node_labels={"disk": "ssd", "zone": "b"}), ["shop/web-2"]),
        (shop(nodes=("n3",), node_labels={"zone": "a"}), [*DB, "shop/web-1"]),
        (shop(labels={"app": "web"}, nodes=("n2",)), ["shop/web-2"]),
        (
            shop(pods={"other": ("web-1", "gone")}, labels={"app": "nothing"}),
            ["other/web-1"],
        ),
    ],
)
def test_a_selector_means_the_pods_that_meet_all_of_it(
    selector: Selector, expected: list[str]
) -> None:
    assert names(selector) == expected


@pytest.mark.parametrize(
    "selector",
    [
        shop(labels={"app": "mail"}),
        shop(phases=(Phase.PENDING,), not_phases=(Phase.PENDING,)),
        Selector(namespaces=("nowhere",)),
        shop(pods={"shop": ("gone",)}),
        shop(node_labels={"disk": "tape"}),
    ],
)
def test_no_pod_is_an_error(selector: Selector) -> None:
    with pytest.raises(NothingSelected, match="^none of 4 pods is selected; compare the selector"):
        names(selector)


MANY = [Pod("shop", f"web-{number:02}") for number in range(10)]


def how_many(mode: Mode, value: int = 0, *, of: int = 10, seed: int = 1) -> int:
    return len(select(Selection(mode, shop(), value), MANY[:of], NODES, seed=seed))


@pytest.mark.parametrize(
    ("mode", "value", "of", "expected"),
    [
        (Mode.ONE, 0, 10, 1),
        (Mode.ALL, 0, 10, 10),
        (Mode.FIXED, 3, 10, 3),
        (Mode.FIXED, 30, 10, 10),
        (Mode.FIXED_PERCENT, 50, 10, 5),
        (Mode.FIXED_PERCENT, 1, 10, 1),
        (Mode.FIXED_PERCENT, 41, 10, 5),
        (Mode.FIXED_PERCENT, 50, 3, 2),
        (Mode.FIXED_PERCENT, 100, 3, 3),
    ],
)
def test_the_mode_says_how_many(mode: Mode, value: int, of: int, expected: int) -> None:
    assert how_many(mode, value, of=of) == expected


def test_a_random_per_cent_is_anything_up_to_its_maximum() -> None:
    seen: collections.Counter[int] = collections.Counter()
    for seed in range(300):
        try:
            seen[how_many(Mode.RANDOM_MAX_PERCENT, 35, seed=seed)] += 1
        except NothingSelected as error:
            assert error.message == "mode random-max-percent drew none of 10 pods"
            seen[0] += 1
    assert sorted(seen) == [0, 1, 2, 3, 4]


def test_every_pod_may_be_the_one() -> None:
    one = Selection(Mode.ONE, shop())
    assert {select(one, MANY, NODES, seed=seed)[0].name for seed in range(200)} == {
        pod.name for pod in MANY
    }


def test_a_seed_selects_the_same_again_in_whichever_order_the_pods_are_listed() -> None:
    half = Selection(Mode.FIXED_PERCENT, shop(), 50)
    chosen = select(half, MANY, NODES, seed=7)
    assert select(half, MANY[::-1], NODES, seed=7) == chosen
    assert select(half, MANY, NODES, seed=8) != chosen


def test_a_pods_first_container_is_taken_where_none_is_named() -> None:
    pod = Pod("shop", "web-1", containers=("main", "proxy", "log"))
    assert containers_of(Selection(Mode.ALL, shop()), pod) == ("main",)
    named = Selection(Mode.ALL, shop(), containers=("log", "main"))
    assert containers_of(named, pod) == ("log", "main")


def test_a_container_that_a_pod_does_not_have_is_an_error() -> None:
    named = Selection(Mode.ALL, shop(), containers=("mail",))
    with pytest.raises(NothingSelected, match="^pod shop/web-1 has no container mail; there are:"):
        containers_of(named, Pod("shop", "web-1", containers=("main",)))


def test_sidecars_are_selected_by_name_and_listed_with_the_others() -> None:
    pod = Pod("shop", "web-1", containers=("main",), sidecars=("proxy", "debugger"))
    assert containers_of(Selection(Mode.ALL, shop()), pod) == ("main",)
    named = Selection(Mode.ALL, shop(), containers=("debugger", "proxy"))
    assert containers_of(named, pod) == ("debugger", "proxy")
    with pytest.raises(NothingSelected, match="there are: main, proxy, debugger$"):
        containers_of(Selection(Mode.ALL, shop(), containers=("mail",)), pod)

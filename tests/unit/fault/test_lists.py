"""Lists and mappings of a user's, which may be text."""

from __future__ import annotations

from typing import Any

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.lists import items, pairs, undefined


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, ()),
        ([], ()),
        ("/run/a.pid", ("/run/a.pid",)),
        ("4711", ("4711",)),
        (" a , b,", ("a", "b")),
        ('["a,b", 3]', ("a,b", 3)),
        ((1, 2), (1, 2)),
    ],
)
def test_text_is_one_item_or_several_between_commas_or_json(
    given: Any, found: tuple[Any, ...]
) -> None:
    assert items("pids", given) == found


@pytest.mark.parametrize("given", ["", " , ", "[", "[1", 5, {"a": 1}, True])
def test_what_is_no_list_is_refused(given: Any) -> None:
    with pytest.raises(InvalidFault, match="^pids: "):
        items("pids", given)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, None),
        ({"app": "web"}, {"app": "web"}),
        ("app=web, tier = db", {"app": "web", "tier": "db"}),
        ("app=", {"app": ""}),
        ('{"default": ["web-1"]}', {"default": ["web-1"]}),
    ],
)
def test_text_is_pairs_or_json(given: Any, found: Any) -> None:
    assert pairs("pods", given) == found


@pytest.mark.parametrize("given", ["", "web", "=x", "a=b,c", "{"])
def test_what_is_no_mapping_is_refused(given: str) -> None:
    with pytest.raises(InvalidFault, match="^pods: "):
        pairs("pods", given)


def test_a_variable_that_was_not_replaced_is_found_at_any_depth() -> None:
    assert undefined({"a": ["x", {"b": "at ${place}"}]}) == "place"
    assert undefined(["$HOME", "${", 5, None]) == ""
    deep: list[Any] = ["${x}"]
    for _ in range(10_000):
        deep = [deep]
    assert undefined(deep) == "x"

"""What a process has one of is made once, and can be replaced for a while."""

from __future__ import annotations

import threading

import pytest

from chaoskernel.shared import Shared


def test_it_is_made_once_when_it_is_first_asked_for() -> None:
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    shared = Shared(make)
    assert made == []
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(shared())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert found == made * 8


def test_another_takes_its_place_for_a_while_even_after_an_error() -> None:
    shared = Shared(lambda: ["first"])
    first = shared()
    with pytest.raises(ValueError, match="inside"), shared.replaced(["second"]) as second:
        assert shared() is second
        with shared.replaced(["third"]):
            assert shared() == ["third"]
        assert shared() is second
        raise ValueError("inside")
    assert shared() is first


def test_a_replacement_before_the_first_use_leaves_the_first_to_be_made() -> None:
    shared = Shared(lambda: ["first"])
    with shared.replaced(["second"]):
        assert shared() == ["second"]
    assert shared() == ["first"]

"""Where the cache is, and that two builds do not collide."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaoskernel.errors import TimeLimit
from chaoskernel.lab import cache


def test_the_cache_is_where_the_environment_says() -> None:
    both = {"CHAOSKERNEL_CACHE": "/own", "XDG_CACHE_HOME": "/xdg"}
    assert cache.root(both) == Path("/own")
    assert cache.root({"XDG_CACHE_HOME": "/xdg"}) == Path("/xdg/chaoskernel")
    assert cache.root({}) == Path.home() / ".cache/chaoskernel"


def test_a_second_holder_waits_is_reported_and_gives_up(tmp_path: Path) -> None:
    told: list[str] = []
    path = tmp_path / "build.lock"
    with (
        cache.lock(path, seconds=0, on_wait=lambda: told.append("first")),
        pytest.raises(TimeLimit),
        cache.lock(path, seconds=0, on_wait=lambda: told.append("second")),
    ):
        pass
    assert told == ["second"]

"""Places are opened by path, and refused in one line where they are not there or too many."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.where import Where
from chaoskernel.kernel import files


@pytest.fixture
def few_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def directories(parent: Path, number: int) -> tuple[str, ...]:
    made = [parent / str(name) for name in range(number)]
    for each in made:
        each.mkdir()
    return tuple(map(str, made))


def test_as_many_places_as_are_named_are_opened(tmp_path: Path) -> None:
    with files.opened(Where(paths=directories(tmp_path, 64))) as places:
        assert [place.whole for place in places] == [False] * 64


@pytest.mark.usefixtures("few_files")
def test_a_low_limit_of_open_files_is_reported(tmp_path: Path) -> None:
    where = Where(paths=directories(tmp_path, 64))
    with (
        pytest.raises(InvalidFault, match=r"may not open as many files; .*`ulimit -n`") as refused,
        files.opened(where),
    ):
        pass
    assert "\n" not in str(refused.value)


def test_what_is_not_there_is_refused_with_its_path() -> None:
    with (
        pytest.raises(InvalidFault, match="^paths: '/nowhere/at/all' is not there: No such file"),
        files.opened(Where(paths=("/nowhere/at/all",))),
    ):
        pass

"""What tests that make a real kernel fail share: the lab, and a victim.

They run inside the lab, all of them in one boot: `make test` sees to it.
Elsewhere they are skipped, unless CHAOSKERNEL_REQUIRE_LAB=1 says that a skip is
a failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.place import require
from tests.victim import Victim

# Its assertions tell what differs, as those of test files do.
pytest.register_assert_rewrite("tests.gallery")


@pytest.fixture(scope="session")
def lab() -> None:
    """Skip, or fail, a test that is not run inside the lab."""
    in_lab = os.environ.get("CHAOSKERNEL_IN_LAB") == "1"
    require(in_lab, "this is not the lab; `make test` boots it")


@pytest.fixture(scope="module")
def victim(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """A process that makes the requests that are to fail."""
    with Victim(tmp_path_factory.mktemp("victim")) as started:
        yield started


@pytest.fixture(scope="module")
def bystander(lab: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """A process that makes the same requests and is never in scope."""
    with Victim(tmp_path_factory.mktemp("bystander")) as started:
        yield started

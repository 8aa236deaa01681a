"""What the tests of the cluster share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.k8s.api_server import Make, servers


@pytest.fixture
def serving() -> Iterator[Make]:
    """What makes servers of the API; they are closed afterwards."""
    with servers() as make:
        yield make

"""Where a test runs: some need the lab, others the namespaces of a cluster."""

from __future__ import annotations

import os

import pytest


def require(is_there: bool, otherwise: str) -> None:
    """Skip a test that is elsewhere; with CHAOSKERNEL_REQUIRE_LAB=1 that is a failure.

    :param otherwise: where it is then, and what brings it to its place.
    """
    if is_there:
        return
    if os.environ.get("CHAOSKERNEL_REQUIRE_LAB") == "1":
        pytest.fail(otherwise)
    pytest.skip(otherwise)

"""How the property tests of hypothesis run: the same each time, and a busy machine is no failure.

`make check` tries a few examples of each, and `make test-slow` many.
`pytest --hypothesis-profile=search` looks for what they have not met yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from chaoslib.control import reset_global_controls
from hypothesis import HealthCheck, settings

from chaoskernel.agent import kmsg
from chaoskernel.toolkit import presence

settings.register_profile(
    "unit",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
    derandomize=True,
    max_examples=25,
)
settings.register_profile("many", settings.get_profile("unit"), max_examples=300)
settings.register_profile(
    "search", settings.get_profile("unit"), derandomize=False, max_examples=2000
)
settings.load_profile("unit")


@pytest.fixture(autouse=True)
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is said in the log of the kernel that runs the tests."""
    monkeypatch.setattr(kmsg, "_DEVICE", Path("/nonexistent/kmsg"))


@pytest.fixture(autouse=True)
def _no_control_from_another_test() -> Iterator[None]:
    yield
    presence.end()
    reset_global_controls()

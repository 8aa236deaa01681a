"""How the property tests of hypothesis run: the same each time, and a busy machine is no failure.

`pytest --hypothesis-profile=search` looks for what they have not met yet.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "unit",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
    derandomize=True,
)
settings.register_profile(
    "search", settings.get_profile("unit"), derandomize=False, max_examples=2000
)
settings.load_profile("unit")

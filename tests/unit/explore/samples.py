"""Sites and observations for tests."""

from __future__ import annotations

import hashlib

from chaoskernel.explore.observation import Baseline, Ending, Observation
from chaoskernel.fault.sites import By, Site
from chaoskernel.fault.text_place import Place


def site(name: str, *, call: str = "openat", by: By = By.SYSTEM_CALL, module: str = "") -> Site:
    """Return a site whose innermost telling function has a name."""
    places = (
        Place("should_failslab", 5),
        Place("kmem_cache_alloc", 0x40),
        Place(name, 0x10, module),
        Place(f"__x64_sys_{call}", 0x20),
    )
    id_ = hashlib.sha256(f"{name} {call} {by}".encode()).hexdigest()[:10]
    return Site(id_, "should_failslab", by, call, places, error=12, pid=7, command="victim")


WELL = Observation(ending=Ending(status=0, seconds=0.5), output="same", failed=(1,))
BASELINE = Baseline((WELL, WELL))

"""Which sites fail when an attempt is played again."""

from __future__ import annotations

import pytest

from chaoskernel.errors import ChaosKernelError
from chaoskernel.explore.findings import Findings, Found
from chaoskernel.explore.plan import Plan
from chaoskernel.explore.replay import attempt_named
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.sites import Hits
from tests.unit.explore.samples import site

FIRST, SECOND, THIRD = site("first"), site("second"), site("third")


@pytest.fixture
def findings() -> Findings:
    found = Findings(Plan(("true",)), {}, {})
    found.sites[FIRST.id] = Found(FIRST, Kind.SLAB)
    found.sites[SECOND.id] = Found(SECOND, Kind.SLAB, under=FIRST.id)
    found.sites[THIRD.id] = Found(THIRD, Kind.SLAB)
    return found


@pytest.mark.parametrize(
    ("name", "sites", "hits"),
    [
        (FIRST.id, (FIRST.id,), Hits.ONCE),
        (f"{FIRST.id}@persistent", (FIRST.id,), Hits.PERSISTENT),
        (SECOND.id, (FIRST.id, SECOND.id), Hits.ONCE),
        (f"{SECOND.id}@2", (FIRST.id, SECOND.id), 2),
        (f"{THIRD.id}+{SECOND.id}", (THIRD.id, SECOND.id), Hits.ONCE),
    ],
)
def test_a_site_fails_with_the_one_that_it_was_met_under(
    findings: Findings, name: str, sites: tuple[str, ...], hits: Hits | int
) -> None:
    attempt = attempt_named(findings, name)
    assert (attempt.sites, attempt.hits) == (sites, hits)


@pytest.mark.parametrize("name", ["0000000000", f"{FIRST.id}+0000000000"])
def test_a_site_that_was_not_found_is_one_line(findings: Findings, name: str) -> None:
    with pytest.raises(ChaosKernelError, match=r"no site 0000000000 was found"):
        attempt_named(findings, name)

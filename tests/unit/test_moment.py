"""A moment is written as datetime writes it."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskernel.moment import iso


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0, "1970-01-01T00:00:00+00:00"),
        (1_800_000_000.25, "2027-01-15T08:00:00.250000+00:00"),
        (1_800_000_000.9999999, "2027-01-15T08:00:01+00:00"),
    ],
)
def test_a_moment_has_its_microseconds_where_it_has_any(moment: float, text: str) -> None:
    assert iso(moment) == text


@given(st.floats(0, 4e9))
def test_a_moment_is_the_one_that_datetime_reads(moment: float) -> None:
    assert abs(datetime.datetime.fromisoformat(iso(moment)).timestamp() - moment) <= 1e-6

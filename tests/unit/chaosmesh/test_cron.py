"""Cron expressions tick when robfig/cron's would."""

from __future__ import annotations

import datetime
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chaoskernel.chaosmesh.cron import cron
from chaoskernel.errors import InvalidFault

NOON = datetime.datetime(2026, 3, 1, 12, 0, 30, 500_000, tzinfo=datetime.UTC)  # a Sunday


def ticks(text: str, count: int = 2, after: datetime.datetime = NOON) -> list[str]:
    found = itertools.islice(cron(text).ticks(after), count)
    return [f"{tick:%m-%d %H:%M:%S}" for tick in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*/5 * * * *", ["03-01 12:05:00", "03-01 12:10:00"]),
        ("*/20 * * * * *", ["03-01 12:00:40", "03-01 12:01:00"]),
        ("0 30 * * * *", ["03-01 12:30:00", "03-01 13:30:00"]),
        ("15 10 ? * MON-FRI", ["03-02 10:15:00", "03-03 10:15:00"]),
        ("0 0 1,15 JAN,apr *", ["04-01 00:00:00", "04-15 00:00:00"]),
        ("5/20 * * * *", ["03-01 12:05:00", "03-01 12:25:00"]),
        ("0 0 */10 * MON", ["03-02 00:00:00", "03-09 00:00:00"]),
        ("0 0 */10 * */1", ["03-11 00:00:00", "03-21 00:00:00"]),
        ("0 0 13 * */5", ["03-06 00:00:00", "03-08 00:00:00"]),
        ("0 0 20,* * FRI", ["03-06 00:00:00", "03-13 00:00:00"]),
        ("0 0 * * 1/3", ["03-02 00:00:00", "03-05 00:00:00"]),
        ("0 0 5-5/2 * *", ["03-05 00:00:00", "04-05 00:00:00"]),
        ("@hourly", ["03-01 13:00:00", "03-01 14:00:00"]),
        ("@daily", ["03-02 00:00:00", "03-03 00:00:00"]),
        ("@midnight", ["03-02 00:00:00", "03-03 00:00:00"]),
        ("@weekly", ["03-08 00:00:00", "03-15 00:00:00"]),
        ("@monthly", ["04-01 00:00:00", "05-01 00:00:00"]),
        ("@yearly", ["01-01 00:00:00", "01-01 00:00:00"]),
        ("@annually", ["01-01 00:00:00", "01-01 00:00:00"]),
        ("@every 10m", ["03-01 12:10:30", "03-01 12:20:30"]),
        ("@every  1h30m", ["03-01 13:30:30", "03-01 15:00:30"]),
        ("@every 100ms", ["03-01 12:00:31", "03-01 12:00:32"]),
        ("@every 1.9s", ["03-01 12:00:31", "03-01 12:00:32"]),
        ("0 0 * * sat/2", ["03-07 00:00:00", "03-14 00:00:00"]),
        ("0 5-05/2 * * *", ["03-02 05:00:00", "03-03 05:00:00"]),
        ("30 0 0 1 apr-APR/3 ?", ["04-01 00:00:30", "04-01 00:00:30"]),
        (" 0 13 * * * ", ["03-01 13:00:00", "03-02 13:00:00"]),
        ("CRON_TZ=Asia/Tokyo 0 6 * * *", ["03-01 21:00:00", "03-02 21:00:00"]),
        ("TZ=Asia/Tokyo @daily", ["03-01 15:00:00", "03-02 15:00:00"]),
    ],
)
def test_ticks(text: str, expected: list[str]) -> None:
    assert ticks(text) == expected


TERMS = st.one_of(
    st.just("*"),
    st.integers(1, 6).map(str),
    st.builds("*/{}".format, st.integers(1, 9)),
    st.builds("{}/{}".format, st.integers(1, 6), st.integers(1, 4)),
    st.builds("{}-6/{}".format, st.integers(1, 6), st.integers(1, 4)),
    st.builds("{}-6".format, st.integers(1, 6)),
)
DAY_FIELDS = st.lists(TERMS, min_size=1, max_size=3).map(",".join)


def meant(field: str, least: int, most: int) -> tuple[set[int], bool]:
    """Return what robfig/cron reads in a field: its days, and whether it has a star."""
    days: set[int] = set()
    star = False
    for term in field.split(","):
        span, _, step = term.partition("/")
        first, _, last = span.partition("-")
        if first == "*":
            first, last = str(least), str(most)
            star = star or step in ("", "1")
        end = int(last) if last else (most if step else int(first))
        days.update(range(int(first), end + 1, int(step or 1)))
    return days, star


@example("*", "6/1")
@given(DAY_FIELDS, DAY_FIELDS)
def test_days_of_the_month_and_of_the_week_go_together_as_robfig_has_it(
    month: str, week: str
) -> None:
    (dates, star_of_dates), (weekdays, star_of_weekdays) = meant(month, 1, 31), meant(week, 0, 6)
    together = all if star_of_dates or star_of_weekdays else any
    march = [NOON.replace(day=day) for day in range(2, 32)]
    expected = [
        f"{day:%m-%d} 00:00:00"
        for day in march
        if together((day.day in dates, day.isoweekday() % 7 in weekdays))
    ]
    found = ticks(f"0 0 {month} 3 {week}", 31)
    assert found[: len(expected)] == expected
    assert found[len(expected) :][:1] != ["03-31 00:00:00"]


def test_a_tick_that_is_now_is_over() -> None:
    assert ticks("@hourly", 1, NOON.replace(minute=0, second=0, microsecond=0)) == [
        "03-01 13:00:00"
    ]


def test_the_hour_that_summer_time_takes_away_has_its_tick_after_it() -> None:
    before = datetime.datetime(2026, 3, 28, 12, tzinfo=datetime.UTC)
    assert ticks("TZ=Europe/Paris 30 2 * * *", 2, before) == ["03-29 01:00:00", "03-30 00:30:00"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "* * * * * * *",
        "60 * * * *",
        "* * * * FUNDAY",
        "* * L * *",
        "* * * * 5L",
        "* * * * 7",
        "* * * * 1,5-07",
        "* * * * FRI#2",
        "*/0 * * * *",
        "5-1 * * * *",
        "0 0 30 2 *",
        "@reboot",
        "@every",
        "@Hourly",
        "TZ=Nowhere/Land @daily",
        "TZ=../../etc/passwd @daily",
        "\N{FULLWIDTH DIGIT ONE} * * * *",
        "* " * 1000,
    ],
)
def test_what_is_no_cron_expression_is_refused_with_what_is_one(text: str) -> None:
    with pytest.raises(InvalidFault, match=r"^cron: .* is not a cron expression.*; write five "):
        cron(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("@every soon", r"spec.cron: 'soon' is not a duration; .*"),
        ("@every 0s", r"spec.cron: '0s' is not an interval above 0 and up to .*"),
        ("@every 999999h", r"spec.cron: '999999h' is not an interval above 0 and up to .*"),
    ],
)
def test_an_interval_that_is_none_is_refused_by_its_own_text(text: str, line: str) -> None:
    with pytest.raises(InvalidFault, match=f"^{line}$"):
        cron(text, key="spec.cron")

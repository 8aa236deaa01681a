"""Cron expressions tick when robfig/cron's would."""

from __future__ import annotations

import datetime
import itertools

import pytest

from chaoskernel.cron import cron
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
        (" 0 13 * * * ", ["03-01 13:00:00", "03-02 13:00:00"]),
        ("CRON_TZ=Asia/Tokyo 0 6 * * *", ["03-01 21:00:00", "03-02 21:00:00"]),
        ("TZ=Asia/Tokyo @daily", ["03-01 15:00:00", "03-02 15:00:00"]),
    ],
)
def test_ticks(text: str, expected: list[str]) -> None:
    assert ticks(text) == expected


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

"""When a schedule ticks: cron expressions as Chaos Mesh takes them (robfig/cron).

Five fields, six with seconds first, `@hourly` and its like, `@every 2m`, each with an
optional `CRON_TZ=Asia/Tokyo` before it; without that, in UTC.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import zoneinfo
from collections.abc import Iterator

from cronsim import CronSim, CronSimError

from chaoskernel.errors import InvalidFault
from chaoskernel.fault import syntax

_NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_ZONE = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.*)")
_EVERY = re.compile(r"@every\s+(\S+)")
# cronsim reads more than robfig/cron does: L, LW and FRI#2.  A name has three letters there.
_FIELD = re.compile(r"(?:[0-9*?,/-]|\b[A-Za-z]{3}\b)+")
_BOUNDS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_NUMBERS = {
    **{name: number for number, name in enumerate(_DAYS)},
    **{name: number for number, name in enumerate(_MONTHS, 1)},
}
_STEPPED = re.compile(r"(\*|\w+)(?:-(\w+))?/([0-9]+)")
_MAX_TEXT = 200
_MAX_EVERY = 10 * 365 * 24 * 3600
_ANY_TIME = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)


@dataclasses.dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression that is known to tick.

    :param text: as the user wrote it.
    :param fields: five or six fields; empty when it ticks at an interval.
    :param every: the interval, in seconds; 0 when it has fields.
    :param zone: a time zone by its name in the tz database.
    """

    text: str
    fields: str = ""
    every: int = 0
    zone: str = "UTC"

    def ticks(self, after: datetime.datetime) -> Iterator[datetime.datetime]:
        """Yield the ticks that come after a moment, in UTC.

        :param after: a moment with a time zone.
        """
        if self.every:
            moment = after.astimezone(datetime.UTC).replace(microsecond=0)
            while True:
                moment += datetime.timedelta(seconds=self.every)
                yield moment
        for tick in CronSim(self.fields, after.astimezone(zoneinfo.ZoneInfo(self.zone))):
            yield tick.astimezone(datetime.UTC)


def cron(text: str, *, key: str = "cron") -> Cron:
    """Return a cron expression.

    :param key: where the text stands in the user's document.
    :raises InvalidFault: it is none, or one that never ticks.
    """
    zone, fields = "UTC", text.strip()
    if found := _ZONE.fullmatch(fields):
        zone, fields = found[1], found[2].strip()
    if len(text) > _MAX_TEXT or not _is_zone(zone):
        raise _refused(key, text)
    if found := _EVERY.fullmatch(fields):
        return Cron(text, every=_interval(found[1], key), zone=zone)
    fields = _NAMED.get(fields, fields).replace("?", "*")
    if not all(_FIELD.fullmatch(field) for field in fields.split()):
        raise _refused(key, text)
    fields = _plainly(fields)
    if re.search(r"\b0*7\b", re.sub(r"/[0-9]+", "", fields.rpartition(" ")[2])):
        raise _refused(key, text, " (the days of the week are 0-6)")
    try:
        first = next(CronSim(fields, _ANY_TIME), None)
    except CronSimError as error:
        raise _refused(key, text, f" ({error})") from None
    if first is None:
        raise _refused(key, text, " that ever ticks")
    return Cron(text, fields=fields, zone=zone)


def _plainly(fields: str) -> str:
    """Write fields so that cronsim takes them as robfig/cron does.

    To robfig/cron a star with a step names days, and the other field adds to them; to cronsim it
    is still a star, and both fields have to be met.  cronsim's weeks have eight days, and it takes
    steps from a range of one value on to the end of the field.
    """
    words = fields.split()
    if len(words) not in (5, 6):
        return fields
    bounds = _BOUNDS[-len(words) :]
    return " ".join(_plain(word, *bound) for word, bound in zip(words, bounds, strict=True))


def _plain(field: str, least: int, most: int) -> str:
    def plain(term: str) -> str:
        found = _STEPPED.fullmatch(term)
        if not found or int(found[3]) == 0:
            return term
        start, end, step = found[1], found[2] or str(most), found[3]
        if start == "*":
            return "*" if int(step) == 1 else f"{least}-{most}/{step}"
        return start if _number(start) == _number(end) else f"{start}-{end}/{step}"

    # cronsim looks for a star at the beginning of a field, robfig/cron anywhere in it.
    return ",".join(sorted(map(plain, field.split(",")), key=lambda term: term != "*"))


def _number(word: str) -> int | str:
    return int(word) if word.isdecimal() else _NUMBERS.get(word.upper(), word)


def _interval(text: str, key: str) -> int:
    """Return an interval in whole seconds, one at least, as robfig/cron rounds it."""
    seconds = syntax.duration(text, key=key)
    if not 0 < seconds <= _MAX_EVERY:
        raise InvalidFault(
            key, text, f"an interval above 0 and up to {_MAX_EVERY} s", hint="such as @every 10m"
        )
    return max(1, int(seconds))


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _refused(key: str, text: str, why: str = "") -> InvalidFault:
    return InvalidFault(
        key,
        text,
        f"a cron expression{why}",
        hint="write five fields, six with seconds first, @hourly, or @every 10m",
    )

"""Requests that an API server is too busy for: it says when to make them again.

API Priority and Fairness answers 429 under load as a matter of course, with Retry-After;
client-go makes such requests again up to ten times, and so do we, for as long as there is time.
"""

from __future__ import annotations

import datetime
import email.utils
import re
import threading
import time
from collections.abc import Mapping

LONGEST_SECONDS = 30.0
"""Longest wait between two requests, whatever the server asks for."""

_USUAL_SECONDS = 1.0
_SHORTEST_SECONDS = 0.1
_SECONDS = re.compile(r"[0-9]{1,9}")


class Patience:
    """How long requests may be made again.

    :param seconds: from now on.
    :param over: ends every wait at once.
    """

    def __init__(self, seconds: float, over: threading.Event | None = None) -> None:
        self._end = time.monotonic() + seconds
        self._over = over or threading.Event()
        self.repeated = 0
        """How many times a request was to be made again."""

    def of_one_request(self) -> Patience:
        """Return the same, with a count of its own."""
        return Patience(self._end - time.monotonic(), self._over)

    def wait(self, asked: float) -> bool:
        """Wait as long as a server asked; return whether to make the request again.

        A wait that would end too late is not begun.

        :param asked: seconds.
        """
        # A server that asks for nothing, again and again, is asked less and less often.
        least = min(_SHORTEST_SECONDS * 2**self.repeated, LONGEST_SECONDS)
        seconds = max(least, min(asked, LONGEST_SECONDS))
        if self._over.is_set() or time.monotonic() + seconds > self._end:
            return False
        self.repeated += 1
        return not self._over.wait(seconds)


def retry_after(status: int, headers: Mapping[str, str]) -> float | None:
    """Return after how many seconds to make a request again; None is never.

    :param status: of the answer.
    :param headers: of the answer; names in any case.
    """
    text = _header(headers, "retry-after")
    if status != 429 and not (status >= 500 and text):
        return None
    if _SECONDS.fullmatch(text):
        return float(text)
    until = _date(text)
    if until is None:
        return _USUAL_SECONDS
    # The server's own clock, if it tells it, may differ from this host's.
    now = _date(_header(headers, "date")) or datetime.datetime.now(datetime.UTC)
    return max(0.0, (until - now).total_seconds())


def _header(headers: Mapping[str, str], name: str) -> str:
    found = (str(value) for key, value in headers.items() if key.lower() == name)
    return next(found, "").strip()


def _date(text: str) -> datetime.datetime | None:
    """Return a date of HTTP; None where the text is something else."""
    try:
        found = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)

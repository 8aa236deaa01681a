"""Counts the requests of this process, where their first line is written."""

from __future__ import annotations

import collections
import http.client
import re
import threading
import urllib.parse
from collections.abc import Mapping
from typing import Any

_PLACE = re.compile(
    r"/(?:api/v1|apis/[^/]+/[^/]+)(?:/namespaces/[^/]+)?/(?P<kind>[^/]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<part>[^/]+))?"
)
_VERBS = {"POST": "create", "DELETE": "delete", "PATCH": "patch", "PUT": "update"}


class Calls:
    """How many requests there were of each kind, such as `create jobs`."""

    def __init__(self) -> None:
        self._seen: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()

    def install(self) -> None:
        """Count from here on, whatever library asks."""
        real = http.client.HTTPConnection.putrequest

        def putrequest(connection: Any, method: str, url: str, *rest: Any, **more: Any) -> None:
            with self._lock:
                self._seen[kind_of(method, url)] += 1
            real(connection, method, url, *rest, **more)

        setattr(http.client.HTTPConnection, "putrequest", putrequest)  # noqa: B010 - for mypy

    def seen(self) -> Mapping[str, int]:
        """Return the counts so far."""
        with self._lock:
            return dict(sorted(self._seen.items()))


def kind_of(method: str, url: str) -> str:
    """Return a request's verb and resource as RBAC has them; pages of a list are one kind."""
    split = urllib.parse.urlsplit(url)
    match = _PLACE.fullmatch(split.path)
    if not match:
        return f"{method} {split.path}"
    query = urllib.parse.parse_qs(split.query)
    kind = match["kind"] + (f"/{match['part']}" if match["part"] else "")
    if "watch" in query and query["watch"][0].lower() in ("1", "true"):
        return f"watch {kind}"
    if method == "GET":
        return f"{'get' if match['name'] else 'list'} {kind}"
    many = "collection" if method == "DELETE" and not match["name"] else ""
    return f"{_VERBS.get(method, method)}{many} {kind}"

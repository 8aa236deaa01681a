"""Which Job a pod is of: its controller says, for labels anybody may give; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class JobReference(NamedTuple):
    """The Job that controls a pod; empty where none does."""

    name: str = ""
    uid: str = ""


def owner_of(pod: Mapping[str, Any]) -> JobReference:
    """Return the Job that a Pod document of the API names as its controller."""
    for each in (pod.get("metadata") or {}).get("ownerReferences") or []:
        if each.get("controller") and each.get("kind") == "Job":
            return JobReference(str(each.get("name", "")), str(each.get("uid", "")))
    return JobReference()

"""Answers that no API server gives."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.k8s.api_server import a_pod

JUNK: dict[str, bytes] = {
    "html": b"<html><body>proxy says hello</body></html>",
    "a list": b"[]",
    "null": b"null",
    "a number": b"17",
    "text": b'"x"',
    "true": b"true",
    "deep lists": b"[" * 200_000,
    "deep objects": b'{"a":' * 200_000,
    "half": b'{"type": "ADDED", "obj',
    "binary": bytes(set(range(256)) - {10}) * 10,
    "a million bytes": b"x" * 1_000_000,
    "infinite": b'{"type": 1e999, "object": NaN}',
    "a long number": b"9" * 5000,
    "blanks": b"   ",
}

DOCUMENTS: dict[str, Any] = {
    "no type": {"object": a_pod("x")},
    "no object": {"type": "ADDED"},
    "an object that is null": {"type": "ADDED", "object": None},
    "an object that is a list": {"type": "ADDED", "object": []},
    "no metadata": {"type": "ADDED", "object": {}},
    "metadata null": {"type": "ADDED", "object": {"metadata": None}},
    "metadata a list": {"type": "ADDED", "object": {"metadata": []}},
    "no name": {"type": "ADDED", "object": {"metadata": {}}},
    "a name that is a number": {"type": "ADDED", "object": {"metadata": {"name": 5}}},
    "labels a list": {"type": "ADDED", "object": {"metadata": {"name": "x", "labels": []}}},
    "owners text": {"type": "ADDED", "object": {"metadata": {"name": "x", "ownerReferences": "y"}}},
    "status a list": {"type": "ADDED", "object": {**a_pod("x"), "status": []}},
    "statuses of null": {
        "type": "ADDED",
        "object": {**a_pod("x"), "status": {"containerStatuses": [None]}},
    },
    "a state that is text": {
        "type": "ADDED",
        "object": {**a_pod("x"), "status": {"containerStatuses": [{"name": "a", "state": "up"}]}},
    },
}
LINES = {**JUNK, **{name: json.dumps(document).encode() for name, document in DOCUMENTS.items()}}

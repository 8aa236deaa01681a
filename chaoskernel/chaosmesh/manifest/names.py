"""What Kubernetes lets objects, labels and annotations be called; pure.

The rules are those of k8s.io/apimachinery/pkg/util/validation.
"""

from __future__ import annotations

import re

SUBDOMAIN = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
)
"""What a pod or a node may be called (RFC 1123)."""

_PLAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


def label_key_problem(key: str) -> str:
    """Return why a text is not the key of a label; empty where it is one."""
    return _key_problem(key, "label", "app or example.com/tier")


def annotation_key_problem(key: str) -> str:
    """Return why a text is not the key of an annotation; empty where it is one."""
    # Kubernetes accepts capitals in the prefix of an annotation, not in that of a label.
    return _key_problem(key.lower(), "annotation", "team or example.com/team")


def label_value_problem(value: str) -> str:
    """Return why a text is not the value of a label; empty where it is one."""
    if value == "" or _PLAIN.fullmatch(value):
        return ""
    return (
        "is not a value that a label can have: up to 63 letters, digits, dashes, dots and "
        "underscores, with a letter or digit at either end"
    )


def _key_problem(key: str, what: str, example: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if _PLAIN.fullmatch(name) and (not slash or SUBDOMAIN.fullmatch(prefix)):
        return ""
    article = "an" if what == "annotation" else "a"
    return f"is not the name of {article} {what}, such as {example}"

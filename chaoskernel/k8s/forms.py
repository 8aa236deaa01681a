"""What documents of the API have to be for this package to read them; pure.

An API server answers so; a proxy before it, or something else at its address, may not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# A type, an object by its keys, or a list of one form.  Whatever is absent or null fits, except
# for keys with "!"; "*" stands for all other keys, which are free where it is not there.
Form = type | Mapping[str, Any] | list[Any]

_TEXTS = {"*": str}
_METADATA = {
    "name!": str,
    "namespace": str,
    "uid": str,
    "labels": _TEXTS,
    "annotations": _TEXTS,
    "creationTimestamp": str,
    "deletionTimestamp": str,
    "ownerReferences": [{"kind": str, "name": str, "uid": str, "controller": bool}],
}
_CONTAINERS = [{"name!": str, "restartPolicy": str}]
_STATE = {
    "running": {},
    "terminated": {"exitCode": int},
    "waiting": {"reason": str, "message": str},
}
_STATUSES = [{"name!": str, "image": str, "containerID": str, "state": _STATE}]
_POD = {
    "metadata!": _METADATA,
    "spec": {
        **dict.fromkeys(("nodeName", "restartPolicy", "schedulerName", "serviceAccountName"), str),
        "priorityClassName": str,
        "hostNetwork": bool,
        "activeDeadlineSeconds": int,
        **dict.fromkeys(("containers", "initContainers", "ephemeralContainers"), _CONTAINERS),
    },
    "status": {
        **dict.fromkeys(("phase", "podIP", "nominatedNodeName", "startTime"), str),
        **dict.fromkeys(("reason", "message"), str),
        "podIPs": [{"ip": str}],
        "containerStatuses": _STATUSES,
        "initContainerStatuses": _STATUSES,
        "ephemeralContainerStatuses": _STATUSES,
    },
}

POD: Form = _POD
"""A pod of ours, of a watch."""

SELECTABLE_POD: Form = {**_POD, "metadata!": {**_METADATA, "namespace!": str, "uid!": str}}
"""A pod that a fault may be for: a node has to know it."""

JOB: Form = {
    "metadata!": _METADATA,
    "spec": {"activeDeadlineSeconds": int},
    "status": {"succeeded": int, "failed": int, "startTime": str},
}

NODE: Form = {
    "metadata!": _METADATA,
    "status": {"nodeInfo": {"architecture": str, "kernelVersion": str}},
}

EVENT: Form = {
    "metadata": {"uid": str},
    "involvedObject": {"name": str},
    "reason": str,
    "message": str,
}

PAGE: Form = {"metadata": {"continue": str}, "items": list}

CREATED: Form = {"metadata": {"uid": str}}

WATCHED: Form = {"type!": str, "object!": {}}

_NAMES = {str: "text", bool: "true or false", int: "a whole number", list: "a list"}


def problem(value: Any, form: Form, path: str = "") -> str:
    """Return the first thing that a value is not; empty where it fits.

    :param path: what the value is called.
    """
    if isinstance(form, list):
        return _problem_of_list(value, form, path)
    if isinstance(form, type):
        fits = isinstance(value, form) and (form is bool or not isinstance(value, bool))
        return "" if fits else f"{path or 'it'} is not {_NAMES[form]}"
    if not isinstance(value, dict):
        return f"{path or 'it'} is not an object"
    return _problem_of_object(value, form, path)


def _problem_of_object(value: Mapping[str, Any], form: Mapping[str, Any], path: str) -> str:
    for key, inner in form.items():
        plain = key.removesuffix("!")
        below = f"{path}.{plain}".removeprefix(".")
        if value.get(plain) is None:
            if plain != key:
                return f"{below} is missing"
        elif key != "*" and (found := problem(value[plain], inner, below)):
            return found
    if others := form.get("*"):
        wrong = (problem(item, others, f"{path}.*") for item in value.values())
        return next(filter(None, wrong), "")
    return ""


def _problem_of_list(value: Any, form: list[Any], path: str) -> str:
    if not isinstance(value, list):
        return f"{path} is not a list"
    return next(filter(None, (problem(item, form[0], f"{path}[]") for item in value)), "")

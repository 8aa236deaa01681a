"""What the API server's refusals mean, in one line each; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from chaoskernel.errors import ClusterError, NotPermitted
from chaoskernel.k8s.retry import retry_after

_SHOWN = 500

_RBAC = re.compile(
    r'User "(?P<user>[^"]+)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" '
    r'in API group "(?P<group>[^"]*)"(?: in the namespace "(?P<namespace>[^"]+)")?'
)


class Busy(ClusterError):
    """The API server is too busy for a request, and takes it later.

    :param seconds: after which to make it again.
    """

    def __init__(self, message: str, *, status: int, seconds: float) -> None:
        hint = "its API server is too busy; try again later"
        super().__init__(message, hint=hint, status=status)
        self.seconds = seconds


def error_of(
    status: int, body: str, what: str, headers: Mapping[str, str] | None = None
) -> ClusterError | NotPermitted:
    """Return the error that an answer of the API server is.

    :param status: of HTTP.
    :param body: a Status document, or text.
    :param what: was asked for, as in "create a Job".
    :param headers: of the answer.
    """
    message = _message(body)
    why = f"the cluster refused to {what}: {message or f'HTTP status {status}'}"
    if (seconds := retry_after(status, headers or {})) is not None:
        return Busy(why, status=status, seconds=seconds)
    if status == 401:
        return NotPermitted(
            f"the cluster does not know who asks to {what}",
            hint="renew the credentials of the kubeconfig, or KUBERNETES_API_KEY",
        )
    if status == 403 and (found := _RBAC.search(message)):
        group = found["group"]
        resource = f"{found['resource']}.{group}" if group else found["resource"]
        where = f"in namespace {found['namespace']}" if found["namespace"] else "in the cluster"
        return NotPermitted(
            f"{found['user']} may not {found['verb']} {resource} {where}",
            hint=f"grant the verb {found['verb']} on {resource}; deploy/rbac.yaml has every right "
            "that is needed",
        )
    if status == 404 and (missing := re.search(r'namespaces "([^"]+)" not found', message)):
        return ClusterError(
            f"there is no namespace {missing[1]}",
            hint="kubectl apply -f deploy/rbac.yaml makes chaoskernel",
            status=status,
        )
    return ClusterError(why, status=status)


def pod_trouble(document: dict[str, Any]) -> str:
    """Return why the agent of a pod does not start, or did not end well; else nothing.

    A pull that fails is tried again by the kubelet; the fault does not wait for that.
    """
    status = document.get("status") or {}
    for container in status.get("containerStatuses") or []:
        state = container.get("state") or {}
        waiting = state.get("waiting") or {}
        if (reason := waiting.get("reason") or "") in _FATAL:
            image = container.get("image", "")
            return f"{_FATAL[reason].format(image=image)} ({_text(waiting, reason)})"
    if status.get("phase") == "Failed":
        ended = [
            (each.get("state") or {}).get("terminated") or {}
            for each in status.get("containerStatuses") or []
        ]
        codes = [f"exit status {each['exitCode']}" for each in ended if "exitCode" in each]
        return _text(status, ", ".join(codes) or "no reason given")
    return ""


_PULL = "image {image} is missing"
_FATAL = {
    "ErrImagePull": _PULL,
    "ImagePullBackOff": _PULL,
    "ErrImageNeverPull": _PULL,
    "InvalidImageName": "{image} is no name of an image",
    "CreateContainerConfigError": "its container cannot be configured",
    "CreateContainerError": "its container cannot be made",
    "RunContainerError": "its container cannot be run",
}


def event_trouble(event: dict[str, Any]) -> tuple[str, str]:
    """Return the name of the Job that an event is about, and why it makes no pod."""
    about = event.get("involvedObject") or {}
    return str(about.get("name", "")), _text(event, str(event.get("reason", "")))


def _text(document: dict[str, Any], default: str) -> str:
    reason, message = document.get("reason") or "", document.get("message") or ""
    return plain(f"{reason}: {message}" if reason and message else message or reason or default)


def _message(body: str) -> str:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return plain(body)
    return plain(str(document.get("message") or "")) if isinstance(document, dict) else ""


def plain(text: str) -> str:
    """Return the beginning of a text of others, without what a terminal would obey."""
    return "".join(c if c.isprintable() else " " for c in text.strip()[:_SHOWN])

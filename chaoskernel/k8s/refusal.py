"""What the API server's refusals mean, in one line each; pure."""

from __future__ import annotations

import json
import re
from typing import Any

from chaoskernel.errors import ClusterError, NotPermitted

_RBAC = re.compile(
    r'User "(?P<user>[^"]+)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)" '
    r'in API group "(?P<group>[^"]*)"(?: in the namespace "(?P<namespace>[^"]+)")?'
)


def error_of(status: int, body: str, what: str) -> ClusterError | NotPermitted:
    """Return the error that an answer of the API server is.

    :param status: of HTTP.
    :param body: a Status document, or text.
    :param what: was asked for, as in "create a Job".
    """
    message = _message(body)
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
    why = message or f"HTTP status {status}"
    return ClusterError(f"the cluster refused to {what}: {why}", status=status)


def pod_trouble(document: dict[str, Any]) -> str:
    """Return why the agent of a pod does not start, or did not end well; else nothing.

    A pull that fails is tried again by the kubelet; the fault does not wait for that.
    """
    status = document.get("status", {})
    for container in status.get("containerStatuses") or []:
        state = container.get("state") or {}
        waiting = state.get("waiting") or {}
        if (reason := waiting.get("reason", "")) in _FATAL:
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
    about = event.get("involvedObject", {})
    return str(about.get("name", "")), _text(event, str(event.get("reason", "")))


def _text(document: dict[str, Any], default: str) -> str:
    reason, message = document.get("reason", ""), document.get("message", "")
    return f"{reason}: {message}" if reason and message else message or reason or default


def _message(body: str) -> str:
    try:
        document = json.loads(body)
    except ValueError:
        return body.strip()[:200]
    return str(document.get("message", "")) if isinstance(document, dict) else ""

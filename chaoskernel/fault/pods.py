"""Pods of a scope: what a node has to know of one to find it among its control groups.

Standard library only: these travel to the agent.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.checks import mapping, only, sequence_of

# A static pod's is the hash of its file, without dashes.
_UID = re.compile(r"[0-9a-f][0-9a-f-]{7,63}")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


@dataclasses.dataclass(frozen=True, slots=True)
class PodContainer:
    """A container of a pod.

    :param id: what it had when the fault was described; it gets another one when it
        restarts.
    """

    name: str
    id: str = ""

    def __post_init__(self) -> None:
        _check("containers.name", self.name, _NAME, "the name of a container")
        if not isinstance(self.id, str):
            raise InvalidFault("pods.containers.id", self.id, "the id of a container")


@dataclasses.dataclass(frozen=True, slots=True)
class PodScope:
    """One pod whose requests may fail.

    :param node: where it runs.
    :param containers: those that are meant; none is all, also those that come later.
    """

    namespace: str
    name: str
    uid: str
    node: str = ""
    containers: tuple[PodContainer, ...] = ()

    def __post_init__(self) -> None:
        _check("pods.namespace", self.namespace, _NAME, "the name of a namespace")
        _check("pods.name", self.name, _NAME, "the name of a pod")
        _check("pods.uid", self.uid, _UID, "a pod's uid")
        if not isinstance(self.node, str):
            raise InvalidFault("pods.node", self.node, "the name of a node")

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    def to_json(self) -> dict[str, Any]:
        """Return the pod as a document of JSON types."""
        return {
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
            "node": self.node,
            "containers": [{"name": each.name, "id": each.id} for each in self.containers],
        }

    @classmethod
    def from_json(cls, document: Any) -> PodScope:
        """Return the pod that a document describes.

        :raises InvalidFault: a key is unknown, absent or has an impossible value.
        """
        body = mapping("pods", document)
        only(body, [field.name for field in dataclasses.fields(cls)], "pods.")
        containers = sequence_of("pods.containers", body.get("containers", []))
        return cls(
            **{"namespace": "", "name": "", "uid": "", **body}
            | {"containers": tuple(map(_container, containers))}
        )


def pods_of(documents: Any) -> tuple[PodScope, ...]:
    """Return the pods that documents describe; one that is a pod already stays as it is.

    :raises InvalidFault: one of them is wrong.
    """
    return tuple(
        each if isinstance(each, PodScope) else PodScope.from_json(each)
        for each in sequence_of("pods", documents)
    )


def _container(document: Any) -> PodContainer:
    body: Mapping[str, Any] = mapping("pods.containers", document)
    only(body, ("name", "id"), "pods.containers.")
    return PodContainer(**{"name": "", **body})


def _check(key: str, value: Any, pattern: re.Pattern[str], what: str) -> None:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise InvalidFault(key, value, what, hint="kubectl get pods -o yaml shows it")

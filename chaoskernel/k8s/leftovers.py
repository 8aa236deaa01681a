"""Jobs of faults on a cluster, whoever started them: found by their labels, and removed."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any

from chaoskernel.errors import ChaosKernelError
from chaoskernel.fault.spec import NAME
from chaoskernel.k8s.api import Cluster
from chaoskernel.k8s.job import (
    ANNOTATION_BY,
    ANNOTATION_NODE,
    ANNOTATION_PODS,
    EVERY_JOB,
    LABEL_FAULT,
)
from chaoskernel.k8s.owner import owner_of


@dataclasses.dataclass(frozen=True, slots=True)
class Left:
    """One Job of a fault, or the pod of one that is gone.

    :param state: running, ended, or terminating: the pod of a Job that was deleted, on a node
        that does not answer.
    :param ends_at: when it is over at the latest; ISO 8601, UTC.
    """

    fault: str
    node: str
    pods: str
    job: str
    started_by: str
    state: str
    ends_at: str


def find(cluster: Cluster, namespace: str, name: str = "") -> list[Left]:
    """Return the Jobs of a fault, or of all, and the pods whose Job is gone.

    :raises ChaosKernelError: the cluster refuses to say.
    """
    if name and not NAME.fullmatch(name):  # no fault has it, and a selector might not take it
        return []
    labels = f"{EVERY_JOB},{LABEL_FAULT}={name}" if name else EVERY_JOB
    known = set()
    jobs = []
    for document in cluster.jobs(namespace, labels):
        jobs.append(_of_job(document))
        known.add(document["metadata"].get("uid"))
    orphans = [
        _of_pod(document)
        for document in cluster.pods(namespace, labels)
        # One without a controller is listed too: nobody else removes it.
        if not (uid := owner_of(document).uid) or uid not in known
    ]
    return sorted([*jobs, *orphans], key=lambda left: (left.fault, left.node))


def remove(cluster: Cluster, namespace: str, lefts: Sequence[Left]) -> list[tuple[Left, str]]:
    """Delete Jobs; return each, with what went wrong or nothing.  It goes on past errors."""
    removed = []
    for left in lefts:
        trouble = ""
        try:
            cluster.delete_job(namespace, left.job)
        except ChaosKernelError as error:
            trouble = str(error)
        removed.append((left, trouble))
    return removed


def _of_job(document: Mapping[str, Any]) -> Left:
    metadata, status = document["metadata"], document.get("status") or {}
    over = status.get("succeeded") or status.get("failed")
    return _left(
        metadata,
        job=metadata["name"],
        state="ended" if over else "running",
        begun=status.get("startTime") or metadata.get("creationTimestamp") or "",
        seconds=(document.get("spec") or {}).get("activeDeadlineSeconds") or 0,
    )


def _of_pod(document: Mapping[str, Any]) -> Left:
    metadata = document["metadata"]
    return _left(
        metadata,
        job=owner_of(document).name or metadata["name"],
        state="terminating",
        begun=(document.get("status") or {}).get("startTime") or "",
        seconds=(document.get("spec") or {}).get("activeDeadlineSeconds") or 0,
    )


def _left(metadata: Mapping[str, Any], *, job: str, state: str, begun: str, seconds: int) -> Left:
    annotations = metadata.get("annotations") or {}
    return Left(
        fault=(metadata.get("labels") or {}).get(LABEL_FAULT, ""),
        node=annotations.get(ANNOTATION_NODE, ""),
        pods=annotations.get(ANNOTATION_PODS, ""),
        job=job,
        started_by=annotations.get(ANNOTATION_BY, ""),
        state=state,
        ends_at=_after(begun, seconds),
    )


def _after(begun: str, seconds: int) -> str:
    try:
        at = datetime.datetime.fromisoformat(begun)
        return (at + datetime.timedelta(seconds=seconds)).isoformat() if seconds else ""
    except (ValueError, OverflowError):
        return ""

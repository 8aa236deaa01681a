"""What is asked of a cluster; cluster.py asks an API server, and tests ask a stand-in."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from chaoskernel.k8s.retry import Patience

Document = dict[str, Any]


class Cluster(Protocol):
    """A cluster.  Every method may be called from any thread.

    :raises ChaosKernelError: the cluster refuses, or does not answer.
    """

    def pods(self, namespace: str, labels: str = "") -> Iterator[Document]:
        """Yield the pods of a namespace that have these labels."""

    def pod(self, namespace: str, name: str) -> Document:
        """Return a pod."""

    def nodes(self) -> Iterator[Document]:
        """Yield the nodes."""

    def jobs(self, namespace: str, labels: str) -> Iterator[Document]:
        """Yield the Jobs of a namespace that have these labels."""

    def warnings(self, namespace: str, patience: Patience | None = None) -> Iterator[Document]:
        """Yield the events that warn of Jobs."""

    def create_job(
        self, namespace: str, manifest: Mapping[str, Any], patience: Patience | None = None
    ) -> str:
        """Create a Job; return its uid, or nothing where that is not known."""

    def delete_job(self, namespace: str, name: str, patience: Patience | None = None) -> None:
        """Delete a Job and its pod; one that is not there is no error."""

    def delete_jobs(self, namespace: str, labels: str, patience: Patience | None = None) -> None:
        """Delete the Jobs that have these labels, and their pods, by one request."""

    def watch_pods(
        self, namespace: str, labels: str, over: threading.Event
    ) -> Iterator[tuple[str, Document]]:
        """Yield what becomes of pods; what keeps it from seeing them comes as ERROR."""

    def log(self, namespace: str, pod: str, container: str, over: threading.Event) -> Iterator[str]:
        """Open a container's log; return its lines until it ends."""

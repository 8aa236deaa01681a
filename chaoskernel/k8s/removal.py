"""The Jobs of a fault are deleted: some at a time by one request, or each where that fails.

A server deletes what a request selects one after the other.  So the Jobs are in parts, each with
its label, and as many parts are deleted at once as single Jobs would be.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from chaoskernel.errors import ChaosKernelError, ClusterError, NotPermitted
from chaoskernel.k8s.api import Cluster
from chaoskernel.k8s.retry import Patience
from chaoskernel.log import logger

AT_ONCE = 16
"""Requests to the API server at the same time: it allows a client 400 in all."""

_OF_A_PART = 8
"""Jobs, where there are few: more requests than that gains are not worth it."""

_RIGHTS_TIMES = 5
"""How many times a right that is missing is asked for again: a server that has just started
knows nobody's rights."""

_Item = TypeVar("_Item")


def parts(jobs: int) -> int:
    """Return how many parts so many Jobs are in."""
    return max(1, min(AT_ONCE, math.ceil(jobs / _OF_A_PART)))


def remove(
    cluster: Cluster,
    namespace: str,
    jobs: Mapping[str, Sequence[str]],
    *,
    patience: float,
    retry: float,
) -> dict[str, str]:
    """Delete Jobs, and go on past errors; return those that are left, and why.

    :param jobs: the names of those that each label selector selects.
    :param patience: for how many seconds a server that is not there is asked again.
    :param retry: seconds between two times.
    """

    def delete_part(labels: str) -> None:
        cluster.delete_jobs(namespace, labels, Patience(patience))

    def delete_one(name: str) -> None:
        _delete(cluster, namespace, name, patience, retry)

    failed = each(delete_part, list(jobs))
    if failed:
        level = logging.WARNING if isinstance(failed[0][1], NotPermitted) else logging.DEBUG
        logger.log(level, "Jobs are deleted one by one: %s", failed[0][1])
    singles = [name for labels, _ in failed for name in jobs[labels]]
    return {name: str(error) for name, error in each(delete_one, singles)}


def each(
    do: Callable[[_Item], None], items: Sequence[_Item]
) -> list[tuple[_Item, ChaosKernelError]]:
    """Do something with each item, several at once; return those that failed, and how."""

    def attempt(item: _Item) -> ChaosKernelError | None:
        try:
            do(item)
        except ChaosKernelError as error:
            return error
        return None

    if not items:
        return []
    with ThreadPoolExecutor(min(AT_ONCE, len(items))) as pool:
        outcomes = list(pool.map(attempt, items))
    return [(item, error) for item, error in zip(items, outcomes, strict=True) if error]


def _delete(cluster: Cluster, namespace: str, name: str, patience: float, retry: float) -> None:
    begun = time.monotonic()
    while True:
        try:
            cluster.delete_job(namespace, name, Patience(begun + patience - time.monotonic()))
        except (ClusterError, NotPermitted) as error:
            left = begun + _worth(error, patience, retry) - time.monotonic()
            if left < retry:
                raise
            time.sleep(retry)
        else:
            return


def _worth(error: ClusterError | NotPermitted, patience: float, retry: float) -> float:
    """Return for how many seconds it is worth to ask again."""
    if isinstance(error, NotPermitted):
        return _RIGHTS_TIMES * retry
    passes = error.status in (0, 429) or error.status >= 500
    return patience if passes else 0.0

"""The logs of a fault's agents: opened a few at a time, and each read until its last word."""

from __future__ import annotations

import collections
import functools
import itertools
import threading
from collections.abc import Callable, Iterator
from typing import NamedTuple

from chaoskernel.errors import ChaosKernelError, ClusterError
from chaoskernel.k8s.api import Cluster
from chaoskernel.k8s.job import CONTAINER
from chaoskernel.k8s.node import NodeAgent
from chaoskernel.k8s.removal import AT_ONCE
from chaoskernel.k8s.sparing import SparingLog
from chaoskernel.log import logger


class Few:
    """Does things in at most so many threads, which end when nothing is left to do."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._left: collections.deque[Callable[[], None]] = collections.deque()
        self._threads = 0
        self._lock = threading.Lock()

    def do(self, what: Callable[[], None]) -> None:
        """Have something done that raises nothing; return at once."""
        with self._lock:
            self._left.append(what)
            if self._threads == self._most:
                return
            self._threads += 1
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._left:
                    self._threads -= 1
                    return
                what = self._left.popleft()
            what()


class _Opened(NamedTuple):
    """A log that was asked for.

    :param lines: or why there are none.
    :param last: the agent had ended before, so that all of its log is in them.
    """

    lines: Iterator[str] | Exception
    last: bool


class Logs:
    """The logs of agents.

    To open a connection takes a deep stack, and buffers that a thread's heap keeps: where each of
    500 threads opens its own, a node takes half as much memory again.  So a few open
    the logs, and who reads one has a thread that does nothing else.

    :param namespace: that of the Jobs.
    :param over: ends all of it.
    :param retry: seconds until a log that broke off is read again.
    """

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        over: threading.Event,
        retry: float,
        log: SparingLog,
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._over = over
        self._retry = retry
        self._log = log
        self._few = Few(AT_ONCE)

    def hear(self, agent: NodeAgent) -> None:
        """Hear an agent from now on until its last word; return at once."""
        self._few.do(functools.partial(self._begin, agent))

    def _begin(self, agent: NodeAgent) -> None:
        opened = self._open(agent)
        threading.Thread(target=self._listen, args=(agent, opened), daemon=True).start()

    def _open(self, agent: NodeAgent) -> _Opened:
        last = agent.finished
        try:
            lines = self._cluster.log(self._namespace, agent.pod, CONTAINER, self._over)
        except Exception as error:
            return _Opened(error, last)
        return _Opened(lines, last)

    def _listen(self, agent: NodeAgent, opened: _Opened) -> None:
        """Hear an agent, whatever becomes of the connection."""
        pod_is_gone = False
        for attempt in itertools.count():
            try:
                self._read(agent, opened)
            except ClusterError as error:
                pod_is_gone = error.status == 404
            except ChaosKernelError as error:
                if not agent.armed:
                    agent.fail(str(error))
                    break
            except Exception as error:
                agent.fail(self._log.trouble(f"reading the log of {agent.pod}", error))
            if agent.over or opened.last or pod_is_gone or self._over.is_set():
                break
            logger.debug("Log of %s broke off (%d)", agent.pod, attempt)
            self._over.wait(self._retry)
            # Not by the few: nodes that are cut off would hold up the others.
            opened = self._open(agent)
        agent.log_ended(pod_is_gone=pod_is_gone)

    def _read(self, agent: NodeAgent, opened: _Opened) -> None:
        """Take in the lines of a log; one that is no message is passed over, and logged."""
        if isinstance(opened.lines, Exception):
            raise opened.lines
        for line in opened.lines:
            if wrong := agent.hear(line):
                kind = wrong.partition(":")[0]
                self._log.warning(kind, "Kernel faults: node %s: %s", agent.node, wrong)

"""One long-running program of the cluster, with what it prints in a log."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from chaoskernel import process
from chaoskernel.errors import LabError, TimeLimit

_POLL_SECONDS = 0.1
_GRACE_SECONDS = 10.0


class Daemon:
    """A program that is started, and may be stopped and started again.

    :param log: where it prints to; begun anew here, and added to when it is started again.
    :param env: its environment; this process's own when None.
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        log.unlink(missing_ok=True)
        self.name = name
        self.log = log
        self._command = command
        self._env = env
        self._child: process.Child | None = None

    @property
    def pid(self) -> int:
        """Its process id; 0 when it does not run."""
        return self._child.pid if self._child else 0

    def start(self) -> None:
        """Start it.

        :raises MissingTool: it is not installed.
        """
        with self.log.open("a", encoding="utf-8") as log:
            self._child = process.start(
                self._command, env=self._env, stdout=log, stderr=subprocess.STDOUT
            )

    def stop(self, *, grace: float = _GRACE_SECONDS) -> None:
        """End it; one that does not run is left alone.

        :param grace: seconds between SIGTERM and SIGKILL; 0 kills at once.
        """
        child, self._child = self._child, None
        if child:
            process.end_group(child, grace=grace)

    def await_(self, is_ready: Callable[[], bool], seconds: float) -> None:
        """Wait until it is ready.

        :raises LabError: it has ended, for what its log says last.
        :raises TimeLimit: it was not ready in time.
        """
        deadline = time.monotonic() + seconds
        while not is_ready():
            if self._child is None or self._child.poll() is not None:
                raise LabError(f"{self.name} has ended: {self._last()}", hint=f"see {self.log}")
            if time.monotonic() > deadline:
                raise TimeLimit(
                    f"{self.name} was not ready within {seconds:g} s: {self._last()}",
                    hint=f"see {self.log}",
                )
            time.sleep(_POLL_SECONDS)

    def _last(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "it has printed nothing"

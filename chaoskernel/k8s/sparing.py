"""A log of troubles that may come thousands of times: each kind of them once."""

from __future__ import annotations

import logging
import threading

from chaoskernel.errors import ChaosKernelError

_MOST_KINDS = 100


class SparingLog:
    """Logs a kind of trouble when it comes for the first time.

    Its methods may be called from any thread.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._lock = threading.Lock()
        self._kinds: set[str] = set()

    def warning(self, kind: str, text: str, *arguments: object) -> None:
        """Log a trouble.

        :param kind: what it has in common with others; of more than a hundred kinds, the later
            ones are not logged.
        """
        with self._lock:
            if kind in self._kinds or len(self._kinds) >= _MOST_KINDS:
                return
            self._kinds.add(kind)
        self._logger.warning(f"{text}; more of these are not logged", *arguments)

    def trouble(self, where: str, error: Exception) -> str:
        """Log what a thread came upon, and goes on from; return it in words."""
        kind = type(error).__name__
        text = str(error) if isinstance(error, ChaosKernelError) else f"{kind}: {error}"[:200]
        self.warning(f"{where}{kind}", "Kernel faults: %s goes on after this: %s", where, text)
        return f"{where} does not work: {text}"

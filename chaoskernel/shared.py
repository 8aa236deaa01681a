"""What this process has one of: the backends, the documents that were applied, the experiment."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Shared(Generic[Value]):
    """One value for the whole process, which is made when it is first asked for.  Thread-safe.

    Calling it returns the value.
    """

    def __init__(self, make: Callable[[], Value]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._values: list[Value] = []

    def __call__(self) -> Value:
        with self._lock:
            if not self._values:
                self._values.append(self._make())
            return self._values[-1]

    @contextlib.contextmanager
    def replaced(self, value: Value) -> Iterator[Value]:
        """Have another value in its place for a while."""
        with self._lock:
            self._values.append(value)
        try:
            yield value
        finally:
            with self._lock:
                self._values.pop(max(n for n, each in enumerate(self._values) if each is value))

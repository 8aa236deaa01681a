"""What the activities share: the one place where errors become the toolkit's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from chaoslib.exceptions import ActivityFailed

from chaoskernel.errors import ChaosKernelError


@contextlib.contextmanager
def failing_in_one_line() -> Iterator[None]:
    """Turn this package's errors into ActivityFailed with the same line.

    :raises ActivityFailed: the block raised an error of this package.
    """
    try:
        yield
    except ChaosKernelError as error:
        raise ActivityFailed(str(error)) from error

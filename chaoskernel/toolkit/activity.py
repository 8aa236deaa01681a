"""What the activities share: the one place where errors become the toolkit's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from chaoslib.exceptions import ActivityFailed

from chaoskernel.errors import ChaosKernelError

if TYPE_CHECKING:
    List = list[Any] | str
    Mapping = dict[str, Any] | str
    Number = int | str
    Duration = float | str
else:
    List = Mapping = Number = Duration = str
"""Types of arguments that may be given as text, as `chaos discover` has to show them.

`chaos init` asks by these types: it takes text for a list apart into letters, accepts no text for
a mapping, and asks again and again for a number without a default.
"""


@contextlib.contextmanager
def failing_in_one_line() -> Iterator[None]:
    """Turn this package's errors into ActivityFailed with the same line.

    :raises ActivityFailed: the block raised an error of this package.
    """
    try:
        yield
    except ChaosKernelError as error:
        raise ActivityFailed(str(error)) from error

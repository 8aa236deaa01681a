"""The libraries of the extra `report`, which may not be installed."""

from __future__ import annotations

from chaoskernel.errors import MissingTool
from chaoskernel.extras import pip_install


def require(library: object, what: str) -> None:
    """Check that a library was imported.

    :param library: None where it was not.
    :param what: what needs it.
    :raises MissingTool: it was not.
    """
    if library is None:
        raise MissingTool(
            f"{what} needs a library that is not installed",
            hint=pip_install("report"),
        )

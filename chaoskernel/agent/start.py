"""The first module of an agent's process: what others import for nothing is put off.

All else is imported when that is done, and not before.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable

from chaoskernel import lazy

UNUSED = ("inspect", "ipaddress")
"""dataclasses has the one for classes without docstrings, pathlib the other one for URLs."""


def main(owner: int, document: str = "") -> int:
    """See chaoskernel.agent.main."""
    return _imported()(owner, document)


def main_on_a_node() -> int:
    """Serve the fault that is in the environment."""
    serve = _imported()
    from chaoskernel.fault.assignment import FAULT_VARIABLE  # noqa: PLC0415 - there by now

    return serve(0, os.environ.get(FAULT_VARIABLE, ""))


def _imported() -> Callable[[int, str], int]:
    gc.disable()  # what is imported stays
    for name in UNUSED:
        lazy.defer(name)
    from chaoskernel.agent.main import main as serve  # noqa: PLC0415 - now it costs less

    gc.enable()
    return serve

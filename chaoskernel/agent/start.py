"""The first module of an agent's process: what others import for nothing is put off.

All else is imported when that is done, and not before.
"""

from __future__ import annotations

import gc
import os

from chaoskernel import lazy

UNUSED = ("inspect", "ipaddress")
"""dataclasses has the one for classes without docstrings, pathlib the other one for URLs."""


def main(owner: int, document: str = "") -> int:
    """See chaoskernel.agent.main."""
    _prepare()
    from chaoskernel.agent.main import main as serve  # noqa: PLC0415 - now it costs less

    gc.enable()
    return serve(owner, document)


def main_on_a_node() -> int:
    """Serve the fault that is in the environment."""
    _prepare()
    from chaoskernel.fault.assignment import FAULT_VARIABLE  # noqa: PLC0415 - see above

    return main(0, os.environ.get(FAULT_VARIABLE, ""))


def _prepare() -> None:
    gc.disable()  # what is imported stays
    for name in UNUSED:
        lazy.defer(name)

"""The first module of an agent's process: what others import for nothing is put off.

All else is imported when that is done, and not before.
"""

from __future__ import annotations

import os

from chaoskernel import lazy

UNUSED = ("inspect", "ipaddress")
"""dataclasses has the one for classes without docstrings, pathlib the other one for URLs."""


def main(owner: int, document: str = "") -> int:
    """See chaoskernel.agent.main."""
    for name in UNUSED:
        lazy.defer(name)
    from chaoskernel.agent.main import main as serve  # noqa: PLC0415 - now it costs less

    return serve(owner, document)


def main_on_a_node() -> int:
    """Serve the fault that is in the environment."""
    for name in UNUSED:
        lazy.defer(name)
    from chaoskernel.fault.assignment import FAULT_VARIABLE  # noqa: PLC0415 - see above

    return main(0, os.environ.get(FAULT_VARIABLE, ""))

"""Whether the control takes part in the experiment; where it does not, it is made to.

The toolkit goes on without a control that is not declared, or whose module it cannot import.  A
run whose faults hit nothing would then complete and look well.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from chaoslib import control as toolkit

from chaoskernel.backend.record import Record
from chaoskernel.log import logger
from chaoskernel.shared import Shared

MODULE = "chaoskernel.control"

DECLARATION = {"name": "kernel faults", "provider": {"type": "python", "module": MODULE}}
"""The control as experiments declare it."""

_LINES = (
    '"controls": [{"name": "kernel faults", '
    f'"provider": {{"type": "python", "module": "{MODULE}"}}}}]'
)


@dataclasses.dataclass
class _Presence:
    known: bool = False
    earlier: frozenset[tuple[str, str]] = frozenset()


_presence = Shared(_Presence)


def begin(records: Sequence[Record]) -> None:
    """Note that the control takes part from now on.

    :param records: the faults that this process has started before the experiment.
    """
    _presence().known, _presence().earlier = True, frozenset(map(_identity, records))


def end() -> None:
    """Note that the experiment is over: the next one of this process has to declare it anew."""
    _presence().known = False


def of_this_experiment(records: Sequence[Record]) -> list[Record]:
    """Return those of some faults that were started since `begin`."""
    return [record for record in records if _identity(record) not in _presence().earlier]


def require(records: Sequence[Record]) -> None:
    """Make the control take part from now on where it does not, and log what to declare.

    It is added to those that the toolkit applies to every experiment (its settings may name
    such), which it reads at each step.

    :param records: see `begin`.
    """
    if _presence().known:
        return
    begin(records)
    logger.warning(
        "Kernel faults: the experiment does not declare the control %s, or misspells it; it is "
        "applied from now on, but declare it, so that it sees the whole run: %s",
        MODULE,
        _LINES,
    )
    toolkit.set_global_controls([*toolkit.get_global_controls(), DECLARATION])


def _identity(record: Record) -> tuple[str, str]:
    return record.fault.name, str(record.armed.get("armed_at", ""))

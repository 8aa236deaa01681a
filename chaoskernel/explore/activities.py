"""What the toolkit's activities ask of an exploration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chaoskernel.explore import accept, results, session, store
from chaoskernel.explore.arguments import plan_of
from chaoskernel.explore.plan import Plan
from chaoskernel.fault import syntax

_NUMBERS = ("depth", "baselines", "sites", "seed")


def explore(state: str, resume: bool, **asked: Any) -> dict[str, Any]:
    """Explore on this machine, and return the document of results.

    :param asked: what `plan_of` takes.
    :raises ChaosKernelError: nothing can be explored; what was found before is kept.
    """
    plan = planned(**asked)
    session.check_commands(plan)
    path = Path(state)
    opened = store.resume(path) if resume else store.begin(path, plan)
    with opened as kept:
        store.check_kernel(kept.findings)
        session.explore(kept, session.Quiet())
        return results.document(kept.findings, state)


def planned(**asked: Any) -> Plan:
    """Return what arguments of the action explore ask for.

    :raises InvalidFault: one is wrong.
    """
    numbers = {name: syntax.number(name, asked[name]) for name in _NUMBERS if name in asked}
    return plan_of(**{**asked, **numbers})


def not_survived(state: str, accepted: str) -> int:
    """Return how many attempts are neither fine nor accepted.

    :raises ChaosKernelError: a file cannot be read.
    """
    judged = accept.judged(store.read(Path(state)), Path(accepted) if accepted else None)
    return len(judged.worse)

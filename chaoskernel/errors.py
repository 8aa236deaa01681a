"""What can go wrong, as types.

Every error is one line for a person: what is wrong, then the remedy.  Only the
activities and the command line turn these into the toolkit's own exceptions or
into an exit code; everything below raises them and catches none of them for
show.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chaoskernel.terminal import shown

# Characters of what an error quotes: keys and values are the user's, the rest may name many things.
_KEY, _VALUE, _CLAUSE, _PROBLEM = 120, 60, 500, 500
_MESSAGE = 1 << 14
"""Of a whole message; one of a fault on many nodes lists them."""


class ChaosKernelError(Exception):
    """Base of all errors of this package.

    :param message: what is wrong, as one clause.
    :param hint: what to do about it, as one clause; empty when there is
        nothing to do.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        # An error may quote others: a process's name, a server's answer, a file.
        self.message = _cut(shown(" ".join(message.split())), _MESSAGE)
        self.hint = _cut(shown(" ".join(hint.split())), _MESSAGE)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class InvalidFault(ChaosKernelError):
    """The description of a fault is wrong; nothing was started.

    :param key: the argument or JSON key, in the user's spelling.
    :param value: what was given.
    :param allowed: what the key takes.
    :param problem: what is wrong, where "it is not what the key takes" is not the point.
    """

    def __init__(
        self, key: str, value: Any, allowed: str = "", *, problem: str = "", hint: str = ""
    ) -> None:
        try:
            text = repr(value)
        except RecursionError:
            text = f"a {type(value).__name__} that nests too deep"
        except ValueError:  # Python writes no number of thousands of digits
            text = f"a {type(value).__name__}"
        got = _cut(text, _VALUE)
        if problem:
            why = _cut(problem, _CLAUSE) + (f" (got {got})" if value != "" else "")
        else:
            why = f"{got} is not {_cut(allowed, _CLAUSE)}"
        super().__init__(f"{_cut(key, _KEY)}: {why}", hint=_cut(hint, _CLAUSE))
        self.key = key
        self.value = value
        self.allowed = allowed
        self.problem = problem


class InvalidManifest(ChaosKernelError):
    """A document is wrong; nothing was started.

    :param source: the file it is from, or what else to call it.
    :param problems: everything that is wrong, each with line, column and path.
    """

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.source = source
        self.problems = tuple(_cut(shown(problem), _PROBLEM) for problem in problems)
        super().__init__(f"{_cut(source, _PROBLEM)} is not valid: {'; '.join(self.problems)}")


class NothingSelected(ChaosKernelError):
    """A selection means no pod, or no container of one."""


class UnsupportedKernel(ChaosKernelError):
    """This kernel cannot do what the fault needs.

    :param feature: what is missing.
    :param needs: what would give it.
    """

    def __init__(self, feature: str, *, needs: str) -> None:
        super().__init__(feature, hint=needs)
        self.feature = feature
        self.needs = needs


class MissingHook(UnsupportedKernel):
    """This kernel lacks the hook, or lets nobody override it."""


class DeadHook(UnsupportedKernel):
    """This kernel has the hook, but does not come through it."""


class NotPermitted(ChaosKernelError):
    """The process lacks a privilege that loading BPF programs needs."""


class MissingTool(ChaosKernelError):
    """A program or a library of the machine is not installed."""


class EngineError(ChaosKernelError):
    """The engine's compiler, the verifier or an attachment failed."""


class AgentError(ChaosKernelError):
    """The agent could not be started, or went silent."""


class UnknownFault(ChaosKernelError):
    """No fault of that name was started by this process."""


class TimeLimit(ChaosKernelError):
    """Something took longer than it was allowed to, and was ended."""


class ClusterError(ChaosKernelError):
    """The cluster refused something, or could not be asked.

    :param status: of HTTP; 0 when there was no answer.
    """

    def __init__(self, message: str, *, hint: str = "", status: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.status = status


class LabError(ChaosKernelError):
    """The lab's kernel could not be built or found."""


class LostGuest(ChaosKernelError):
    """The virtual machine ended without the exit status of its command."""


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."

"""The exit statuses of the commands: the one table, from which docs/reference.md is made."""

from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """What a command ends with; of a signal it is SIGNALLED and the signal's number."""

    WORKED = 0
    FAILED = 1
    USAGE = 2
    FOUND = 3
    NOTHING_INJECTED = 4
    TIME_LIMIT = 124  # as timeout(1)
    LOST_GUEST = 125
    SIGNALLED = 128


MEANINGS: dict[str, str] = {
    f"{Status.WORKED}": "it worked",
    f"{Status.FAILED}": "it failed: one line on standard error names the cause and the remedy; "
    "`check`: no hook is usable",
    f"{Status.USAGE}": "the command line is wrong",
    f"{Status.FOUND}": "`explore`: something needs a look that `--accept` does not have; "
    "`report --check`: a run or a site needs a look",
    f"{Status.NOTHING_INJECTED}": "`run`: nothing was injected",
    f"{Status.TIME_LIMIT}": "`lab run`: `--timeout` was reached",
    f"{Status.LOST_GUEST}": "`lab run`: the guest was lost",
    "129, 130, 143": "`run`, `explore` and `lab`: SIGHUP, SIGINT or SIGTERM ended it",
    "any other": "`lab run`: the status of the command in the guest",
}
"""What each status means, as the reference has it."""

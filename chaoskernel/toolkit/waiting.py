"""The action that waits until a fault has hit, with a word in the log now and then.

chaoskernel.actions passes it on.
"""

import time

from chaoskernel.backend import outcome
from chaoskernel.backend.backends import shared
from chaoskernel.backend.record import Backend, State
from chaoskernel.errors import TimeLimit
from chaoskernel.fault.syntax import duration_text
from chaoskernel.log import logger
from chaoskernel.toolkit import arguments
from chaoskernel.toolkit.activity import Duration, failing_in_one_line

_LOOK_SECONDS = 0.2
_TELL_SECONDS = 2.0
_LONGER = "see that the workload runs, or give a longer timeout"


def wait_for_injection(name: str, minimum: int = 1, timeout: Duration = "30s") -> dict:
    """Wait until a fault has made enough requests fail, and go on at once then.

    A start returns when the fault is in force; what comes next may be over before the workload
    has made one request.  In a dry run, those count that would have failed.

    :param name: the fault's name.
    :param minimum: the least number of injections.
    :param timeout: how long to wait at most, such as 30s, or a number of seconds.
    :returns: `injected`, and `held_dry_run`.
    :raises ActivityFailed: there were fewer in time, or the fault ended; the line says why.
    """
    with failing_in_one_line():
        name, minimum = arguments.fault_name(name), arguments.count("minimum", minimum)
        seconds = arguments.waiting_time(timeout)
        return _waited(shared(), name, minimum, seconds)


def _waited(backend: Backend, name: str, minimum: int, seconds: float) -> dict[str, int]:
    """Return `injected`, and `held_dry_run`, once a fault has hit often enough.

    :param minimum: the least number of calls that failed or, in a dry run, would have.
    :raises TimeLimit: it did not in time, or ended before.
    :raises UnknownFault: no fault of that name was started.
    :raises AgentError: its agent is silent.
    """
    end = time.monotonic() + seconds
    tell = time.monotonic() + _TELL_SECONDS
    while True:
        active = backend.record(name).state is State.ACTIVE
        counters = backend.counters(name)
        hits = outcome.hits(counters)
        if hits >= minimum:
            return {key: int(counters.get(key, 0)) for key in ("injected", "held_dry_run")}
        now = time.monotonic()
        if not active or now >= end:
            how = f"within {duration_text(seconds)}" if active else "before it ended"
            raise TimeLimit(
                f"fault '{name}' injected {hits} of at least {minimum} {how}: "
                f"{outcome.why_few(counters)}",
                hint="see that the workload runs, or wait longer"
                if active
                else "let it last longer",
            )
        if now >= tell:
            tell = now + _TELL_SECONDS
            logger.info(
                "Waiting for fault '%s': %d of %d injected, %.0f s left",
                name,
                hits,
                minimum,
                end - now,
            )
        time.sleep(min(_LOOK_SECONDS, end - now))

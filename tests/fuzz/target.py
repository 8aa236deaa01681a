"""What is fuzzed, and what is right."""

from __future__ import annotations

import dataclasses
import json
import re
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner
from hypothesis import strategies as st

from chaoskernel.errors import ChaosKernelError, InvalidManifest

ACCEPTED = "accepted"
REFUSED = "refused"

MAX_MESSAGE = 1600
"""Characters of one error: a few lines of a terminal."""

_PACKAGE = Path(__file__).parents[2] / "chaoskernel"
# C0 and C1 controls, DEL, ends of lines and paragraphs, and what changes the direction of text.
_UNCLEAN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class Broken(Exception):
    """A property that does not hold; its text is the same for every input that shows it."""


@dataclasses.dataclass(frozen=True)
class Target:
    """Something that reads what others wrote.

    :param share: of all inputs, in parts.
    :param inputs: mutated ones.
    :param attempt: reads one, with a directory to write to; raises a ChaosKernelError, or
        click's errors, where it refuses it.
    :param well: inputs that have to be accepted: a target that refuses everything tests nothing.
    :param directed: other inputs that are tried as they are, before the mutated ones.
    """

    name: str
    share: int
    inputs: st.SearchStrategy[str]
    attempt: Callable[[str, Path], None]
    well: Sequence[str]
    directed: Sequence[str] = ()


def outcome(
    target: Target, given: str, scratch: Path, on_error: Callable[[BaseException], None]
) -> str:
    """Try an input; return `accepted`, `refused`, or the kind of its failure.

    :param on_error: is told what was raised.
    """
    try:
        target.attempt(given, scratch)
    except Exception as error:
        on_error(error)
        found = _kind_of_error(error)
    except (SystemExit, KeyboardInterrupt) as error:
        on_error(error)
        found = kind_of(error)
    else:
        return ACCEPTED
    if found == REFUSED and given in target.well:
        return f"refused, and is well-formed: {given[:60]!r}"
    return found


def _kind_of_error(error: Exception) -> str:
    if isinstance(error, ChaosKernelError | click.ClickException):
        return _told(error)
    return f"broken: {error}" if isinstance(error, Broken) else kind_of(error)


def kind_of(error: BaseException) -> str:
    """Return the type of an exception and the deepest line of the package that it left."""
    places = [
        f"{Path(frame.f_code.co_filename).name}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if Path(frame.f_code.co_filename).is_relative_to(_PACKAGE)
    ]
    return f"{type(error).__name__} {places[-1] if places else 'outside of the package'}"


def require(holds: bool, what: str) -> None:
    """Check a property of what was accepted."""
    if not holds:
        raise Broken(what)


def require_clean(shown: str) -> None:
    """Check what is shown on a terminal: lines of text, and nothing that drives it."""
    if found := _UNCLEAN.search(shown.replace("\n", "")):
        raise Broken(f"{found[0]!r} is shown")


def require_told(error: ChaosKernelError) -> None:
    """Check an error that was made and not raised."""
    if (found := _told(error)) != REFUSED:
        raise Broken(found)


def loaded(given: str) -> Any:
    """Return the document of a text where it is the target's caller that reads it.

    :raises ChaosKernelError: it is none.
    """
    try:
        return json.loads(given)
    except (ValueError, RecursionError):
        raise ChaosKernelError("this is not JSON") from None


def invoked(command: click.Command, *arguments: str) -> str:
    """Run a command as its user does; return what it printed.

    :raises ChaosKernelError: that of the command, of which `main` makes a line and status 1.
    :raises Broken: it has printed what drives a terminal.
    """
    runner = CliRunner(env={"COLUMNS": "200"})
    # With colour, as on a terminal: without, click takes sequences out of what it prints.
    result = runner.invoke(command, arguments, standalone_mode=False, color=True)
    require_clean(result.output)
    if isinstance(result.exception, OSError) and result.exception.strerror:
        raise ChaosKernelError(result.exception.strerror)  # as main() does
    if result.exception:
        raise result.exception
    require(result.exit_code == 0, "another exit status than 0 without an error")
    return result.output


def _told(error: ChaosKernelError | click.ClickException) -> str:
    if isinstance(error, InvalidManifest):
        lines = list(error.problems)
    else:
        lines = [str(error) if isinstance(error, ChaosKernelError) else error.format_message()]
    for line in lines:
        where = kind_of(error).partition(" ")[2]
        if not line.strip():
            return f"an empty message, {where}"
        if found := _UNCLEAN.search(line):
            return f"{found[0]!r} in a message, {where}"
        if len(line) > MAX_MESSAGE:
            return f"a message of more than {MAX_MESSAGE} characters, {where}"
    return REFUSED

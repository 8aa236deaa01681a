"""No text of a user puts a statement, a call of a helper or a store into the program.

`python -m tests.property.injection --count 100000 --seed 1` makes as many predicates, lists of
parameters and headers, and looks at the code of all that are accepted.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

from chaoskernel.errors import InvalidFault
from chaoskernel.fault import c_text, predicate
from tests.property.code import Accepted, canonical, wrong_code, wrong_tokens
from tests.property.hostile import PARAMETERS, Hostile

_BATCH = 1500
_HEADER_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./")


@dataclasses.dataclass
class Report:
    """What came of a run.

    :param wrong: each text that has put something into the program, and what.
    """

    made: Counter[str] = dataclasses.field(default_factory=Counter)
    accepted: Counter[str] = dataclasses.field(default_factory=Counter)
    different: int = 0
    compiled: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        each = ", ".join(
            f"{self.accepted[kind]} of {self.made[kind]} {kind}" for kind in sorted(self.made)
        )
        return (
            f"accepted: {each}; {self.different} different ones, of which {self.compiled} compile; "
            f"{len(self.wrong)} put something into the program"
        )


def run(count: int, seed: int, say: Callable[[str], object] = str) -> Report:
    """Try texts; half are predicates, most others parameters.

    :param count: how many.
    :param seed: the same one tries the same texts.
    :param say: is told how far it is.
    """
    hostile, report = Hostile(seed), Report()
    found: dict[Accepted, None] = {}
    for number in range(count):
        kind = ("predicate", "parameters", "predicate", "parameters", "header")[number % 5]
        make = {"predicate": hostile.expression, "parameters": hostile.parameters}
        text = make.get(kind, hostile.header)()
        report.made[kind] += 1
        texts = _accepted(kind, text, report.wrong)
        report.accepted[kind] += bool(texts)
        found |= dict.fromkeys(texts)
    _look_at(list(found), report, say)
    return report


def _accepted(kind: str, text: str, wrong: list[str]) -> list[Accepted]:
    """Return what is accepted of a text: by the parser, and as it is by the agent."""
    accepted = []
    try:
        parsed = canonical(kind, text)
        if kind == "header":
            hidden = any(part[:1] in ("", ".") for part in parsed.split("/"))
            if hidden or not set(parsed) <= _HEADER_CHARACTERS:
                wrong.append(f"header {parsed!r}")
            return [Accepted("1", "")]
        if canonical(kind, parsed) != parsed:
            wrong.append(f"{kind} {parsed!r} is not read as what was written")
        accepted.append(_about(kind, parsed, is_parsed=True))
    except InvalidFault:
        pass
    check = c_text.check_expression if kind == "predicate" else c_text.check_parameters
    try:
        if kind != "header":
            check(kind, text)
            accepted.append(_about(kind, text, is_parsed=False))
    except InvalidFault:
        pass
    return accepted


def _about(kind: str, text: str, *, is_parsed: bool) -> Accepted:
    if kind == "predicate":
        return Accepted(text or "1", PARAMETERS, is_parsed)
    sizes = " + ".join(f"sizeof({name})" for name in _names(text)) if is_parsed else ""
    return Accepted(f"{sizes or 1} != 0", text, is_parsed)


def _names(parameters: str) -> list[str]:
    return [name for name, _ in predicate.declarations(parameters)]


def _look_at(found: Sequence[Accepted], report: Report, say: Callable[[str], object]) -> None:
    report.different = len(found)
    texts = {each.predicate for each in found} | {each.parameters for each in found}
    report.wrong += [f"tokens of {text!r}" for text in wrong_tokens(sorted(texts))]
    for begin in range(0, len(found), _BATCH):
        wrong, compiled = wrong_code(found[begin : begin + _BATCH])
        report.wrong += wrong
        report.compiled += compiled
        say(f"{min(begin + _BATCH, len(found))} of {len(found)} texts were looked at")


def main(arguments: Sequence[str]) -> int:
    """Run, print what came of it, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    begun = time.monotonic()
    report = run(given.count, given.seed, print)
    for line in report.wrong[:100]:
        print(line)
    print(f"seed {given.seed}, {time.monotonic() - begun:.0f} s: {report}")
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

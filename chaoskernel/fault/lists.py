"""Lists and mappings of a user's, which may be text: `chaos init` and the environment give text.

Text is one item, or several between commas; what a comma is a part of, and items that are no
text, are written as JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from chaoskernel.errors import InvalidFault
from chaoskernel.fault.checks import document, sequence_of

LISTS = frozenset(
    {
        *("callchain", "headers"),
        *("pids", "pid_files", "commands", "cgroups", "containers"),
        *("paths", "devices", "peers"),
        *("faults", "phases"),
        *("namespaces", "expression_selectors", "pod_phase_selectors", "nodes", "container_names"),
    }
)
"""Arguments of activities that are lists."""

MAPPINGS = frozenset(
    {"label_selectors", "annotation_selectors", "field_selectors", "node_selectors", "pods"}
)
"""Arguments of activities that are mappings."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LONGEST = 1 << 16


def items(key: str, given: Any) -> tuple[Any, ...]:
    """Return the items of a list; none of one that is absent (None).

    :param given: a list, or text: items between commas, or a list in JSON.  Text without an item
        is refused: an empty variable must not mean "any".
    :raises InvalidFault: it is neither.
    """
    if given is None:
        return ()
    if not isinstance(given, str):
        return sequence_of(key, given)
    _check_length(key, given)
    if given.lstrip().startswith("["):
        return sequence_of(key, document(key, given))
    found = tuple(part.strip() for part in given.split(",") if part.strip())
    if not found:
        raise InvalidFault(key, given, "a list", hint="leave it out, or name an item at least")
    return found


def pairs(key: str, given: Any) -> Any:
    """Return a mapping; an absent one (None) stays absent, as its reader has it.

    :param given: text is pairs such as `app=web,tier=db`, or an object in JSON; anything else is
        for the mapping's own rules.
    :raises InvalidFault: it is other text.
    """
    if not isinstance(given, str):
        return given
    _check_length(key, given)
    if given.lstrip().startswith("{"):
        return document(key, given)
    found = [part.partition("=") for part in items(key, given)]
    if any(not (name.strip() and equals) for name, equals, _ in found):
        hint = "write name=value, or name=value,name=value, or an object"
        raise InvalidFault(key, given, "a mapping", hint=hint)
    return {name.strip(): value.strip() for name, _, value in found}


def undefined(given: Any) -> str:
    """Return the first variable of the experiment, such as ${pid}, that stands in a value still.

    The toolkit replaces those that are declared, so that this one is not; empty is none.
    """
    return next(iter(_variables(given)), "")


def check_defined(arguments: Mapping[str, Any]) -> None:
    """Check that every variable in the arguments of an activity was replaced.

    :raises InvalidFault: one was not.
    """
    for key, given in arguments.items():
        if name := undefined(given):
            raise InvalidFault(
                key,
                given,
                problem=f"the experiment declares no {name}",
                hint=f'declare it under "configuration", or look for a typo in ${{{name}}}',
            )


def _variables(given: Any) -> Iterator[str]:
    waiting = [given]
    while waiting:  # a document may be deeper than Python nests calls
        value = waiting.pop()
        if isinstance(value, str):
            yield from _VARIABLE.findall(value)
        elif isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)


def _check_length(key: str, given: str) -> None:
    if len(given) > _LONGEST:
        raise InvalidFault(key, given[:40], f"text of up to {_LONGEST} characters")

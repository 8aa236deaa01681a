"""Kernel stacks as a tree, from the system call to the hook; pure."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from chaoskernel.report.model import Stack


@dataclasses.dataclass(slots=True)
class Node:
    """A function below its callers; several where each has only one it calls.

    :param outcomes: of the stacks below it, how many came to each.
    """

    names: list[str]
    count: int = 0
    outcomes: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    below: dict[str, Node] = dataclasses.field(default_factory=dict)

    @property
    def children(self) -> list[Node]:
        """Those called from here, the one with most first."""
        return sorted(self.below.values(), key=lambda node: -node.count)

    def short(self) -> Node:
        """Return the tree with each run of single calls as one node."""
        node, names = self, [*self.names]
        while len(node.below) == 1 and next(iter(node.below.values())).count == node.count:
            node = next(iter(node.below.values()))
            names += node.names
        below = {name: each.short() for name, each in node.below.items()}
        return Node(names, node.count, node.outcomes, below)

    def short_below(self) -> Node:
        """Return the same with a root of its own, for a root has no name."""
        below = {name: each.short() for name, each in self.below.items()}
        return Node(self.names, self.count, self.outcomes, below)


def tree(stacks: Iterable[Stack]) -> Node:
    """Return the stacks as one tree; its root has no name."""
    root = Node([])
    for stack in stacks:
        node = root
        _note(node, stack)
        for name in stack.functions:
            node = node.below.setdefault(name, Node([name]))
            _note(node, stack)
    return root


def _note(node: Node, stack: Stack) -> None:
    node.count += stack.count
    if stack.outcome:
        node.outcomes[stack.outcome] += 1


def packed(stacks: Sequence[Stack]) -> dict[str, list[object]]:
    """Return stacks as small JSON: each name once, and of each stack the numbers of its names."""
    numbers: dict[str, int] = {}
    rows: list[object] = [
        [
            stack.count,
            stack.outcome,
            stack.site,
            [numbers.setdefault(name, len(numbers)) for name in stack.functions],
        ]
        for stack in stacks
    ]
    return {"names": list(numbers), "stacks": rows}


def branches(node: Node, prefix: str = "") -> Iterator[tuple[str, Node]]:
    """Yield the nodes below one, each with the lines that lead to it, as `tree(1)` draws them."""
    children = node.children
    for number, child in enumerate(children):
        last = number == len(children) - 1
        yield f"{prefix}{'└─ ' if last else '├─ '}", child
        yield from branches(child, f"{prefix}{'   ' if last else '│  '}")

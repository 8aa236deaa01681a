"""KernelChaos documents -> parts of faults, a selection of pods, and a schedule."""

from __future__ import annotations

from pathlib import Path

from chaoskernel.errors import InvalidManifest
from chaoskernel.manifest.document import Problems, documents, read
from chaoskernel.manifest.model import (
    Concurrency,
    KernelChaos,
    Mode,
    Operator,
    Phase,
    Plan,
    Requirement,
    Selection,
    Selector,
)
from chaoskernel.manifest.reader import kernel_chaos

__all__ = [
    "Concurrency",
    "KernelChaos",
    "Mode",
    "Operator",
    "Phase",
    "Plan",
    "Requirement",
    "Selection",
    "Selector",
    "load",
    "parse",
]


def load(given: str) -> tuple[KernelChaos, ...]:
    """Return what a manifest says.

    :param given: the manifest itself, in YAML or JSON, or the path of its file.
    :raises InvalidManifest: something is wrong; it has everything that is.
    """
    if "\n" in given or given.lstrip().startswith("{"):
        return parse(given)
    return parse(read(Path(given)), source=given)


def parse(text: str, *, source: str = "the manifest") -> tuple[KernelChaos, ...]:
    """Return what the documents of a text say; empty ones are passed over.

    :param source: what to call the text in an error.
    :raises InvalidManifest: something is wrong; it has everything that is.
    """
    problems = Problems(source)
    read_as = [(each, kernel_chaos(each, problems)) for each in documents(text, problems)]
    seen: set[tuple[str, str]] = set()
    for document, found in read_as:
        if found and found.name and (found.namespace, found.name) in seen:
            problems.add(
                document.mark, f"metadata.name: '{found.name}' is there twice; rename one of them"
            )
        elif found:
            seen.add((found.namespace, found.name))
    problems.settle()
    if not read_as:
        raise InvalidManifest(source, ["there is no document in it; write a KernelChaos"])
    return tuple(found for _, found in read_as if found)

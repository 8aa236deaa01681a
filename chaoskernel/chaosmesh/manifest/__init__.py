"""KernelChaos documents -> parts of faults, a selection of pods, and a schedule."""

from __future__ import annotations

from pathlib import Path

from chaoskernel.chaosmesh.manifest.document import Problems, documents, read
from chaoskernel.chaosmesh.manifest.model import (
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
from chaoskernel.chaosmesh.manifest.reader import kernel_chaos
from chaoskernel.errors import InvalidManifest

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
    "load_file",
    "parse",
]


def load(given: object) -> tuple[KernelChaos, ...]:
    """Return what a manifest says.

    :param given: the manifest itself, in YAML or JSON, or the path of its file.
    :raises InvalidManifest: something is wrong; it has everything that is.
    """
    if not isinstance(given, str):
        raise InvalidManifest(
            "the manifest", ["it is not text; give the path of a file, or YAML or JSON as one text"]
        )
    text = given.removeprefix("\ufeff")
    if "\n" in text or text.lstrip().startswith(("{", "[")):
        return parse(text)
    return load_file(Path(given))


def load_file(path: Path) -> tuple[KernelChaos, ...]:
    """Return what the documents of a file say.

    :raises InvalidManifest: something is wrong; it has everything that is.
    """
    return parse(read(path), source=str(path))


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

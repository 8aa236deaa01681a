"""The results of `chaoskernel explore` as what a report shows of them; pure."""

from __future__ import annotations

import collections
import dataclasses
import shlex
from collections.abc import Iterable, Sequence

from chaoskernel.explore.outcome import FINE, ORDER
from chaoskernel.report.model import Exploration, Site
from chaoskernel.report.reading import Document, count, mapping, number, objects, text, texts

_KIND = "chaoskernel.explore"
_FINE = frozenset(outcome.value for outcome in FINE)
_WORST_FIRST = tuple(outcome.value for outcome in reversed(ORDER))
_OUTPUT_CHARACTERS = 600
"""Of what a program said last; of one that went on as always nothing is shown."""

_LOG_LINES = 20

NOT_TRIED = "not tried"


def is_exploration(document: Document) -> bool:
    """Tell whether a document has the results of an exploration."""
    return document.get("kind") == _KIND or ("sites" in document and "baseline" in document)


def exploration(document: Document, source: str) -> Exploration:
    """Return what a report shows of an exploration.

    :param source: the name of its file.
    """
    sites = sorted(map(_site, objects(document.get("sites"))), key=_rank)
    kernel = mapping(document.get("kernel"))
    return Exploration(
        source=text(source),
        title=_command(document.get("command")) or text(source),
        outcomes=_outcomes(sites),
        facts=_facts(document),
        sites=sites,
        kernel=" ".join(texts(list(kernel.values()))),
    )


def compared(now: Exploration, earlier: Exploration) -> Exploration:
    """Return an exploration with what has changed since an earlier one.

    On the same kernel a site is known by its id, else by its functions.
    """
    same = now.kernel == earlier.kernel
    before = {_identity(site, same): site for site in earlier.sites}
    found = {_identity(site, same) for site in now.sites}
    return dataclasses.replace(
        now,
        sites=[
            dataclasses.replace(site, change=_change(site, before.get(_identity(site, same))))
            for site in now.sites
        ],
        against=earlier.source,
        gone=[site for key, site in before.items() if key not in found],
    )


def _rank(site: Site) -> int:
    """Return what sites are sorted by: the worst outcome first, those not tried last."""
    known = site.outcome in _WORST_FIRST
    return _WORST_FIRST.index(site.outcome) if known else len(_WORST_FIRST)


def _identity(site: Site, same_kernel: bool) -> tuple[str, ...]:
    return (site.id,) if same_kernel else site.place


def _change(site: Site, before: Site | None) -> str:
    if site.is_bad and (before is None or not before.is_bad):
        return "new"
    if before and before.is_bad and not site.is_bad and site.outcome in _FINE - {"not reached"}:
        return "mended"
    return ""


def _site(document: Document) -> Site:
    outcome = text(document.get("outcome"), 40)
    entered = mapping(document.get("entered"))
    is_bad = bool(outcome) and outcome not in _FINE
    went_on = outcome in ("survived", "not reached", "")
    return Site(
        id=text(document.get("id"), 80),
        outcome=outcome,
        detail=text(document.get("detail") or document.get("left_out"), 500),
        fault=text(document.get("fault"), 80),
        errno=text(document.get("errno"), 40),
        call=_call(entered),
        function=text(document.get("function"), 200),
        frames=[_frame(each) for each in objects(document.get("frames"))],
        phases=", ".join(texts(document.get("phases"), 40)),
        count=count(document.get("count")),
        output="" if went_on else text(document.get("output"))[-_OUTPUT_CHARACTERS:],
        kernel_log="\n".join(texts(document.get("kernel_log"), 300)[-_LOG_LINES:]),
        replay=text(document.get("replay"), 1000),
        is_bad=is_bad,
        seconds=number(document.get("duration")),
        notes=_notes(document),
    )


def _notes(document: Document) -> list[str]:
    notes = [f"keeps {each}" for each in texts(document.get("leaks"), 100)]
    if document.get("flaky"):
        notes.append(f"differs from try to try: {', '.join(texts(document.get('tries'), 40))}")
    if document.get("steady") is False:
        notes.append("not found in every run of the baseline")
    if under := text(document.get("under"), 80):
        notes.append(f"appears only when {under} fails")
    return notes


def _call(entered: Document) -> str:
    by, name = text(entered.get("by"), 40), text(entered.get("name"), 80)
    return name or by.replace("_", " ") or "unknown"


def _frame(frame: Document) -> str:
    offset, module = count(frame.get("offset")), text(frame.get("module"), 80)
    place = f"{text(frame.get('function'), 200)}+{offset:#x}"
    return f"{place} [{module}]" if module else place


def _outcomes(sites: Sequence[Site]) -> dict[str, int]:
    counted = collections.Counter(site.outcome or NOT_TRIED for site in sites)
    known = {outcome: counted.pop(outcome) for outcome in _WORST_FIRST if outcome in counted}
    return {**known, **counted}


def _facts(document: Document) -> dict[str, str]:
    baseline = mapping(document.get("baseline"))
    facts = {
        "command": _command(document.get("command")),
        "what was run": text(document.get("mode")),
        "kernel": _pairs(mapping(document.get("kernel"))),
        "versions": _pairs(mapping(document.get("versions"))),
        "options": _pairs(mapping(document.get("options"))),
        "began": text(document.get("began_at")),
        "took": f"{number(document.get('duration')):.1f} s",
        "ended by": text(document.get("ended_by")),
        "baseline": _baseline(baseline),
        "last output of the baseline": text(baseline.get("output"), 2000),
    }
    return {label: value for label, value in facts.items() if value}


def _baseline(baseline: Document) -> str:
    said = [
        f"{count(baseline.get('runs'))} runs of {number(baseline.get('duration')):.2f} s",
        f"exit status {text(baseline.get('status'))}" if "status" in baseline else "",
        f"{count(baseline.get('sites'))} sites",
        f"{count(baseline.get('unsteady'))} of them not in every run",
        f"{count(baseline.get('lost'))} requests were not recorded: the table was full"
        if count(baseline.get("lost"))
        else "",
    ]
    return "; ".join(filter(None, said)) if baseline else ""


def _pairs(document: Document) -> str:
    return "; ".join(
        f"{text(key)}: {said}"
        for key, value in document.items()
        if (said := ", ".join(texts(value)) if isinstance(value, list) else text(value))
    )


def _command(words: object) -> str:
    said: Iterable[str] = texts(words)
    return shlex.join(said) if isinstance(words, list) else text(words)

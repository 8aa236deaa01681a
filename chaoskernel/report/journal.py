"""A journal of the Chaos Toolkit as what a report shows of it; pure."""

from __future__ import annotations

import collections
import datetime
import itertools
import math
from collections.abc import Iterator, Sequence

from chaoskernel.backend.outcome import function_of
from chaoskernel.report.facts import readable_facts
from chaoskernel.report.model import Fault, Journal, Rate, Span, Stack
from chaoskernel.report.reading import Document, count, items, mapping, number, objects, text
from chaoskernel.terminal import document as as_document
from chaoskernel.toolkit.evidence import JOURNAL_KEY

_HELD = "held_"
_EXPERIMENT_CHARACTERS = 20_000
_COMMANDS = 1000
"""How many of those that were hit are listed."""

HYPOTHESIS_BEFORE, HYPOTHESIS_DURING = "steady state before", "steady state during"
METHOD, HYPOTHESIS_AFTER, ROLLBACKS = "method", "steady state after", "rollbacks"
FAULTS = "faults"


def is_journal(document: Document) -> bool:
    """Tell whether a document is a journal."""
    return "experiment" in document and "run" in document


def journal(document: Document, source: str) -> Journal:
    """Return what a report shows of a journal.

    :param source: the name of its file.
    """
    begin = _moment(document.get("start"))
    ours = mapping(document.get(JOURNAL_KEY))
    experiment = mapping(document.get("experiment"))
    faults = [_fault(each, begin) for each in objects(ours.get("faults"))]
    played = [*_spans(document, begin), *_in_force(objects(ours.get("faults")), begin)]
    spans = sorted(played, key=lambda span: span.begin)
    outcome = "deviated" if document.get("deviated") else text(document.get("status")) or "unknown"
    return Journal(
        source=text(source),
        title=text(experiment.get("title")) or text(source),
        outcome=outcome,
        verdict=text(ours.get("verdict")),
        shortfalls=[text(each) for each in items(ours.get("shortfalls"))],
        facts=_facts(document, experiment),
        spans=spans,
        faults=faults,
        deviated_at=[span.end for span in spans if span.state == "deviated"],
        experiment=text(_printed(experiment), _EXPERIMENT_CHARACTERS),
    )


def _printed(experiment: Document) -> str:
    try:
        return as_document(dict(experiment))
    except ValueError:
        return "(it is nested too deeply to be shown)"


def _facts(document: Document, experiment: Document) -> dict[str, str]:
    """Return what was run, where and when."""
    facts = {
        "experiment": text(experiment.get("title")),
        "what it is about": text(experiment.get("description")),
        "began": text(document.get("start")),
        "took": f"{number(document.get('duration')):.1f} s",
        "host": text(document.get("node")),
        "platform": text(document.get("platform")),
        "chaoslib": text(document.get("chaoslib-version")),
        "journal": text(mapping(document.get(JOURNAL_KEY)).get("version")),
    }
    return {label: value for label, value in facts.items() if value}


def _spans(document: Document, begin: float) -> Iterator[Span]:
    states = mapping(document.get("steady_states"))
    for key, lane in (
        ("before", HYPOTHESIS_BEFORE),
        ("during", HYPOTHESIS_DURING),
        ("after", HYPOTHESIS_AFTER),
    ):
        found = states.get(key)
        for state in [found] if isinstance(found, dict) else items(found):
            for run in objects(mapping(state).get("probes")):
                yield _span(run, lane, begin)
    for key, lane in (("run", METHOD), ("rollbacks", ROLLBACKS)):
        for run in objects(document.get(key)):
            yield _span(run, lane, begin)


def _span(run: Document, lane: str, begin: float) -> Span:
    start = _moment(run.get("start"), begin)
    end = _moment(run.get("end"), start + number(run.get("duration")))
    state = text(run.get("status")) or "unknown"
    if run.get("tolerance_met") is False:
        state = "deviated"
    label = text(mapping(run.get("activity")).get("name"), 200) or "unnamed"
    return Span(lane, label, state, start - begin, max(start, end) - begin)


def _in_force(faults: Iterator[Document], begin: float) -> Iterator[Span]:
    for fault in faults:
        start = _moment(fault.get("armed_at"), begin)
        end = _moment(fault.get("ended_at"), start)
        label = text(fault.get("name"), 200)
        yield Span(FAULTS, label, "in force", start - begin, max(start, end) - begin)


def _fault(record: Document, begin: float) -> Fault:
    counters = mapping(record.get("counters"))
    hits = count(counters.get("injected")) + count(counters.get("held_dry_run"))
    stacks, stacks_of = _stacks(record)
    return Fault(
        name=text(record.get("name"), 200),
        verdict=text(record.get("verdict")),
        facts=readable_facts(record),
        rates=dict(_rates(mapping(record.get("series")), begin)),
        stacks=stacks,
        stacks_of=stacks_of,
        hits=hits,
        hit=_hit(counters),
        held=[
            (text(key).removeprefix(_HELD).replace("_", " "), count(value))
            for key, value in counters.items()
            if key.startswith(_HELD) and count(value)
        ],
    )


def _rates(series: Document, begin: float) -> Iterator[tuple[str, Sequence[Rate]]]:
    """Yield injections a second of all, of each pod, and of each node."""
    start = _moment(series.get("from"), begin) - begin
    yield "", _rate(items(series.get("points")), start)
    for kind in ("pod", "node"):
        for part in objects(series.get(f"{kind}s")):
            yield f"{kind} {text(part.get(kind), 200)}", _rate(items(part.get("points")), start)


def _rate(points: Sequence[object], start: float) -> list[Rate]:
    """Return the slope between each two points; a point's last number counts the injections."""
    known = [
        (start + number(point[0]), number(point[-1]))
        for point in points
        if isinstance(point, list) and len(point) > 1
    ]
    return [
        Rate(t0, t1, max(0.0, n1 - n0) / (t1 - t0))
        for (t0, n0), (t1, n1) in itertools.pairwise(known)
        if t1 > t0
    ]


def _stacks(record: Document) -> tuple[list[Stack], int]:
    """Return the stacks that were failed most, and of how many injections they are."""
    events = [each for each in objects(record.get("events")) if each.get("stack_kept", True)]
    if count(record.get("stacks_of")) >= len(events):
        found = [
            Stack(_outwards(each.get("stack"), each.get("hook")), count(each.get("count")))
            for each in objects(record.get("stacks"))
        ]
        return found, count(record.get("stacks_of"))
    # `reading.read` keeps each stack once: its identity is told faster than its content.
    stacks = {id(stack): stack for event in events if (stack := event.get("stack"))}
    counted = collections.Counter(
        (id(event.get("stack")), _plain(event.get("hook"))) for event in events
    )
    merged: collections.Counter[tuple[str, ...]] = collections.Counter()
    for (which, hook), number_of in counted.items():
        merged[_outwards(stacks.get(which), hook)] += number_of
    return [Stack(functions, many) for functions, many in merged.most_common()], len(events)


def _plain(hook: object) -> str:
    """Return a hook that can be counted; the few that are left are made harmless afterwards."""
    return hook if isinstance(hook, str) else text(hook, 200)


def _outwards(stack: object, hook: object) -> tuple[str, ...]:
    """Return the functions of a stack, the outermost first; its hook where it has none."""
    functions = tuple(function_of(text(place, 200)) for place in reversed(items(stack)))
    return functions or ((text(hook, 200) or "unknown"),)


def _hit(counters: Document) -> list[tuple[str, str, int]]:
    """Return who was hit, the most first: kind, name and how often."""
    processes: collections.Counter[tuple[str, str]] = collections.Counter()
    for each in objects(counters.get("processes")):
        where = f" on {text(each['node'], 200)}" if "node" in each else ""
        name = f"{text(each.get('command'), 200)} ({text(each.get('pid'))}){where}"
        processes["process", name] += count(each.get("injected"))
    for kind in ("pod", "node"):
        for each in objects(counters.get(f"{kind}s")):
            name = text(each.get(kind), 200)
            where = f" on {text(each['node'], 200)}" if kind == "pod" and "node" in each else ""
            processes[kind, name + where] += count(each.get("injected"))
    return [(kind, name, many) for (kind, name), many in processes.most_common(_COMMANDS)]


def _moment(value: object, otherwise: float = 0.0) -> float:
    """Return seconds since the epoch; the toolkit's times without a zone are UTC."""
    try:
        found = datetime.datetime.fromisoformat(text(value))
    except ValueError:
        return otherwise
    zoned = found if found.tzinfo else found.replace(tzinfo=datetime.UTC)
    try:
        seconds = zoned.timestamp()
    except (OverflowError, ValueError):
        return otherwise
    return seconds if math.isfinite(seconds) else otherwise

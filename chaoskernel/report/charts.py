"""Charts as SVG: Vega-Lite says what they show, vl-convert draws them; nothing is fetched.

Colours are the page's own variables, so that a chart follows light and dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chaoskernel.report.extra import require
from chaoskernel.report.model import Fault, Journal, Rate
from chaoskernel.terminal import shown

try:
    import vl_convert
except ImportError:  # the extra is not installed
    vl_convert = None  # type: ignore[assignment]

_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_VERSION = "6.1"
_WIDTH = 760
_PARTS = 32
"""How many pods and nodes of one fault have a line of their own."""

_STATES = {
    "succeeded": "var(--good)",
    "failed": "var(--bad)",
    "deviated": "var(--worse)",
    "in force": "var(--fault)",
    "unknown": "var(--dim)",
}
_CONFIG = {
    "background": None,
    # A browser's letters may be wider than those that the labels were measured with.
    "padding": {"left": 50, "top": 5, "right": 15, "bottom": 5},
    "font": "system-ui, sans-serif",
    "axis": {
        **dict.fromkeys(("labelColor", "titleColor"), "var(--ink)"),
        **dict.fromkeys(("gridColor", "domainColor", "tickColor"), "var(--rule)"),
        "labelLimit": 220,
        "titleFontWeight": "normal",
    },
    "legend": dict.fromkeys(("labelColor", "titleColor"), "var(--ink)"),
    "title": {"color": "var(--ink)", "anchor": "start", "fontSize": 12},
    "view": {"stroke": "var(--rule)"},
}

Spec = dict[str, Any]


def timeline(run: Journal) -> str:
    """Return a run on one axis of time: what was played, faults in force, injections a second.

    :raises MissingTool: vl-convert is not installed.
    """
    end = max((span.end for span in run.spans), default=0.0) or 1.0
    axis = {"type": "quantitative", "scale": {"domain": [0, end]}, "title": "seconds"}
    charts = [_lanes(run, axis), *_of_faults(run.faults, axis)]
    return _svg({"vconcat": charts, "resolve": {"scale": {"color": "independent"}}})


def outcomes(counts: Mapping[str, int]) -> str:
    """Return how many sites came to each outcome, as one bar.

    :raises MissingTool: vl-convert is not installed.
    """
    values = [
        {"outcome": outcome, "sites": number, "order": order, "said": f"{outcome}: {number} sites"}
        for order, (outcome, number) in enumerate(counts.items())
    ]
    names = list(counts)
    return _svg(
        {
            "data": {"values": values},
            "width": _WIDTH,
            "height": 36,
            "mark": {"type": "bar", "stroke": "var(--paper)"},
            "encoding": {
                "x": {"field": "sites", "type": "quantitative", "stack": "zero", "title": "sites"},
                "order": {"field": "order"},
                "description": {"field": "said"},
                "tooltip": {"field": "said"},
                "color": {
                    "field": "outcome",
                    "type": "nominal",
                    "scale": {"domain": names, "range": [colour(name) for name in names]},
                    "legend": {"orient": "bottom", "title": None},
                },
            },
        }
    )


def png(svg: str) -> bytes:
    """Return a chart as a picture of pixels, on white."""
    drawn: bytes = vl_convert.svg_to_png(svg)
    return drawn


def colour(outcome: str) -> str:
    """Return the page's colour of an outcome."""
    return f"var(--outcome-{outcome.replace(' ', '-')}, var(--dim))"


def _lanes(run: Journal, axis: Spec) -> Spec:
    """Return what was played and what was in force, a line for each."""
    least = (max((span.end for span in run.spans), default=1.0)) / 300
    values = [
        {
            "what": f"{span.lane}: {span.label}",
            "begin": span.begin,
            "end": max(span.end, span.begin + least),
            "state": span.state,
            "said": f"{span.label}: {span.state}, from {span.begin:.1f} s to {span.end:.1f} s",
        }
        for span in run.spans
    ]
    found = [state for state in _STATES if any(each["state"] == state for each in values)]
    return {
        "title": "What was played, and the faults in force",
        "data": {"values": values},
        "width": _WIDTH,
        "height": {"step": 18},
        "mark": {"type": "bar", "cornerRadius": 2},
        "encoding": {
            "x": {**axis, "field": "begin"},
            "x2": {"field": "end"},
            "y": {"field": "what", "type": "nominal", "sort": None, "title": None},
            "color": {
                "field": "state",
                "type": "nominal",
                "scale": {"domain": found, "range": [_STATES[state] for state in found]},
                "legend": {"orient": "top", "title": None},
            },
            "description": {"field": "said"},
            "tooltip": {"field": "said"},
        },
    }


def _of_faults(faults: Iterable[Fault], axis: Spec) -> Iterable[Spec]:
    for fault in faults:
        if not any(fault.rates.values()):
            continue
        yield _area(fault.name, fault.rates.get("", ()), axis)
        parts = [(name, rates) for name, rates in fault.rates.items() if name and rates]
        if parts:
            yield _strips(fault.name, parts[:_PARTS], axis)


def _area(name: str, rates: Sequence[Rate], axis: Spec) -> Spec:
    values = [{"at": rate.begin, "rate": rate.per_second} for rate in rates]
    if rates:
        values.append({"at": rates[-1].end, "rate": 0.0})
    return {
        "title": f"Injections a second: {name}",
        "data": {"values": values},
        "width": _WIDTH,
        "height": 80,
        "mark": {
            "type": "area",
            "interpolate": "step-after",
            "color": "var(--fault)",
            "description": f"injections a second of fault {name}, over the time of the run",
        },
        "encoding": {
            "x": {**axis, "field": "at"},
            "y": {"field": "rate", "type": "quantitative", "title": "a second"},
        },
    }


def _strips(name: str, parts: Sequence[tuple[str, Sequence[Rate]]], axis: Spec) -> Spec:
    """Return a strip for each pod and node, darker where it was hit more."""
    values = [
        {
            "who": who,
            "begin": rate.begin,
            "end": rate.end,
            "rate": rate.per_second,
            "said": f"{who}: {rate.per_second:.1f} a second, from {rate.begin:.0f} s",
        }
        for who, rates in parts
        for rate in rates
        if rate.per_second
    ]
    return {
        "title": f"The same by pod and node: {name}",
        "data": {"values": values},
        "width": _WIDTH,
        "height": {"step": 16},
        "mark": {"type": "rect", "color": "var(--fault)"},
        "encoding": {
            "x": {**axis, "field": "begin"},
            "x2": {"field": "end"},
            "y": {
                "field": "who",
                "type": "nominal",
                "title": None,
                "scale": {"domain": [who for who, _ in parts]},
            },
            "opacity": {
                "field": "rate",
                "type": "quantitative",
                "scale": {"type": "sqrt", "range": [0.15, 1]},
                "legend": None,
            },
            "description": {"field": "said"},
            "tooltip": {"field": "said"},
        },
    }


def _svg(spec: Spec) -> str:
    require(vl_convert, "the page of a report")
    # vl-convert ends the whole process over a control character.
    whole = {"$schema": _SCHEMA, "config": _CONFIG, **_harmless(spec)}
    drawn: str = vl_convert.vegalite_to_svg(whole, vl_version=_VERSION, allowed_base_urls=[])
    return drawn


def _harmless(value: Any) -> Any:
    """Return a specification whose texts have one line, and no character without a glyph."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {key: _harmless(each) for key, each in value.items()}
    return [_harmless(each) for each in value] if isinstance(value, list) else value

"""What a report reads from journals and explorations, and what becomes of text of others in it."""

from __future__ import annotations

import base64
import dataclasses
import html.parser
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from chaoskernel.cli.report import command
from chaoskernel.errors import ChaosKernelError, MissingTool
from chaoskernel.explore import results
from chaoskernel.extras import pip_install
from chaoskernel.report import charts, exploration, journal, junit, markdown, page, reading, stacks
from chaoskernel.report.model import Stack
from tests.unit.explore.test_results import findings
from tests.unit.report import made


def saved(folder: Path, name: str, document: object) -> Path:
    file = folder / name
    file.write_text(json.dumps(document))
    return file


class Elements(html.parser.HTMLParser):
    """Counts the elements of a page, and the addresses in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.addresses += [
            value or "" for key, value in attrs if key in ("src", "href", "xlink:href", "action")
        ]


def test_a_journal_shows_what_was_played_when_and_what_deviated() -> None:
    run = journal.journal(made.journal(), "journal.json")
    assert [(span.lane, span.begin, span.end, span.state) for span in run.spans] == [
        ("steady state before", 0, 2, "succeeded"),
        ("method", 5, 9, "succeeded"),
        ("method", 10, 70, "succeeded"),
        ("faults", 10, 70, "in force"),
        ("steady state after", 80, 82, "deviated"),
        ("rollbacks", 85, 86, "succeeded"),
    ]
    assert run.deviated_at == [82]
    assert (run.outcome, run.is_bad) == ("deviated", True)


def test_injections_a_second_are_the_slope_of_the_counters() -> None:
    (fault,) = journal.journal(made.journal(), "j").faults
    assert list(fault.rates) == ["", "pod shop/db-0", "node worker-1"]
    rates = [(rate.begin, rate.end, rate.per_second) for rate in fault.rates[""]]
    assert rates[0] == (10, 11, 5)
    assert (30, 31, 55) in rates
    assert sum(rate for _, _, rate in rates) == 345
    assert fault.hits == 345
    assert fault.held == [("times", 7)]
    assert ("pod", "shop/db-0 on worker-1", 345) in fault.hit


def test_events_are_counted_by_stack_from_the_system_call_to_the_hook() -> None:
    (fault,) = journal.journal(made.journal(made.fault(events=500)), "j").faults
    assert fault.stacks_of == sum(stack.count for stack in fault.stacks) == 500
    assert all(stack.functions[0] == "entry_SYSCALL_64_after_hwframe" for stack in fault.stacks)
    assert all(stack.functions[-1] == "should_failslab" for stack in fault.stacks)


def test_events_without_a_stack_are_counted_with_no_stack() -> None:
    fault = made.fault(events=500)
    for number, event in enumerate(fault["events"]):
        event["stack_kept"] = number % 5 == 0
        event["stack"] = event["stack"] if event["stack_kept"] else []
    (read,) = journal.journal(made.journal(fault), "j").faults
    assert read.stacks_of == sum(stack.count for stack in read.stacks) == 100
    assert all(stack.functions[-1] == "should_failslab" for stack in read.stacks)
    assert all(len(stack.functions) > 1 for stack in read.stacks)


@pytest.mark.parametrize("stacks_of", [0, 3])
def test_a_fault_without_stacks_has_none(stacks_of: int) -> None:
    fault = made.fault(events=20)
    for event in fault["events"]:
        event.update(stack=[], stack_kept=False)
    fault |= {"stacks": [], "stacks_of": stacks_of}
    (read,) = journal.journal(made.journal(fault), "j").faults
    assert read.stacks == []


def test_a_tree_of_stacks_adds_up_and_puts_single_calls_on_one_line() -> None:
    found = [Stack(("a", "b", "c"), 2), Stack(("a", "b", "d", "e"), 1), Stack(("x",), 5)]
    root = stacks.tree(found).short_below()
    assert [(lead, node.names, node.count) for lead, node in stacks.branches(root)] == [
        ("├─ ", ["x"], 5),
        ("└─ ", ["a", "b"], 3),
        ("   ├─ ", ["c"], 2),
        ("   └─ ", ["d", "e"], 1),
    ]
    packed = stacks.packed(found)
    assert packed["names"] == ["a", "b", "c", "d", "e", "x"]
    assert packed["stacks"][1] == [1, "", "", [0, 1, 3, 4]]


def test_sites_are_listed_with_the_worst_first() -> None:
    found = exploration.exploration(made.exploration(200), "e")
    order = [made.OUTCOMES.index(site.outcome) for site in found.sites if site.is_bad]
    assert order == sorted(order, reverse=True)
    assert sum(found.outcomes.values()) == 200
    assert next(iter(found.outcomes)) == "corrupted"
    assert found.is_bad


def of_outcomes(**outcomes: str) -> dict[str, Any]:
    document = made.exploration(len(outcomes))
    for site, (name, outcome) in zip(document["sites"], outcomes.items(), strict=True):
        site.update(id=name, outcome=outcome)
    return document


def test_explorations_are_compared_by_site() -> None:
    earlier = of_outcomes(a="crashed", b="survived", c="crashed", d="hung")
    now = of_outcomes(a="survived", b="crashed", c="crashed", e="reported")
    compared = exploration.compared(
        exploration.exploration(now, "now"), exploration.exploration(earlier, "then")
    )
    assert {site.id: site.change for site in compared.sites} == {
        "a": "mended",
        "b": "new",
        "c": "",
        "e": "",
    }
    assert [site.id for site in compared.gone] == ["d"]


def test_on_another_kernel_sites_are_known_by_their_functions() -> None:
    earlier = of_outcomes(a="survived")
    now = of_outcomes(z="crashed")
    now["kernel"] = {"release": "6.12"}
    for frame in now["sites"][0]["frames"]:
        frame["offset"] += 16
    compared = exploration.compared(
        exploration.exploration(now, "now"), exploration.exploration(earlier, "then")
    )
    assert [site.change for site in compared.sites] == ["new"]
    assert compared.gone == []


@pytest.mark.parametrize("kind", ["journal", "exploration"])
def test_text_of_others_is_data_in_the_page(tmp_path: Path, kind: str) -> None:
    plain, hostile = (
        journal.journal(made.journal(text=text), text)
        if kind == "journal"
        else exploration.exploration(made.exploration(text=text), text)
        for text in ("plain", made.HOSTILE)
    )
    pages = [page.render([report]) for report in (plain, hostile)]
    elements = [Elements(text) for text in pages]
    assert elements[0].names == elements[1].names
    assert all(address.startswith("#") for each in elements for address in each.addresses)
    assert "alert(1)" in pages[1]
    pages[1].encode()
    assert "\x1b" not in pages[1]


@pytest.mark.parametrize("document", [made.journal(text=made.HOSTILE), made.exploration()])
def test_results_are_well_formed(document: dict[str, Any]) -> None:
    report = (
        journal.journal(document, "j")
        if journal.is_journal(document)
        else exploration.exploration(document, "e")
    )
    root = ET.fromstring(junit.render([report]))
    cases = root.findall(".//testcase")
    assert len(cases) == int(root[0].attrib["tests"]) > 5
    failed = [case for case in cases if case.find("failure") is not None]
    assert failed
    said = markdown.render([report])
    assert "<" not in said.replace("\\<", "")


def test_junit_has_a_case_for_each_site_and_fails_the_bad_ones() -> None:
    document = of_outcomes(a="survived", b="crashed", c="not reached", d="reported")
    root = ET.fromstring(junit.render([exploration.exploration(document, "e")]))
    states = {
        case.attrib["name"].split()[-1]: [child.tag for child in case]
        for case in root.iter("testcase")
    }
    assert states == {"a": [], "b": ["failure"], "c": ["skipped"], "d": []}


def test_markdown_is_short(tmp_path: Path) -> None:
    said = markdown.render([exploration.exploration(made.exploration(500), "e")])
    assert len(said.splitlines()) < 20
    assert "more." in said


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(command, list(map(str, words)))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_check_is_the_exit_status(tmp_path: Path) -> None:
    bad = saved(tmp_path, "bad.json", of_outcomes(a="crashed"))
    good = saved(tmp_path, "good.json", of_outcomes(a="reported"))
    out = tmp_path / "summary.md"
    assert run(good, bad, "--markdown", out)[0] == 0
    assert run(good, "--markdown", out, "--check")[0] == 0
    assert run(good, bad, "--markdown", out, "--check")[0] == 3
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("option", "beginning"),
    [("--output", "<!doctype html"), ("--markdown", "#"), ("--junit", "<?xml")],
)
def test_a_dash_is_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, beginning: str
) -> None:
    monkeypatch.chdir(tmp_path)
    results_of = saved(tmp_path, "x.json", of_outcomes(a="crashed"))
    status, written = run(results_of, option, "-")
    assert (status, written[: len(beginning)].lower()) == (0, beginning)
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def test_one_document_at_most_goes_to_standard_output(tmp_path: Path) -> None:
    good = saved(tmp_path, "good.json", of_outcomes(a="reported"))
    status, said = run(good, "--markdown", "-", "--junit", "-")
    assert status == 2
    assert "only one document can go to standard output" in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("rubbish", "is not a JSON document"),
        ("[1]", "is neither a journal nor"),
        ("{}", "is neither a journal nor"),
        ("[" * 100_000, "is not a JSON document"),
    ],
)
def test_a_file_that_is_something_else_is_named(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "x.json"
    file.write_text(content)
    with pytest.raises(ChaosKernelError, match=said):
        run(file)


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ChaosKernelError, match="No such file"):
        run(tmp_path / "absent.json")


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    report = journal.journal(made.journal(), "j")
    monkeypatch.setattr(page, "jinja2", None)
    with pytest.raises(MissingTool) as raised:
        page.render([report])
    assert pip_install("report") in str(raised.value)
    assert junit.render([report])


def broken(document: Any, depth: int = 3) -> Any:
    """Yield a document with each of its values replaced by one of another type."""
    if depth and isinstance(document, dict | list):
        keys = document if isinstance(document, dict) else range(len(document))
        for key in keys:
            for value in (None, 7, "x", [1], {"a": 1}, True):
                copy = document.copy()
                copy[key] = value
                yield copy
            for value in broken(document[key], depth - 1):
                copy = document.copy()
                copy[key] = value
                yield copy


def test_any_part_may_have_another_form() -> None:
    small = made.fault(events=1)
    for document in broken(made.journal(small), 4):
        journal.journal(document, "j")
    for document in broken(made.exploration(1), 4):
        exploration.exploration(document, "e")


def test_a_stack_that_many_events_share_is_kept_once(tmp_path: Path) -> None:
    file = saved(tmp_path, "j.json", made.journal(made.fault(events=1000)))
    events = reading.read(file)["chaoskernel"]["faults"][0]["events"]
    assert len(events) == 1000
    assert len({id(event["stack"]) for event in events}) <= 200
    assert "arguments" not in events[0]


def test_a_chart_takes_any_text() -> None:
    """vl-convert ends the whole process over some characters."""
    codes = [*range(0xA0), 0x200E, 0x202E, 0x2028, 0xD800, 0xDFFF, 0xE000, 0xFFFE, 0x10FFFF]
    text = "".join(map(chr, codes)) + "Ω שלום 内核 😀"
    run = journal.journal(made.journal(), "j")
    span = dataclasses.replace(run.spans[0], label=text)
    assert charts.timeline(dataclasses.replace(run, spans=[span], faults=[]))


@pytest.mark.parametrize("png", [False, True])
def test_the_journal_carries_the_timeline_for_the_toolkits_own_report(
    tmp_path: Path, png: bool
) -> None:
    document = made.journal(text=made.HOSTILE)
    file, out = saved(tmp_path, "journal.json", document), tmp_path / "with-charts.json"
    assert run(file, "--charts", out, *(["--png"] if png else []))[0] == 0
    written = json.loads(out.read_text())
    (chart,) = written["run"][0].pop("charts")
    assert written == document
    if png:
        assert base64.b64decode(chart).startswith(b"\x89PNG")
    else:
        assert "var(" not in chart
        assert {element.tag.rpartition("}")[2] for element in ET.fromstring(chart).iter()} <= {
            *("svg", "g", "path", "line", "text", "rect", "defs", "clipPath", "title", "tspan")
        }


def test_what_explore_writes_is_read() -> None:
    document = json.loads(json.dumps(results.document(findings(), "db.jsonl")))
    found = exploration.exploration(document, "explore.json")
    assert len(found.sites) == len(document["sites"]) > 0
    assert found.outcomes == {
        **{key: value for key, value in found.outcomes.items() if key == "not tried"},
        **{
            key: sum(site["outcome"] == key for site in document["sites"])
            for key in found.outcomes
            if key != "not tried"
        },
    }
    for site, written in zip(
        sorted(found.sites, key=lambda site: site.id),
        sorted(document["sites"], key=lambda site: str(site["id"])),
        strict=True,
    ):
        assert site.replay == written["replay"]
        assert len(site.frames) == len(written["frames"])
        assert site.errno == written["errno"]
        assert site.call
    assert found.facts["kernel"]

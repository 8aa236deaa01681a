"""What the documents say is there: files, headings, tests, commands, options, activities."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from chaoslib.experiment import ensure_experiment_is_valid

from chaoskernel import actions, control, probes
from chaoskernel.backend.record import Record, State
from chaoskernel.bpf.abi import COUNTERS
from chaoskernel.cli import cli
from chaoskernel.fault import syntax
from chaoskernel.fault.arguments import fault_of
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from tools import reference

ROOT = Path(__file__).parents[2]
GALLERY = ROOT / "experiments/README.md"
DRILL = ROOT / "docs/adding-a-hook.md"
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    GALLERY,
    *sorted((ROOT / "docs").rglob("*.md")),
]
TESTS = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")}

each_document = pytest.mark.parametrize(
    "path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def headings(path: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    prose = re.sub(r"^```.*?^```", "", text_of(path), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ +(.+)$", prose, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def spans(path: Path) -> list[str]:
    """Return what stands in single backticks."""
    prose = re.sub(r"^```.*?^```", "", text_of(path), flags=re.DOTALL | re.MULTILINE)
    return [re.sub(r"\s+", " ", span) for span in re.findall(r"`([^`]+)`", prose)]


def commands_in(path: Path) -> Iterator[list[str]]:
    """Yield the words of every chaoskernel command that a document shows."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text_of(path), flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    for line in [*spans(path), *lines]:
        shown = re.sub(r"'[^']*'", "TEXT", line.partition("#")[0])  # a spec is one word
        if found := re.search(r"(?:^|[$;|&] *|sudo )chaoskernel ([a-z].*)", shown):
            yield found[1].split(" -- ")[0].split()


@each_document
def test_every_link_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", text_of(path))
    lost = []
    for link in links:
        target, _, anchor = link.partition("#")
        if re.match(r"https?:", target):
            continue
        there = (path.parent / target).resolve() if target else path
        is_there = there.is_relative_to(ROOT) and there.exists()
        if not is_there or (anchor and anchor not in headings(there)):
            lost.append(link)
    assert lost == []


@each_document
def test_every_path_that_is_named_is_there(path: Path) -> None:
    # Below a directory of this project, and not a place on the reader's machine.
    rooms = "benchmarks|chaoskernel|deploy|docs|experiments|tests|tools"
    inner = "agent|backend|bpf|chaosmesh|cli|compiler|engine|fault|k8s|kernel|lab|toolkit"
    named = [
        span.partition("::")[0]
        for span in spans(path)
        if re.fullmatch(rf"({rooms}|{inner})/[\w./-]*(::\w+)?", span)
    ]
    shown = re.findall(r"(?<!/)\bexperiments/[\w/-]+\.\w+", text_of(path))
    assert [
        name
        for name in [*named, *shown]
        if not (ROOT / name).exists() and not (ROOT / "chaoskernel" / name).exists()
    ] == []


@each_document
def test_every_test_that_is_named_is_there(path: Path) -> None:
    everything = "".join(TESTS.values())
    files = {file.name for file in TESTS}
    lost = []
    for span in spans(path):
        place, _, name = span.rpartition("::")
        if place:
            text = TESTS.get(ROOT / place, "")
            found = re.search(rf"def {name}\(", text) is not None
        elif span.endswith("…"):
            found = f"def {span[:-1]}" in everything
        else:
            found = span in files or f"def {span}(" in everything
        if re.fullmatch(r"(\S+::)?test_\w+(\.py|…)?", span) and not found:
            lost.append(span)
    assert lost == []


@each_document
def test_every_command_that_is_shown_is_there_with_its_options(path: Path) -> None:
    lost: list[object] = []
    for words in commands_in(path):
        command: click.Command | None = cli
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            command = command.get_command(click.Context(command), words.pop(0))
        if command is None:
            lost.append(words)
            continue
        options = {
            "--help",
            *(name for each in command.params for name in each.opts + each.secondary_opts),
        }
        given = [word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)]
        lost += [[command.name, option] for option in given if option not in options]
    assert lost == []


@each_document
def test_every_target_of_make_that_is_named_is_there(path: Path) -> None:
    targets = re.findall(r"^([\w-]+):", text_of(ROOT / "Makefile"), flags=re.MULTILINE)
    named = re.findall(r"(?:^|`)make ([a-z][\w-]*)", text_of(path), flags=re.MULTILINE)
    assert [name for name in named if name not in targets] == []


def test_the_reference_is_what_the_code_says() -> None:
    assert text_of(reference.PLACE) == reference.document(), "run: python -m tools.reference"


def test_the_reference_names_every_activity_every_argument_and_every_command() -> None:
    named = set(re.findall(r"[\w.]+", " ".join(spans(reference.PLACE))))
    activities = {*actions.__all__, *probes.__all__, control.__name__}
    arguments = {
        argument
        for module in (actions, probes)
        for name in module.__all__
        for argument in inspect.signature(getattr(module, name)).parameters
    }
    commands = set(cli.list_commands(click.Context(cli)))
    assert (activities | arguments | commands | {kind.value for kind in Kind}) - named == set()


def test_the_reference_explains_every_argument() -> None:
    assert re.findall(r"^\| `\w+` \|.*\|  \|$", text_of(reference.PLACE), flags=re.MULTILINE) == []


def test_the_reference_explains_every_counter() -> None:
    assert list(reference.COUNTED) == list(COUNTERS)


def test_the_reference_explains_every_key_of_the_journal() -> None:
    fault = fault_of(name="f", fault="slab", scope=Scope(pids=(2,)))
    labels = {"warnings": ["w"], "stand_in_for": "page"}
    record = Record(fault, State.ACTIVE, labels, {})
    assert set(reference.JOURNAL) == set(record.to_json())


def test_the_reference_explains_every_variable_of_the_environment() -> None:
    code = "".join(map(text_of, (ROOT / "chaoskernel").rglob("*.py")))
    assert set(re.findall(r"\bCHAOSKERNEL_[A-Z_]+\b", code)) == set(reference.VARIABLES)


def blocks(path: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(path), flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", blocks(ROOT / "docs/cookbook.md", "json"))
def test_every_recipe_of_the_cookbook_is_a_fault(block: str) -> None:
    given = json.loads(block)
    assert inspect.signature(actions.start_injection).bind(**given)
    ways = {field.name for field in dataclasses.fields(Scope)}
    scope = syntax.scope(**{key: value for key, value in given.items() if key in ways})
    fault = fault_of(scope=scope, **{key: value for key, value in given.items() if key not in ways})
    if "errno" in given:
        assert given["errno"] in fault.row.errors


def test_every_message_of_the_troubleshooting_is_one_of_the_code() -> None:
    code = " ".join(map(text_of, (ROOT / "chaoskernel").rglob("*.py")))
    joined = re.sub(r'"\s*(?:\n\s*)?(?:\+ )?f?"', "", code)
    rows = re.findall(r"^\| `([^`]+ [^`]+)` \|", text_of(ROOT / "docs/troubleshooting.md"), re.M)
    assert len(rows) > 20
    lost = []
    for message in rows:
        said = re.sub(r"^\w+: ", "", message)  # the key; InvalidFault says "is not" by itself
        parts = re.split(
            r"…|'' is not|is not|\(|\)|inject\.\w+\.bpf\.o|should_failslab|write$", said
        )
        lost += [part.strip() for part in parts if part.strip(" '") and part.strip() not in joined]
    assert lost == []


def test_every_heading_of_the_cookbook_has_a_recipe() -> None:
    _, *parts = re.split(r"^## ", text_of(ROOT / "docs/cookbook.md"), flags=re.MULTILINE)
    assert [part.splitlines()[0] for part in parts if "```json" not in part] == []
    assert [part.splitlines()[0] for part in parts if "Kernels: " not in part] == []


def test_the_readmes_experiment_is_valid() -> None:
    (block,) = blocks(ROOT / "README.md", "json")
    experiment = json.loads(block)
    ensure_experiment_is_valid(experiment)
    assert experiment["controls"][0]["provider"]["module"] == control.__name__


def test_every_experiment_is_in_the_table_of_the_gallery() -> None:
    shipped = {path.name for kind in ("json", "yaml") for path in GALLERY.parent.glob(f"*.{kind}")}
    listed = re.findall(r"\[([\w-]+\.(?:json|yaml))\]", text_of(GALLERY))
    assert sorted(listed) == sorted(shipped)


def test_every_room_has_its_line_in_the_architecture() -> None:
    package = ROOT / "chaoskernel"
    rooms = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    rooms |= {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert rooms - set(spans(ROOT / "docs/architecture.md")) == set()


def test_what_was_decided_has_a_number_of_its_own() -> None:
    numbers = [path.name[:3] for path in sorted((ROOT / "docs/decisions").glob("*.md"))]
    assert len(numbers) == len(set(numbers))


def test_the_changelog_is_of_this_version() -> None:
    changes = text_of(ROOT / "CHANGELOG.md")
    assert re.search(r"^## \[Unreleased\]$", changes, flags=re.MULTILINE)
    assert re.findall(r"^### (.*)$", changes, flags=re.MULTILINE)[0] == "Added"


def test_the_diff_of_the_drill_applies() -> None:
    """At most four files of source and tests change for a hook; the reference is generated."""
    (diff,) = re.findall(r"^```diff\n(.*?)^```", text_of(DRILL), flags=re.DOTALL | re.MULTILINE)
    git = ["git", "apply", "--check", "--numstat", "-"]
    checked = subprocess.run(git, input=diff, cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.stderr == ""
    changed = [line.split("\t")[2] for line in checked.stdout.splitlines()]
    assert changed[:2] == ["chaoskernel/fault/hooks.py", "chaoskernel/engine/hooks.py"]
    assert len(changed) <= 4

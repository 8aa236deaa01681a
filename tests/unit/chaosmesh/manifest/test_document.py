"""Text -> values: files, several documents, and what YAML does behind a user's back."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from chaoskernel.chaosmesh import manifest
from chaoskernel.chaosmesh.manifest.document import MAX_BYTES, MAX_PROBLEMS
from chaoskernel.errors import InvalidManifest
from tests.unit.chaosmesh.manifest.documents import SEED, as_json, document

TWICE = SEED + "---\n" + SEED.replace("kernel-chaos-example", "second")


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidManifest) as refused:
        manifest.parse(text)
    return list(refused.value.problems)


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "chaos.yaml"
    path.write_text(SEED, encoding="utf-8")
    assert manifest.load(str(path)) == manifest.parse(SEED) == manifest.load(SEED)


def test_json_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "chaos.json"
    path.write_text(json.dumps(document()), encoding="utf-8")
    assert manifest.load(str(path)) == manifest.load(json.dumps(document()))


@pytest.mark.parametrize("mark", ["", "\ufeff", "\ufeff\n"])
def test_a_line_of_json_is_no_path(mark: str) -> None:
    assert manifest.load(mark + json.dumps(document())) == manifest.parse(as_json(document()))
    with pytest.raises(InvalidManifest, match="is not valid: 1:1: it has a list, which is not an"):
        manifest.load("[]")


@pytest.mark.parametrize("name", ["{}", "a\nb", "[x]", "-"])
def test_a_file_is_read_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(SEED, encoding="utf-8")
    assert manifest.load_file(path) == manifest.parse(SEED)


@pytest.mark.parametrize("given", [None, 7, b"a: b\n", document(), [SEED]])
def test_what_is_no_text_is_refused(given: object) -> None:
    with pytest.raises(InvalidManifest, match="^the manifest is not valid: it is not text; give "):
        manifest.load(given)


def test_lines_may_end_as_those_of_windows() -> None:
    text = SEED.replace("mode: one", "mode: x").replace("\n", "\r\n")
    assert [line.split()[0] for line in problems(text)] == ["7:9:"]
    assert manifest.parse(SEED.replace("\n", "\r\n")) == manifest.parse(SEED)


def test_json_may_be_indented_with_tabs() -> None:
    text = json.dumps(document(), indent="\t")
    assert manifest.parse(text) == manifest.parse(as_json(document()))


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "chaos.yaml"
    path.write_text(SEED, encoding="utf-8-sig")
    assert manifest.load(str(path)) == manifest.parse(SEED)
    path.write_text(json.dumps(document(), indent="\t"), encoding="utf-8-sig")
    assert manifest.load(str(path)) == manifest.parse(as_json(document()))


@pytest.mark.parametrize("text", [TWICE, f"---\n{TWICE}", f"{TWICE}---\n", TWICE + "---\n# x\n"])
def test_a_text_may_have_several_documents_and_empty_ones(text: str) -> None:
    assert [each.name for each in manifest.parse(text)] == ["kernel-chaos-example", "second"]


def test_one_wrong_document_refuses_them_all() -> None:
    assert problems(TWICE.replace("mode: one", "mode: x", 1)) == [
        "7:9: spec.mode: 'x' is not one of one, all, fixed, fixed-percent, random-max-percent"
    ]


def test_two_documents_of_one_name_are_refused() -> None:
    assert problems(f"{SEED}---\n{SEED}") == [
        "16:1: metadata.name: 'kernel-chaos-example' is there twice; rename one of them"
    ]


@pytest.mark.parametrize("text", ["\n", "---\n---\n", "# nothing\n", "\n null \n"])
def test_a_text_without_a_document_is_refused(text: str) -> None:
    assert problems(text) == ["there is no document in it; write a KernelChaos"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("  mode: one\n", "  mode: one\n  mode: all\n", "8:3: spec.mode: it is there twice; .*"),
        ("mode: one", "mode: no", "7:9: spec.mode: no is not text but a truth value; put .*"),
        ("chaos-mount", "on", "10:9: spec.selector.namespaces.0.: on is not text but a truth .*"),
        ("- chaos-mount", "-", "10:8: spec.selector.namespaces.0.: null is not text; write .*"),
        ("chaos-mount", "null", "10:9: spec.selector.namespaces.0.: null is not text; put it .*"),
        ("  mode: one\n", "  mode: one\n  1: 2\n", "8:3: the key 1 is not text; put it in .*"),
        ("  mode: one\n", "  mode: one\n  on: 2\n", "8:3: the key on is not text; put it in .*"),
        ("  mode: one\n", "  mode: one\n  [a]: 2\n", "8:3: the key a list is not text; write .*"),
        ("  mode: one\n", "  mode: one\n  <<: {a: 1}\n", "8:3: a merge key is not known here; .*"),
        ("mode: one", "mode: !x one", "7:9: the tag !x is not known here; leave it out"),
        ("failtype: 0", "failtype: 0b1", "14:15: spec.failKernRequest.failtype: '0b1' is not .*"),
        ("failtype: 0", "failtype: 1_0", "14:15: spec.failKernRequest.failtype: '1_0' is not .*"),
        ("failtype: 0", "failtype: 0:1", "14:15: spec.failKernRequest.failtype: '0:1' is not .*"),
        ("failtype: 0", "failtype: .nan", "14:15: spec.failKernRequest.failtype: '.nan' is .*"),
        ("failtype: 0", f"failtype: {'9' * 5000}", "14:15: spec.failKernRequest.failtype: .*"),
        ("  mode: one", "\tmode: one", "7:1: found character .* cannot start any token; .*"),
        ("mode: one", "mode: o\0ne", "7:10: character #x0000 is not allowed in YAML"),
        ("mode: one", "mode: *nobody", "7:9: found undefined alias 'nobody'; this is not YAML"),
        ("mode: one", "mode: [one", "8:11: .*; this is not YAML"),
        ("mode: one", "mode: &a [*a]", "7:9: more than 32 levels in each other"),
    ],
)
def test_what_yaml_does_behind_ones_back_is_refused(before: str, after: str, said: str) -> None:
    found = problems(SEED.replace(before, after, 1))
    assert any(re.fullmatch(said, each) for each in found), found


def test_an_alias_says_again_what_its_anchor_says() -> None:
    text = SEED.replace("- chaos-mount", "- &name chaos-mount\n      - *name")
    assert manifest.parse(text)[0].selection.selector.namespaces == ("chaos-mount",) * 2


def test_aliases_that_multiply_are_refused_at_once() -> None:
    laughs = "a0: &a0 [x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
    )
    started = time.monotonic()
    assert any("do its aliases multiply?" in problem for problem in problems(laughs))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "text",
    [
        "{" + ",".join('"a":1' for _ in range(5_000)) + "}",
        "{" + ",".join(f"{n}:1" for n in range(5_000)) + "}",
        json.dumps({f"f{n}": 1 for n in range(5_000)}),
        as_json(document(containerNames=[1] * 5_000)),
    ],
    ids=["one key", "no text", "unknown", "no texts"],
)
def test_of_very_many_mistakes_the_first_are_reported(text: str) -> None:
    found = problems(text)
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1] == "there is more; nothing was read on"


def test_what_comes_after_too_many_values_is_not_read() -> None:
    (said,) = problems("---\n" * 100_000)
    assert said.endswith("more than 20000 values; do its aliases multiply?")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[" + "[]," * 349_000 + "[]]\n", "1:119999: more than 20000 values; .*"),
        ("- []\n" * 200_000, "40000:3: more than 20000 values; .*"),
        ("a: {" + "b: 1, " * 170_000 + "}\n", ".*: more than 20000 values; .*"),
        ("[" * 1_000_000 + "\n", "1:34: more than 32 levels in each other"),
    ],
    ids=["lists", "lines", "keys", "levels"],
)
def test_a_megabyte_of_values_is_refused_at_once(text: str, line: str) -> None:
    begun = time.process_time()
    (said,) = problems(text)
    assert time.process_time() - begun < 1
    assert re.fullmatch(line, said), said


def test_without_libyaml_the_bounds_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    monkeypatch.setattr("chaoskernel.chaosmesh.manifest.document._MAX_VALUES", 500)
    begun = time.process_time()
    (said,) = problems("[" + "[]," * 349_000 + "[]]\n")
    assert time.process_time() - begun < 1
    assert said.startswith("1:2999: more than ")
    (said,) = problems("[" * 1_000_000 + "\n")
    assert "32 levels" in said


@pytest.mark.parametrize("text", ["[" * 100_000 + "\n", "- " * 50_000 + "\n", "{a: " * 5000 + "\n"])
def test_a_text_that_nests_without_end_is_refused(text: str) -> None:
    assert any("levels in each other" in problem for problem in problems(text))


def test_a_text_that_is_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "chaos.yaml"
    path.write_text(SEED + "#" * MAX_BYTES, encoding="utf-8")
    with pytest.raises(InvalidManifest, match="it is longer than 1048576 bytes; split it"):
        manifest.load(str(path))


def test_bytes_that_are_no_utf8_are_named_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "chaos.yaml"
    path.write_bytes(SEED.replace("one", "\xe9").encode("latin-1"))
    with pytest.raises(InvalidManifest, match="7:9: byte 0xe9 is not UTF-8"):
        manifest.load(str(path))


def test_a_path_that_no_file_can_have_is_refused() -> None:
    with pytest.raises(InvalidManifest, match="it cannot be read: embedded null byte"):
        manifest.load("a\0b")


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidManifest, match=r"^/no.yaml is not valid: it cannot be read: No "):
        manifest.load("/no.yaml")


@given(st.text())
def test_no_text_does_more_than_be_refused(text: str) -> None:
    with pytest.raises(InvalidManifest):
        manifest.parse(text)


@given(st.integers(0, len(SEED)), st.integers(0, 20), st.text(max_size=20))
def test_no_damage_to_a_document_does_more_than_refuse_it(at: int, cut: int, put: str) -> None:
    try:
        found = manifest.parse(SEED[:at] + put + SEED[at + cut :])
    except InvalidManifest as error:
        assert error.problems
    else:
        assert len(found) >= 1


def test_half_of_a_surrogate_pair_is_a_character_that_yaml_has_not() -> None:
    assert problems("a: \ud800\n") == ["1:4: character #xd800 is not allowed in YAML"]

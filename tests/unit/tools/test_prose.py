"""The linter for prose finds what it should, at its line, and reads no code."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import prose

WRONG = [
    "There is none of that name.",
    "It fails all the same.",
    "The user is told.",
    "This tells of the fault.",
    "The kernel has not the option.",
    "It is refused, for it is wrong.",
    "It is attached still.",
    "It waits for ever.",
]


def test_what_reads_like_a_translation_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    documents = [tmp_path / f"{number}.md" for number in range(len(WRONG))]
    for document, wrong in zip(documents, WRONG, strict=True):
        text = f"# Title\n\n```sh\n{wrong}\n```\n\nPlain.  {wrong}\n"
        document.write_text(text, encoding="utf-8")
    assert prose.main(list(map(str, documents))) == 1
    places = {line.partition(": ")[0] for line in capsys.readouterr().out.splitlines()}
    assert places == {f"{document}:7" for document in documents}


def test_code_numbers_and_links_are_not_read(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    text = "It took 100 000 000 steps: `there is none`, [here](for-ever.md).\n"
    document.write_text(f"{text}\n```\nis none, is none\n```\n", encoding="utf-8")
    assert prose.main([str(document)]) == 0


def test_a_span_over_two_lines_moves_no_line() -> None:
    assert prose.masked("a `b\nc` d\ne").count("\n") == 2

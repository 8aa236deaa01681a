"""docs/first-experiment.md, done as it says: its files written, its commands run, in order."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/first-experiment.md"
PLACE = ROOT / "build/first"
DONE = "-- done --"
SECONDS = 900


class Block(NamedTuple):
    """A fenced block of the page.

    :param file: the file that it is, when the line before names one.
    """

    language: str
    text: str
    file: str


def blocks() -> Iterator[Block]:
    found = re.finditer(
        r"(?:^`(?P<file>[^`\n]+)`:\n\n)?^```(?P<language>[\w-]+)\n(?P<text>.*?)^```$",
        PAGE.read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )
    for block in found:
        yield Block(block["language"], block["text"], block["file"] or "")


class Shell:
    """One shell for all of the page: what a block sets is there in the next."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["bash", "-e"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, text: str) -> str:
        """Run commands and return what they printed; the shell ends with one that fails."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{{\n{text}\n}} </dev/null\necho '{DONE}'\n")
        self._process.stdin.flush()
        said = []
        overdue = threading.Timer(SECONDS, self._process.kill)
        overdue.start()
        for line in self._process.stdout:
            if line.strip() == DONE:
                break
            print(line, end="", flush=True)
            said.append(line)
        else:
            pytest.fail(f"a command failed, or took more than {SECONDS} s: {''.join(said)}")
        overdue.cancel()
        return "".join(said)

    def end(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(timeout=60)


def test_the_first_experiment_goes_as_the_page_says() -> None:
    if os.environ.get("CHAOSKERNEL_IN_LAB") == "1":
        pytest.skip("a lab within the lab")
    shutil.rmtree(PLACE, ignore_errors=True)
    shell, said = Shell(), ""
    for block in blocks():
        if block.file:
            (ROOT / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "sh":
            said = shell.run(block.text)
        else:
            assert block.language == "text", block
            for line in block.text.splitlines():
                assert line in said
    shell.end()

"""The gallery: what it lists, and that a copy is complete."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chaoskernel.cli import gallery

ROOT = Path(__file__).parents[3]
NAMES = sorted(
    path.stem for path in (ROOT / "experiments").iterdir() if path.suffix in (".json", ".yaml")
)


def invoke(*words: object) -> Result:
    return CliRunner().invoke(gallery.command, list(map(str, words)))


def test_it_lists_every_experiment_with_its_title() -> None:
    found = json.loads(invoke("--json").stdout)
    assert [each["name"] for each in found] == NAMES
    assert all(each["title"] and each["description"] for each in found)
    assert "A Redis server cannot fork" in invoke().stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_has_every_file_that_it_names(tmp_path: Path, name: str) -> None:
    result = invoke("copy", name, tmp_path)
    assert result.exit_code == 0, result.output
    copied = tmp_path / "experiments"
    files = [path for path in copied.rglob("*") if path.is_file()]
    assert sorted(map(str, files)) == sorted(result.stdout.split())
    for text in (path.read_text(encoding="utf-8") for path in files):
        for named in re.findall(r"(?:experiments\}?|\\$here)/([\w./-]+\w)", text):
            assert (copied / named).exists(), named
        for source in re.findall(r"^\s*compile (\w+) ", text, flags=re.MULTILINE):
            assert (copied / f"{source}.c").exists(), source


def test_a_copy_says_how_to_run_it(tmp_path: Path) -> None:
    result = invoke("copy", "redis-enospc", tmp_path)
    line = f"run it as root: cd {tmp_path} && chaos run experiments/redis-enospc.json"
    assert result.stderr.strip() == line
    names = {path.name for path in (tmp_path / "experiments").iterdir()}
    assert {"redis-enospc.json", "redis.sh", "build.sh"} <= names


def test_a_file_of_the_users_is_not_overwritten(tmp_path: Path) -> None:
    assert invoke("copy", "mount-times", tmp_path).exit_code == 0
    assert invoke("copy", "mount-times", tmp_path).exit_code == 0  # nothing differs
    mine = tmp_path / "experiments/mount-times.json"
    mine.write_text("{}", encoding="utf-8")
    refused = invoke("copy", "mount-times", tmp_path)
    assert "is there, and differs; name another directory, or give --force" in str(
        refused.exception
    )
    assert mine.read_text(encoding="utf-8") == "{}"
    assert invoke("copy", "mount-times", tmp_path, "--force").exit_code == 0
    assert json.loads(mine.read_text(encoding="utf-8"))["title"]


@pytest.mark.parametrize("name", ["nosuch", "../setup", "README"])
def test_what_is_no_experiment_is_one_line(tmp_path: Path, name: str) -> None:
    refused = invoke("copy", name, tmp_path)
    assert f"the gallery has no experiment '{name}'; `chaoskernel gallery`" in str(
        refused.exception
    )
    assert not list(tmp_path.iterdir())

"""The action `explore` and the probe `not_survived`, as the toolkit calls them."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaoslib.exceptions import ActivityFailed

from chaoskernel import actions, probes
from chaoskernel.explore import accept, store
from tests.unit.cli.test_explore import state

__all__ = ["state"]


def test_probe_counts_what_needs_a_look(state: Path, tmp_path: Path) -> None:
    assert probes.not_survived(str(state)) == 1
    file = tmp_path / "accepted.yaml"
    accept.write(store.read(state), file)
    with pytest.raises(ActivityFailed, match="has no reason"):
        probes.not_survived(str(state), str(file))
    file.write_text(file.read_text(encoding="utf-8").replace("reason: ''", "reason: known"))
    assert probes.not_survived(str(state), str(file)) == 0


def test_probe_without_an_exploration_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ActivityFailed, match="nothing.jsonl cannot be read: No such file"):
        probes.not_survived(str(tmp_path / "nothing.jsonl"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"command": []}, "command: missing"),
        ({"command": ["no-such-thing"]}, "no-such-thing: there is no such command"),
        ({"command": ["true"], "sites": "many"}, "sites: 'many' is not a number"),
    ],
)
def test_action_with_wrong_arguments_leaves_no_file(
    tmp_path: Path, arguments: dict[str, object], message: str
) -> None:
    file = tmp_path / "x.jsonl"
    with pytest.raises(ActivityFailed, match=message):
        actions.explore(**arguments, state=str(file))  # type: ignore[arg-type]
    assert not file.exists()

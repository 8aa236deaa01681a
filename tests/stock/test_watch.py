"""`chaoskernel watch` on real processes: their calls, by family, file and peer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chaoskernel.backend.outcome import why_nothing
from tests.caller import Caller
from tests.functional.agents import command
from tests.stock.conftest import Arm

WORK = """
import os, socket, sys
os.chdir(sys.argv[1])
data = os.open("data", os.O_RDWR | os.O_CREAT)
for _ in range(12):
    os.pwrite(data, b"x", 0)
    os.fdatasync(data)
server = socket.create_server(("127.0.0.1", 8123))
client = socket.create_connection(("127.0.0.1", 8123))
accepted, _ = server.accept()
for _ in range(5):
    client.send(b"x")
    os.read(accepted.fileno(), 1)
listener, other = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
listener.bind("own.sock")
listener.listen()
other.connect(os.path.abspath("own.sock"))
if os.fork() == 0:
    os.mkdir("made")
    os._exit(0)
os.wait()
"""

Faults = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("watched")


@pytest.fixture(scope="module")
def faults(lab: None, place: Path) -> Faults:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True, timeout=60)
    said = command("watch", "--json", "--", sys.executable, "-S", "-c", WORK, str(place))
    found = json.loads(said)
    assert found["unlisted"] == 0
    return {each["fault"]: each for each in found["faults"]}


def test_a_family_is_counted_by_file(faults: Faults, place: Path) -> None:
    assert faults["write"]["files"][str(place / "data")] == 12
    assert faults["write"]["calls"]["pwrite64"] == 12
    assert faults["fsync"]["calls"] == {"fdatasync": 12}
    assert faults["fsync"]["files"] == {str(place / "data"): 12}


def test_peers_are_told_from_one_another(faults: Faults, place: Path) -> None:
    assert faults["connect"]["peers"]["127.0.0.1:8123"] == 1
    assert faults["connect"]["peers"][f"unix:{place}/own.sock"] == 1
    assert faults["accept"]["peers"]["127.0.0.1:8123"] == 1
    assert faults["send"]["peers"]["127.0.0.1:8123"] == 5
    assert faults["recv"]["calls"]["read"] == 5


def test_a_child_is_watched_too(faults: Faults, place: Path) -> None:
    assert faults["fork"]["count"] == 1
    # What is not there yet has the name that the program gives it.
    made = faults["create"]["files"]
    assert sum(count for name, count in made.items() if Path(name).name == "made") == 1


def test_what_is_shown_to_be_copied_is_about_the_same(faults: Faults, place: Path) -> None:
    said = faults["write"]["arguments"]
    assert said["paths"] == [str(place / "data")]
    assert said["commands"] == [Path(sys.executable).name[:15]]


def test_a_fault_that_hit_nothing_names_the_calls_that_were_near(
    arm: Arm, victim: Caller, neighbour: Caller
) -> None:
    fault = arm(victim.pid, fault="exec")
    for _ in range(3):
        assert (victim.calls("fork"), neighbour.calls("fork")) == (0, 0)
    assert fault.disarm() == []
    counters = fault.counters()
    assert sum(near["count"] for near in counters["near"]) == 3
    assert why_nothing(counters).endswith("; it made 3 clone (fault fork)")

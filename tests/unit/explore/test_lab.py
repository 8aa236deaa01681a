"""Explorations in guests that are played by threads: a lost one is an outcome."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chaoskernel.errors import ChaosKernelError, LostGuest
from chaoskernel.explore import lab, store
from chaoskernel.explore.lab import Guests
from chaoskernel.explore.loop import Damaged, Explorer
from chaoskernel.explore.observation import Ending
from chaoskernel.explore.outcome import Outcome
from chaoskernel.explore.plan import Plan
from chaoskernel.explore.session import Quiet
from chaoskernel.fault.hooks import Kind
from chaoskernel.lab import guest
from chaoskernel.lab.kernel import Kernel as Bootable
from tests.unit.explore.fakes import WELL, FakeTarget, Kernel, Program, id_of

PLAN = Plan(("victim",), faults=(Kind.SLAB,))
NOWHERE = Bootable(Path("/dev/null"), "6.1", None, "cached")


class Lost(Exception):
    """The guest's kernel panics."""


class FakeGuests:
    """Guests that explore a Python function."""

    def __init__(self, program: Program) -> None:
        self.booted = 0
        self._program = program

    def run(self, _: Bootable, words: Sequence[str], **how: Any) -> int:
        self.booted += 1
        path = Path(words[-1])
        directory = Path(words[-3])
        target = FakeTarget(self._program)
        opened = store.resume(path) if path.exists() else store.begin(path, PLAN)
        try:
            with opened as kept:
                explorer = Explorer(kept, target, target.recording, Quiet())
                if (directory / "base.jsonl").exists():
                    explorer.run()
                else:
                    explorer.baseline()
        except Damaged:
            return lab.DAMAGED_STATUS
        except Lost:
            raise LostGuest("the guest was lost", hint="its last words: Kernel panic") from None
        except ChaosKernelError as error:
            how["stdout"].write(f"{error}\n".encode())
            return 1
        return 0


def explored(program: Program, path: Path, jobs: int = 1) -> tuple[dict[str, Outcome], FakeGuests]:
    guests = FakeGuests(program)
    found = lab.explore(path, PLAN, Guests(NOWHERE, guest.Machine(), jobs, guests.run), Quiet())
    assert found.end == "complete"
    assert [*path.parent.iterdir()] == [path]
    return {each.attempt.id: each.outcome for each in found.results.values()}, guests


@pytest.mark.parametrize("jobs", [1, 3])
def test_guests_share_the_sites(tmp_path: Path, jobs: int) -> None:
    names = [f"site {n}" for n in range(12)]

    def program(kernel: Kernel) -> Ending:
        failed = [kernel.fails(name) for name in names]
        return Ending(status=1) if failed[3] else WELL

    outcomes, guests = explored(program, tmp_path / "x.jsonl", jobs)
    assert outcomes == {
        id_of(name): Outcome.REPORTED if name == "site 3" else Outcome.SURVIVED for name in names
    }
    assert guests.booted == 1 + jobs


def test_lost_guest_is_an_outcome_and_the_next_one_goes_on(tmp_path: Path) -> None:
    def program(kernel: Kernel) -> Ending:
        kernel.fails("fine")
        if kernel.fails("panics"):
            raise Lost
        kernel.fails("after")
        return WELL

    outcomes, guests = explored(program, tmp_path / "x.jsonl")
    assert outcomes == {
        id_of("fine"): Outcome.SURVIVED,
        id_of("panics"): Outcome.KERNEL,
        id_of("after"): Outcome.SURVIVED,
    }
    result = store.read(tmp_path / "x.jsonl").results[id_of("panics")]
    assert result.kernel == ("the guest was lost; its last words: Kernel panic",)
    assert guests.booted == 3


def test_damaged_guest_gives_way_to_the_next_one(tmp_path: Path) -> None:
    poisoned: list[object] = []

    def program(kernel: Kernel) -> Ending:
        if poisoned and poisoned[-1] is kernel.recorder:
            return Ending(status=1)
        for name in ("a", "b"):
            if kernel.fails(name):
                poisoned.append(kernel.recorder)
                return Ending(status=1)
        return WELL

    outcomes, guests = explored(program, tmp_path / "x.jsonl")
    assert outcomes == {id_of("a"): Outcome.DAMAGED, id_of("b"): Outcome.DAMAGED}
    assert guests.booted == 4


def test_what_is_wrong_in_the_guest_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ChaosKernelError, match="the command fails without a fault: exit status 1"):
        explored(lambda _: Ending(status=1), tmp_path / "x.jsonl")


def test_guests_that_are_lost_again_and_again_end_the_exploration(tmp_path: Path) -> None:
    def program(_: Kernel) -> Ending:
        raise Lost

    with pytest.raises(LostGuest, match="3 guests ended one after another without a result"):
        explored(program, tmp_path / "x.jsonl")

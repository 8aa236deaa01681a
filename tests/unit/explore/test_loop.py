"""The loop: what is tried, how often, what comes of it, and what an interruption leaves."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from chaoskernel.errors import ChaosKernelError
from chaoskernel.explore import store
from chaoskernel.explore.findings import Findings
from chaoskernel.explore.loop import Damaged, Explorer
from chaoskernel.explore.observation import Ending
from chaoskernel.explore.outcome import Outcome
from chaoskernel.explore.plan import Plan
from chaoskernel.explore.session import Quiet
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.sites import Hits
from tests.unit.explore.fakes import WELL, FakeTarget, Kernel, Program, id_of

PLAN = Plan(("victim",), faults=(Kind.SLAB,))
FAILS = Ending(status=1, seconds=0.01)
DIES = Ending(signal="SIGSEGV", seconds=0.01)


def explored(
    program: Program,
    plan: Plan = PLAN,
    path: Path | None = None,
    target: FakeTarget | None = None,
    *,
    tmp_path: Path,
) -> Findings:
    """Explore a program to the end, and return what is on disk."""
    file = path or tmp_path / "x.jsonl"
    opened = store.resume(file) if file.exists() else store.begin(file, plan)
    with opened as opened_store:
        played = target or FakeTarget(program)
        Explorer(opened_store, played, played.recording, Quiet()).run()
    return store.read(file)


def outcomes(found: Findings) -> dict[str, Outcome]:
    return {each.attempt.id: each.outcome for each in found.results.values()}


def several(kernel: Kernel) -> Ending:
    """A program that survives, reports, crashes and hangs."""
    kernel.fails("survives")
    if kernel.fails("reports"):
        return FAILS
    if kernel.fails("crashes"):
        return DIES
    if kernel.fails("hangs"):
        return Ending(hung=True, seconds=5)
    return WELL


def test_each_site_fails_in_a_run_of_its_own(tmp_path: Path) -> None:
    target = FakeTarget(several)
    found = explored(several, target=target, tmp_path=tmp_path)
    assert outcomes(found) == {
        id_of("survives"): Outcome.SURVIVED,
        id_of("reports"): Outcome.REPORTED,
        id_of("crashes"): Outcome.CRASHED,
        id_of("hangs"): Outcome.HUNG,
    }
    assert found.end == "complete"
    canaries = [each for each in target.played[PLAN.baselines :] if not each.sites]
    assert len(canaries) == 3  # one after each that did not survive


def test_site_that_appears_only_under_failure_is_failed_with_its_cause(tmp_path: Path) -> None:
    def program(kernel: Kernel) -> Ending:
        if kernel.fails("first") and kernel.fails("fallback"):
            return DIES
        return WELL

    found = explored(program, tmp_path=tmp_path)
    first, fallback = id_of("first"), id_of("fallback")
    assert outcomes(found) == {
        first: Outcome.SURVIVED,
        f"{first}+{fallback}": Outcome.CRASHED,
    }
    assert found.sites[fallback].under == first


def test_depth_of_two_fails_pairs_of_what_survives_alone(tmp_path: Path) -> None:
    def program(kernel: Kernel) -> Ending:
        failed = [kernel.fails(name) for name in ("a", "b", "c")]
        if kernel.fails("dies"):
            return DIES
        return DIES if failed == [True, False, True] else WELL

    plan = Plan(("victim",), faults=(Kind.SLAB,), depth=2)
    found = outcomes(explored(program, plan, tmp_path=tmp_path))
    pairs = {frozenset(each.split("+")): one for each, one in found.items() if "+" in each}
    a, b, c = map(id_of, "abc")
    assert pairs == {
        frozenset({a, b}): Outcome.SURVIVED,
        frozenset({a, c}): Outcome.CRASHED,
        frozenset({b, c}): Outcome.SURVIVED,
    }


def test_each_mode_of_hits_is_an_attempt(tmp_path: Path) -> None:
    def program(kernel: Kernel) -> Ending:
        return WELL if sum(kernel.fails("again") for _ in range(3)) < 3 else FAILS

    hits: tuple[Hits | int, ...] = (Hits.ONCE, Hits.PERSISTENT, 2)
    plan = Plan(("victim",), faults=(Kind.SLAB,), hits=hits)
    one = id_of("again")
    assert outcomes(explored(program, plan, tmp_path=tmp_path)) == {
        one: Outcome.SURVIVED,
        f"{one}@persistent": Outcome.REPORTED,
        f"{one}@2": Outcome.SURVIVED,
    }


def test_site_that_some_runs_do_not_reach_is_flaky_and_never_survived(tmp_path: Path) -> None:
    turns = itertools.count()

    def program(kernel: Kernel) -> Ending:
        if next(turns) % 2:
            kernel.fails("sometimes")
        return WELL

    result = explored(program, tmp_path=tmp_path).results[id_of("sometimes")]
    assert result.flaky
    assert result.outcome is Outcome.NOT_REACHED
    assert set(result.tries) == {Outcome.NOT_REACHED, Outcome.SURVIVED}


def test_hang_that_does_not_repeat_is_marked_as_flaky(tmp_path: Path) -> None:
    hangs = iter([True])

    def program(kernel: Kernel) -> Ending:
        if kernel.fails("slow") and next(hangs, False):
            return Ending(hung=True, seconds=5)
        return WELL

    result = explored(program, tmp_path=tmp_path).results[id_of("slow")]
    assert (result.outcome, result.flaky) == (Outcome.HUNG, True)


def test_baseline_that_fails_afterwards_means_damage(tmp_path: Path) -> None:
    poisoned: list[bool] = []

    def program(kernel: Kernel) -> Ending:
        if kernel.fails("poisons"):
            poisoned.append(True)
            return FAILS
        return FAILS if poisoned else WELL

    with pytest.raises(Damaged, match="the baseline differs now: exit status 1"):
        explored(program, tmp_path=tmp_path)
    result = store.read(tmp_path / "x.jsonl").results[id_of("poisons")]
    assert result.outcome is Outcome.DAMAGED
    assert "before: reported" in result.detail


def test_output_that_changes_from_run_to_run_is_masked(tmp_path: Path) -> None:
    turns = itertools.count(1000)

    def program(kernel: Kernel) -> Ending:
        failed = kernel.fails("x")
        kernel.output = f"pid {next(turns)}\n{'lost' if failed else 'kept'} 7 rows\n"
        return WELL

    found = explored(program, tmp_path=tmp_path)
    assert found.baseline.masked == 1
    assert found.results[id_of("x")].detail == "another output"


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (lambda kernel: FAILS, "the command fails without a fault: exit status 1"),
        (lambda kernel: Ending(hung=True), "does not end within 60 s without a fault; raise"),
        (lambda kernel: WELL, "the program came to no site"),
    ],
)
def test_baseline_that_does_not_work_is_one_line(
    tmp_path: Path, program: Callable[[Kernel], Ending], message: str
) -> None:
    with pytest.raises(ChaosKernelError, match=message):
        explored(program, tmp_path=tmp_path)


def test_number_of_sites_bounds_the_session(tmp_path: Path) -> None:
    plan = Plan(("victim",), faults=(Kind.SLAB,), sites=2)
    found = explored(several, plan, tmp_path=tmp_path)
    assert len(found.results) == 2
    assert found.end == "sites"


@pytest.mark.parametrize("moment", range(3, 16))
def test_interrupted_exploration_ends_with_the_same_results(tmp_path: Path, moment: int) -> None:
    whole = outcomes(explored(several, tmp_path=tmp_path, path=tmp_path / "whole.jsonl"))

    def interrupt(number: int) -> None:
        if number == moment:
            raise KeyboardInterrupt

    target = FakeTarget(several, interrupt)
    path = tmp_path / "cut.jsonl"
    try:
        explored(several, path=path, target=target, tmp_path=tmp_path)
    except KeyboardInterrupt:
        assert outcomes(explored(several, path=path, tmp_path=tmp_path)) == whole
    else:
        assert len(target.played) <= moment
    assert outcomes(store.read(path)) == whole


def test_shards_share_the_sites_of_a_baseline(tmp_path: Path) -> None:
    names = [f"site {n}" for n in range(20)]

    def program(kernel: Kernel) -> Ending:
        for name in names:
            kernel.fails(name)
        return WELL

    found = [
        outcomes(
            explored(
                program,
                Plan(("victim",), faults=(Kind.SLAB,), shard=(number, 3)),
                tmp_path / f"{number}.jsonl",
                tmp_path=tmp_path,
            )
        )
        for number in range(3)
    ]
    assert sorted(itertools.chain(*found)) == sorted(map(id_of, names))

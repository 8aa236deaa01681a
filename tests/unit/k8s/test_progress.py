"""How many agents are where is known without asking them."""

from __future__ import annotations

import threading

import pytest

from chaoskernel.k8s.progress import Roll, Standing

ARMED, FAILED, SETTLED = Standing(armed=True), Standing(failed=True), Standing(settled=True)


def a_roll(*standings: Standing) -> Roll:
    roll = Roll()
    with roll:
        for number, standing in enumerate(standings):
            roll.note(str(number), standing)
    return roll


@pytest.mark.parametrize(
    ("standings", "armed", "failed", "settled"),
    [
        ((), False, False, True),
        ((ARMED, ARMED), True, False, False),
        ((ARMED, Standing()), False, False, False),
        ((ARMED, FAILED), False, True, False),
        ((SETTLED, SETTLED), False, False, True),
        ((SETTLED, ARMED), False, False, False),
    ],
)
def test_all_are_armed_or_settled_and_any_has_failed(
    standings: tuple[Standing, ...], armed: bool, failed: bool, settled: bool
) -> None:
    roll = a_roll(*standings)
    assert (roll.all_armed, roll.any_failed, roll.all_settled) == (armed, failed, settled)


def test_the_standing_of_one_may_change_back_and_forth() -> None:
    roll = a_roll(SETTLED, SETTLED)
    with roll:
        roll.note("1", Standing())
        assert not roll.all_settled
        roll.note("1", Standing(armed=True, settled=True))
        assert roll.all_settled
        assert not roll.all_armed


def test_who_waits_looks_when_a_standing_changes_and_not_at_every_word() -> None:
    roll = a_roll(Standing(), Standing())
    looks = 0

    def look() -> bool:
        nonlocal looks
        looks += 1
        return roll.all_armed

    def say() -> None:
        for standing in [Standing()] * 100 + [ARMED] * 100:
            for name in ("0", "1"):
                with roll:
                    roll.note(name, standing)

    speaker = threading.Thread(target=say)
    with roll:
        speaker.start()
        assert roll.wait(look, 10.0)
    speaker.join()
    assert looks <= 3  # at first, and for each of two that changed


def test_a_wait_ends_with_its_time_or_when_it_is_woken_and_holds() -> None:
    roll = a_roll(Standing())
    over = threading.Event()

    def stop() -> None:
        with roll:
            over.set()
            roll.wake()

    with roll:
        assert not roll.wait(over.is_set, 0.01)
        threading.Thread(target=stop).start()
        assert roll.wait(over.is_set, 10.0)

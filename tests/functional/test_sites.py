"""Sites: recorded by the kernel's stack, and failed one at a time, on a real kernel."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator

import pytest

from chaoskernel.engine import ArmedFault, Recorder
from chaoskernel.engine.core import CoreEngine
from chaoskernel.errors import InvalidFault
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.sites import By, Hits, Phase, Run, Site, Sites
from chaoskernel.fault.spec import Fault, Limits
from tests.functional.conftest import Arm
from tests.functional.names import ENTRY_CODE
from tests.victim import Victim

pytestmark = pytest.mark.parametrize("engine", [CoreEngine], ids=["core"], indirect=True)


def recording(name: str, scope: Scope) -> Fault:
    limits = Limits(duration=600)
    return Fault(name=name, kind=Kind.SLAB, scope=scope, limits=limits, sites=Sites())


def recorder_of(fault: ArmedFault) -> Recorder:
    assert fault.recorder is not None
    return fault.recorder


@pytest.fixture
def mounts(arm: Arm, victim: Victim) -> Iterator[Recorder]:
    """Of a victim that mounts when it is told to."""
    fault = arm(recording("mounts", Scope(pids=(victim.pid,))))
    yield recorder_of(fault)
    assert fault.disarm() == []


def in_mount(run: Run) -> list[Site]:
    return [site for site in run.new if site.call == "mount"]


@pytest.fixture
def site(mounts: Recorder, victim: Victim) -> Site:
    """Where mount(2) copies the first of its strings, with several sites behind it."""
    mounts.begin([], Sites())
    assert victim.does("mount", 2) == [0, 0]
    found = in_mount(mounts.end())
    assert len(found) > 3
    return next(s for s in found if any(p.function == "strndup_user" for p in s.places))


def test_a_site_is_a_hook_with_its_stack(mounts: Recorder, site: Site) -> None:
    assert site.hook == site.places[0].function == "should_failslab"
    assert site.by is By.SYSTEM_CALL
    assert site.error == errno.ENOMEM
    assert not site.truncated
    functions = [place.function for place in site.places]
    assert functions.index("strndup_user") < functions.index(ENTRY_CODE)
    assert not any("tramp" in name or "bpf_prog" in name for name in functions)
    assert site in [known for known, _ in mounts.known()]


def test_recording_fails_nothing_and_counts_each_run(
    mounts: Recorder, site: Site, victim: Victim
) -> None:
    for times in (1, 3):
        mounts.begin([], Sites())
        assert victim.does("mount", times) == [0] * times
        run = mounts.end()
        assert run.counts[site.id] >= times
        assert run.counts[site.id] % times == 0
        assert (run.failed, run.lost) == ((), 0)
        assert site not in run.new


@pytest.mark.parametrize(
    ("hits", "expected"),
    [
        (Hits.ONCE, [errno.ENOMEM, 0, 0]),
        (Hits.PERSISTENT, [errno.ENOMEM] * 3),
        (2, [0, errno.ENOMEM, 0]),
    ],
)
def test_one_site_fails_and_no_other(
    mounts: Recorder, victim: Victim, hits: Hits | int, expected: list[int]
) -> None:
    mounts.begin([], Sites())
    victim.does("mount", 1)
    first = mounts.end()
    known = [site for site, _ in mounts.known() if site.call == "mount"]
    chosen = next(s for s in known if first.counts.get(s.id) == 1)
    mounts.begin([], Sites(fail=(chosen.id,), hits=hits))
    assert victim.does("mount", 3) == expected
    run = mounts.end()
    assert run.failed == (sum(map(bool, expected)),)
    assert victim.does("mount", 1) == [0]  # once a run has ended nothing fails


def test_a_pair_of_sites_fails(mounts: Recorder, site: Site, victim: Victim) -> None:
    mounts.begin([], Sites())
    victim.does("mount", 1)
    counts = mounts.end().counts
    known = [each for each, _ in mounts.known() if each.call == "mount"]
    pair = [each.id for each in known if counts.get(each.id) == 1][:2]
    mounts.begin([], Sites(fail=tuple(pair)))
    assert victim.does("mount", 4) == [errno.ENOMEM, errno.ENOMEM, 0, 0]
    assert mounts.end().failed == (1, 1)


def test_a_site_fails_in_the_phases_that_were_asked_for(
    mounts: Recorder, site: Site, victim: Victim
) -> None:
    mounts.begin([], Sites(fail=(site.id,), hits=Hits.PERSISTENT, phases=(Phase.STOP,)))
    assert victim.does("mount", 1) == [0]
    mounts.set_phase(Phase.STOP)
    assert victim.does("mount", 1) == [errno.ENOMEM]
    mounts.set_phase(Phase.WORK)
    assert victim.does("mount", 1) == [0]
    assert mounts.end().failed == (1,)


def test_other_calls_are_looked_at_only_when_a_request_has_failed(
    mounts: Recorder, site: Site, victim: Victim
) -> None:
    def calls() -> set[str]:
        return {each.call for each, count in mounts.known() if count}

    mounts.begin([], Sites())
    victim.does("mount", 1)
    every = calls()
    assert every > {"mount"}
    mounts.begin([], Sites(fail=(site.id,), phases=(Phase.STOP,), every=False))
    assert victim.does("mount", 2) == [0, 0]
    assert calls() == {"mount"}
    mounts.set_phase(Phase.STOP)
    assert victim.does("mount", 2) == [errno.ENOMEM, 0]
    assert calls() == every
    run = mounts.end()
    assert (set(run.counts), run.failed) == ({site.id}, (1,))


def test_processes_come_into_scope_before_their_first_instruction(arm: Arm) -> None:
    fault = arm(recording("later", Scope(later=True)))
    recorder = recorder_of(fault)
    runs = []
    for _ in range(3):
        command = ["sh", "-c", 'read x; exec "$@"', "sh", "true"]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as held:
            recorder.begin([held.pid], Sites())
            held.communicate(b"\n", timeout=60)
        runs.append(recorder.end())
    sites = {site.id: site for site, _ in recorder.known()}
    assert runs[0].counts
    assert any(site.in_exec for site in sites.values())
    assert any(site.by is By.PAGE_FAULT for site in sites.values())
    # The same program comes to the same places.
    again = set(runs[1].counts) & set(runs[2].counts)
    assert len(again) >= 0.9 * len(set(runs[1].counts) | set(runs[2].counts))
    with pytest.raises(InvalidFault, match="may be hit"):
        recorder.begin([1], Sites())
    assert fault.disarm() == []


def test_an_id_is_the_same_for_another_fault(arm: Arm, site: Site, victim: Victim) -> None:
    scope, limits = Scope(pids=(victim.pid,)), Limits(duration=600)
    sites = Sites(fail=(site.id,), hits=Hits.PERSISTENT)
    fault = arm(Fault("one-site", Kind.SLAB, scope, limits=limits, sites=sites))
    assert victim.does("mount", 2) == [errno.ENOMEM] * 2
    assert fault.disarm() == []
    counters = fault.counters()
    assert counters["injected"] == 2
    assert counters["held_site"] == counters["matched"] - 2
    assert recorder_of(fault).known()

"""An exploration in throwaway guests: a guest that is lost is an outcome, and the next goes on.

Each guest plays a share of the sites, and writes to a file of its own that it shares with this
machine: what it has found is there when it is lost.  The first guest finds the sites of the
baseline, which the others begin with.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from chaoskernel.errors import ChaosKernelError, LostGuest, TimeLimit
from chaoskernel.explore import store
from chaoskernel.explore.findings import Findings, Result
from chaoskernel.explore.loop import Watch
from chaoskernel.explore.outcome import Outcome
from chaoskernel.explore.plan import Plan, why_left_out
from chaoskernel.lab import guest
from chaoskernel.lab.kernel import Kernel

DAMAGED_STATUS = 75
"""Exit status of a guest whose surroundings are damaged (EX_TEMPFAIL): the next one goes on."""

_LONGEST = 24 * 3600.0
_MOST_LOST = 3
"""Guests that end one after another without a result."""

_LOOK_SECONDS = 1.0


class Guests(NamedTuple):
    """What guests are like.

    :param jobs: how many at a time.
    :param run: boots a guest; see `lab.guest.run`.
    """

    kernel: Kernel
    machine: guest.Machine
    jobs: int = 1
    run: Callable[..., int] = guest.run


def explore(path: Path, plan: Plan, guests: Guests, watch: Watch) -> Findings:
    """Explore in guests, and write all results to one file; an interrupted one goes on.

    :param path: the file; until it is complete, the guests' own are in a directory beside it.
    :raises ChaosKernelError: the baseline does not work, or guests end without a result.
    """
    directory = path.with_name(f"{path.name}.lab")
    directory.mkdir(exist_ok=True)
    output = directory / "output"
    base = directory / "base.jsonl"
    if not base.exists():
        _begin(directory, plan)
        _play([_Share(directory / "0.jsonl", 0)], directory, guests, output, watch)
        (directory / "0.jsonl").rename(base)
    shares = [_Share(directory / f"{number}.jsonl", number) for number in range(guests.jobs)]
    for share in shares:
        if not share.path.exists():
            _derive(base, share, plan, guests.jobs)
    _play(shares, directory, guests, output, watch)
    merged = list(_merged([share.path for share in shares], plan))
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text("".join(f"{json.dumps(each)}\n" for each in merged), encoding="utf-8")
    partial.rename(path)
    shutil.rmtree(directory)
    return store.read(path)


class _Share(NamedTuple):
    path: Path
    number: int


def _begin(directory: Path, plan: Plan) -> None:
    """Leave what the first guest reads: it plays the baselines alone."""
    first = dataclasses.replace(plan, budget=0.0, sites=0)
    text = json.dumps({**first.to_json(), "alone": True})
    (directory / "plan.json").write_text(text, encoding="utf-8")


def _derive(base: Path, share: _Share, plan: Plan, of: int) -> None:
    """Make the file of a share: the baseline's, with the plan of this one."""
    head, *others = base.read_text(encoding="utf-8").splitlines()
    mine = dataclasses.replace(plan, shard=(share.number, of))
    first = json.dumps({**json.loads(head), "plan": mine.to_json()})
    kept = [line for line in others if json.loads(line)["record"] != "end"]
    share.path.write_text("".join(f"{line}\n" for line in (first, *kept)), encoding="utf-8")


def _play(
    shares: Sequence[_Share], directory: Path, guests: Guests, output: Path, watch: Watch
) -> None:
    """Boot guests until each share is complete; each in a thread that lives as long as it."""
    troubles: list[ChaosKernelError] = []

    def play(share: _Share) -> None:
        try:
            _play_share(share, directory, guests, output.with_suffix(f".{share.number}"))
        except ChaosKernelError as error:
            troubles.append(error)

    threads = [threading.Thread(target=play, args=(share,), daemon=True) for share in shares]
    for thread in threads:
        thread.start()
    begun = time.monotonic()
    while alive := [thread for thread in threads if thread.is_alive()]:
        alive[0].join(_LOOK_SECONDS)
        _show(shares, begun, watch)
    if troubles:
        raise troubles[0]


def _show(shares: Sequence[_Share], begun: float, watch: Watch) -> None:
    known = []
    for share in shares:
        try:
            known.append(store.read(share.path))
        except ChaosKernelError:  # it is not there yet
            continue
    if not known or not known[0].sites:
        return
    together = known[0]
    for each in known[1:]:
        together.results.update(each.results)
        together.sites.update(each.sites)
    done = len(together.results)
    waiting = max(0, len(_to_try(together)) - done)
    passed = time.monotonic() - begun
    watch.progress(together, waiting, passed / done * waiting if done else None)


def _to_try(findings: Findings) -> list[str]:
    return [
        found.site.id
        for found in findings.sites.values()
        if not why_left_out(findings.plan, found.site, found.phases)
        for _ in findings.plan.hits
    ]


def _play_share(share: _Share, directory: Path, guests: Guests, output: Path) -> None:
    """Boot one guest after another until a share is complete.

    :raises ChaosKernelError: the exploration fails in the guest, or guests end without a result.
    """
    fruitless = 0
    while True:
        before = _number_of_results(share.path)
        lost = ""
        try:
            with output.open("wb") as said:
                status = _boot(share, directory, guests, said)
        except (LostGuest, TimeLimit) as error:
            last_words = error.hint if isinstance(error, LostGuest) else ""
            status, lost = DAMAGED_STATUS, "; ".join(filter(None, (error.message, last_words)))
            _note_lost(share.path, lost)
        if status == 0:
            return
        text = output.read_text(encoding="utf-8", errors="replace").strip()
        last = (text.splitlines() or [f"the guest's exploration ended with status {status}"])[-1]
        if status != DAMAGED_STATUS:
            raise ChaosKernelError(last)
        fruitless = 0 if _number_of_results(share.path) > before else fruitless + 1
        if fruitless >= _MOST_LOST:
            raise LostGuest(
                f"{fruitless} guests ended one after another without a result: {lost or last}",
                hint=f"what they said is in {directory}",
            )


def _boot(share: _Share, directory: Path, guests: Guests, said: Any) -> int:
    here = Path(sys.executable).with_name("chaoskernel")
    program = "chaoskernel" if guests.kernel.root else str(here)
    words = [program, "explore", "--guest", str(directory), "--state", str(share.path)]
    return guests.run(
        guests.kernel,
        words,
        seconds=_LONGEST,
        machine=guests.machine,
        rw=[directory],
        env={"TMPDIR": "/tmp"},  # noqa: S108 - a file system in memory, in a guest of its own
        stdout=said,
        stderr=said,
    )


def _number_of_results(path: Path) -> int:
    return len(store.read(path).results) if path.exists() else 0


def _note_lost(path: Path, why: str) -> None:
    """Keep that the guest was lost while an attempt was tried."""
    if not path.exists():
        return
    with store.resume(path) as opened:
        attempt = opened.findings.trying
        if attempt and attempt.sites:
            result = Result(
                attempt,
                Outcome.KERNEL,
                "the guest was lost",
                tries=(Outcome.KERNEL,),
                kernel=(why,),
            )
            opened.add("result", result=result.to_json())


def _merged(paths: Sequence[Path], plan: Plan) -> Iterator[Mapping[str, Any]]:
    """Yield the records of all shares as those of one exploration."""
    seen: set[str] = set()
    whys: list[str] = []
    longest = 0.0
    for number, path in enumerate(paths):
        lines = path.read_text(encoding="utf-8").splitlines()
        for line in lines:
            record = json.loads(line)
            longest = max(longest, record.get("seconds", 0.0))
            if record["record"] == "plan":
                if not number:
                    yield {**record, "plan": plan.to_json()}
                continue
            if record["record"] in ("trying", "end"):
                whys += [record["why"]] if record["record"] == "end" else []
                continue
            key = json.dumps({name: each for name, each in record.items() if name != "seconds"})
            if key not in seen and (record["record"] != "baseline" or not number):
                yield record
            seen.add(key)
    ends = [why for why in whys if why != "complete"]
    yield {"record": "end", "why": ends[-1] if ends else "complete", "seconds": longest}

"""The keeper, for real: programs are held, let go, waited for and ended, and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskernel.errors import MissingTool
from chaoskernel.explore import keeper
from chaoskernel.explore.keeping import Keeping, keeping, text_of
from tests.waiting import within

ENV = dict(os.environ)


@pytest.fixture
def kept() -> Iterator[Keeping]:
    with keeping() as one:
        yield one


def alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


def test_program_is_held_before_its_exec_until_it_is_let_go(kept: Keeping) -> None:
    place = kept.fresh()
    program = kept.start(("sh", "-c", "echo $PWD; exit 3"), place, ENV, hold=True)
    assert Path(f"/proc/{program.pid}/comm").read_text(encoding="utf-8").strip() == "chaos-keeper"
    assert kept.wait(program, 0.2) is None
    kept.release(program)
    ended = kept.wait(program, 10)
    assert ended is not None
    assert ended.ending.status == 3
    assert text_of(program).decode() == f"{place}\n"


@pytest.mark.parametrize("trace", [False, True])
def test_signal_that_ends_a_program_is_named(kept: Keeping, trace: bool) -> None:
    program = kept.start(("sh", "-c", "kill -SEGV $$"), kept.fresh(), ENV, trace=trace)
    ended = kept.wait(program, 10)
    assert ended is not None
    assert (ended.ending.status, ended.ending.signal) == (None, "SIGSEGV")


def test_descriptors_and_memory_are_counted_when_a_program_exits(kept: Keeping) -> None:
    small = kept.start(("sh", "-c", "exec true"), kept.fresh(), ENV, trace=True)
    code = "import os; kept = bytearray(64 << 20); [os.open('/', 0) for _ in range(9)]; os._exit(0)"
    large = kept.start((sys.executable, "-S", "-c", code), kept.fresh(), ENV, trace=True)
    ended = [kept.wait(each, 20) for each in (small, large)]
    assert [each and each.descriptors for each in ended] == [3, 12]
    assert [each and each.ending.memory > 64 << 20 for each in ended] == [False, True]


def test_program_has_no_signal_ignored_and_no_descriptor_that_is_not_its_own(
    kept: Keeping,
) -> None:
    code = (
        "import os, signal; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1], "
        "[n for n in (1, 2, 15, 13, 17) if signal.getsignal(n) == signal.SIG_IGN])"
    )
    program = kept.start((sys.executable, "-S", "-c", code), kept.fresh(), ENV)
    assert kept.wait(program, 10) is not None
    assert text_of(program).decode() == "[0, 1, 2] [13]\n"  # Python ignores SIGPIPE itself


def test_stopped_program_can_be_continued_while_it_is_traced(kept: Keeping) -> None:
    program = kept.start(("sh", "-c", "kill -STOP $$; exit 5"), kept.fresh(), ENV, trace=True)
    assert kept.wait(program, 0.5) is None
    kept.signal(program, signal.SIGCONT)
    ended = kept.wait(program, 10)
    assert ended is not None
    assert ended.ending.status == 5


def test_end_kills_what_has_left_its_parent_and_its_session(kept: Keeping) -> None:
    place = kept.fresh()
    text = "setsid sh -c 'sleep 1000 & echo $! >left; sleep 1001' & sleep 0.3"
    program = kept.start(("sh", "-c", text), place, ENV)
    assert kept.wait(program, 10) is not None
    left = int((place / "left").read_text(encoding="ascii"))
    assert alive(left)
    assert kept.end() >= 2
    assert not alive(left)


def test_process_that_does_not_end_when_it_is_killed_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = tmp_path / "keeper.py"
    patient.write_text(
        "import os\nos.kill = lambda *_: None\n"
        f"text = open({keeper.__file__!r}).read().replace('_SECONDS = 20.0', '_SECONDS = 0.3')\n"
        f"exec(compile(text, {keeper.__file__!r}, 'exec'))\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(keeper, "__file__", str(patient))
    with keeping() as kept:
        program = kept.start(("sleep", "60"), kept.fresh(), ENV)
        kept.end()
        (said,) = kept.stuck()
        assert said.startswith(f"process {program.pid} (sleep) was killed and does not end")
        begun = time.monotonic()
        kept.end()
        assert (kept.stuck(), time.monotonic() - begun < 0.3) == ((), True)
    assert within(10, lambda: not alive(program.pid))


def test_exec_that_fails_is_reported_by_its_error_number(kept: Keeping) -> None:
    place = kept.fresh()
    broken = place / "broken"
    broken.write_text("#!/no/such/interpreter\n", encoding="ascii")
    broken.chmod(0o755)
    program = kept.start((str(broken),), place, ENV)
    ended = kept.wait(program, 10)
    assert ended is not None
    assert (ended.ending.status, ended.ending.not_started) == (127, 2)


def test_missing_command_is_one_line(kept: Keeping) -> None:
    with pytest.raises(MissingTool, match="no-such-thing: there is no such command; install"):
        kept.start(("no-such-thing",), kept.fresh(), ENV)


def test_each_run_begins_in_an_empty_directory(kept: Keeping) -> None:
    first = kept.fresh()
    (first / "file").touch()
    assert list(kept.fresh().iterdir()) == []


def test_directory_of_an_explorer_killed_with_its_keeper_goes_with_the_next_one() -> None:
    text = (
        "import time\nfrom chaoskernel.explore.keeping import keeping\n"
        "with keeping() as kept:\n    print(kept.fresh(), flush=True)\n    time.sleep(100)\n"
    )
    with subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        root = Path(child.stdout.readline().strip()).parent
        for pid in (*keeper.descendants(child.pid), child.pid):
            os.kill(pid, signal.SIGKILL)
    os.utime(root, (0, 0))  # new ones are left alone
    with keeping():
        assert not root.exists()


@pytest.mark.parametrize("hold", ["True", "False"])
def test_killed_explorer_leaves_neither_a_process_nor_a_directory(
    tmp_path: Path, hold: str
) -> None:
    text = (
        "import os, time\nfrom chaoskernel.explore.keeping import keeping\n"
        "with keeping() as kept:\n"
        "    place = kept.fresh()\n"
        f"    pid = kept.start(('sleep', '1000'), place, dict(os.environ), hold={hold}).pid\n"
        "    print(place, pid, flush=True)\n    time.sleep(100)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, env={**ENV}
    ) as child:
        assert child.stdout is not None
        place, pid = child.stdout.readline().split()
        child.kill()
    assert within(10, lambda: not alive(int(pid)) and not Path(place).parent.exists())


def test_keeper_needs_nothing_but_the_standard_library() -> None:
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-I", "-S", keeper.__file__, "/tmp/chaoskernel-keeper-test"],
        input=b"",
        check=True,
        timeout=20,
    )
    assert done.returncode == 0
    assert time.monotonic() - started < 20

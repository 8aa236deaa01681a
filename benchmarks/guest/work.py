"""What an injection costs programs in their work: a server, a database, a disk, a build.

Each job is a shell that runs its commands for each line that it reads; the processes that it
starts are in scope with it.
"""

from __future__ import annotations

import contextlib
import functools
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from benchmarks.guest.contenders import NEVER, Arm, armed, fault
from benchmarks.guest.peers import BPFTRACE, bpftrace_program, like_inject_py, peers, running
from chaoskernel.fault.hooks import Kind

NOTHING, OUT = "nothing attached", "core, out of scope"
TECHNIQUE = "inject.py's technique, a frame is never entered"

SHORT, SHORT_JOB = (NOTHING, OUT, TECHNIQUE), "null_blk: reads of 4 KiB"
"""What is enough to see that the ratios are as they were."""

_HOOKS = {Kind.SLAB: "should_failslab", Kind.BIO: "should_fail_bio"}
_SOCKET = "/tmp/redis.sock"  # noqa: S108 - of a machine that ends with the measurement


class Work(NamedTuple):
    """A job of programs as a distribution ships them; its words are a shell's.

    :param operations: how many a run makes; `run` has it as $n.
    :param kind: the fault whose hook the job comes by.
    :param prepare: what is done before all runs.
    :param run: what each run does.
    :param clean: what is done at the end.
    """

    name: str
    operations: int
    kind: Kind
    prepare: str
    run: str
    clean: str = ":"

    @property
    def script(self) -> str:
        """What the shell does: a line when it is ready, and one for each run."""
        return (
            f"set -e; cd /tmp; n={self.operations}; trap '{self.clean}' EXIT\n"
            f"{self.prepare}\necho ready\nwhile read line; do\n{self.run}\necho done\ndone\n"
        )


ALL = (
    Work(
        "redis: GET and SET",
        4000,
        Kind.SLAB,
        f"redis-server --port 0 --unixsocket {_SOCKET} --save '' --appendonly no >redis.log &\n"
        f"server=$!; until [ -S {_SOCKET} ]; do sleep 0.1; done",
        f"redis-benchmark -s {_SOCKET} -c 1 -t get,set -n $((n / 2)) -q >benchmark.log",
        f"kill $server; wait; rm {_SOCKET}",
    ),
    Work(
        "sqlite3: transactions",
        200,
        Kind.SLAB,
        "mkfs.ext4 -Fq -E lazy_itable_init=0,lazy_journal_init=0 /dev/ram0\n"
        "mkdir -p disk; mount /dev/ram0 disk\n"
        "sqlite3 disk/db 'create table t(id integer primary key, words text)'\n"
        "i=0; { echo 'delete from t;'; while [ $i -lt $n ]; do\n"
        "i=$((i + 1)); echo \"insert into t(words) values('line $i');\"; done; } >transactions",
        "sqlite3 disk/db <transactions",
        "umount disk",
    ),
    Work(
        "null_blk: reads of 4 KiB",
        10_000,
        Kind.BIO,
        "",
        "dd if=/dev/nullb0 of=/dev/null bs=4k count=$n iflag=direct status=none",
    ),
    Work(
        "a build: fork and exec",
        40,
        Kind.SLAB,
        "seq 300 >source",
        "i=0; while [ $i -lt $n ]; do i=$((i + 1)); sed s/1/2/ source >object; done",
    ),
)


def group_of(work: Work) -> str:
    """Return what the facts of a job are called."""
    return f"work: {work.name}"


def steps(
    bystander: int, *, short: bool
) -> Iterator[tuple[str, str, Callable[[], dict[str, Any]]]]:
    """Yield what is measured: group, name, and what measures it."""
    for each in ALL:
        for name, arm in contenders(each, bystander):
            if not short or (each.name == SHORT_JOB and name in SHORT):
                yield group_of(each), name, functools.partial(measure, each, arm)


class _Shell:
    """A shell that does a job for each line; see `Work.script`."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", work.script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self._wait()

    def run(self) -> float:
        """Return the nanoseconds of an operation."""
        assert self._process.stdin
        begun = time.monotonic_ns()
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._wait()
        return (time.monotonic_ns() - begun) / self._work.operations

    def end(self) -> None:
        """End the shell, and what it has started."""
        self._process.communicate()

    def _wait(self) -> None:
        assert self._process.stdout
        if not self._process.stdout.readline():
            raise OSError(f"{self._work.name}: the shell ended with {self._process.wait()}")


def contenders(work: Work, bystander: int) -> Iterator[tuple[str, Arm]]:
    """Yield what is compared, by name."""
    hook = _HOOKS[work.kind]
    yield NOTHING, lambda _: contextlib.nullcontext()
    yield "floor: an empty fmod_ret", lambda _: peers(("floor_fmod_ret", hook))
    yield OUT, lambda _: armed(fault([bystander], kind=work.kind))
    yield (
        "core, in scope, a frame is never entered",
        lambda pid: armed(fault([pid], [NEVER], kind=work.kind)),
    )
    yield (
        "core, in scope, would inject (dry run)",
        lambda pid: armed(fault([pid], kind=work.kind, dry_run=True)),
    )
    yield (
        TECHNIQUE,
        lambda _: like_inject_py([NEVER], hook),
    )
    watch = (*BPFTRACE, bpftrace_program(NEVER, hook=hook))
    yield "bpftrace, a frame is never entered", lambda _: running(watch, hook, NEVER)


def measure(work: Work, arm: Arm) -> dict[str, Any]:
    """Do a job twice under a contender: how long an operation took."""
    shell = _Shell(work)
    try:
        with arm(shell.pid):
            shell.run()  # what is made at the first use is made now
            return {"ns": [shell.run(), shell.run()]}
    finally:
        shell.end()

"""The actions about faults of this host: start one, and stop it.

chaoskernel.actions passes them on, and its text says why types are plain.
"""

from chaoskernel.backend.backends import shared
from chaoskernel.chaosmesh import registry
from chaoskernel.errors import EngineError
from chaoskernel.toolkit import arguments, presence
from chaoskernel.toolkit.activity import List, failing_in_one_line

_STARTED = (
    "name",
    "hook",
    "hooks",
    "mechanism",
    "proof",
    "engine",
    "targets",
    "callchain",
    "left_out",
    "armed_at",
    "expires_at",
)


def start_injection(
    name: str,
    fault: str = "slab",
    callchain: List = None,
    probability: float = 100.0,
    times: int = 0,
    duration: str = "5m",
    pids: List = None,
    pid_files: List = None,
    commands: List = None,
    cgroups: List = None,
    containers: List = None,
    system_wide: bool = False,
    mechanism: str = "auto",
    engine: str = "auto",
    function: str = "",
    errno: str = "",
    parameters: str = "",
    predicate: str = "",
    headers: List = None,
    paths: List = None,
    devices: List = None,
    any_file: bool = False,
    peers: List = None,
    dry_run: bool = False,
    stand_in: bool = False,
    page_faults: bool = False,
    stacks: str = "sample",
    site: str = "",
    hits: str = "once",
    sites: bool = False,
) -> dict:
    """Make kernel requests fail from now on, and return once the fault is in force.

    A scope is required: any of pids, pid_files, commands, cgroups and containers, which
    add up, or system_wide.

    :param name: names the fault in the other activities; a name is free again
        once its fault has ended.
    :param fault: what fails: slab, page, bio or function; allocation, memory, read, write,
        open, create, remove, rename, truncate, stat, lock, mmap, fork, exec, socket, connect,
        bind, accept, send, recv, mount, ipc, signal, fsync, close, poll or io_uring_enter.
    :param callchain: kernel functions, outermost first, that must be active on
        the thread; each a name or {"funcname": name, "parameters": "struct dentry
        *parent, const struct qstr *name", "predicate": "STRNCMP(name->name,
        \"bananas\", 8)"}.  Empty fails every request.
    :param probability: percent of the requests that fail.
    :param times: how many requests fail at most; 0 is no limit.
    :param duration: when the fault ends by itself, such as 30s or 1h30m.
    :param pids: process ids; descendants are included.
    :param pid_files: files that each hold such a process id.
    :param commands: names of commands, as in /proc/PID/comm; descendants are included.
    :param cgroups: control groups by path; descendants are included.
    :param containers: ids of containers on this host.
    :param system_wide: true hits every process of the host.
    :param mechanism: auto, fmod_ret or kprobe.
    :param engine: auto, core or bcc; core takes the kernel's types (BTF), and bcc a compiler
        and the kernel's headers.  none attaches nothing: a rehearsal, with dry_run.
    :param function: for a fault of a function, its name: one of the kernel's
        error-injection list, such as sys_openat.
    :param errno: what the program gets, such as EMFILE; a kind that has one of its own takes
        none, and each other but function has a usual one.
    :param parameters: for a fault of a function, its parameters in C.
    :param predicate: a C expression on the hook's own arguments: s and gfpflags of
        slab, gfp_mask and order of page, bio of bio, the parameters of a function.
    :param headers: what the predicates need, such as linux/blkdev.h.
    :param paths: for a fault about files: files, and directories with all below them; with
        containers, as these see them.
    :param devices: for a fault about files: block devices that are mounted, or mount points.
    :param any_file: true hits every file, standard streams too; read and write want it said.
    :param peers: for a fault of connect, send or recv: whom the socket talks to; of bind or
        accept: its own address.  10.0.0.0/8, 10.0.0.5:5432, :5432, [2001:db8::/32]:443,
        unix:/run/x.sock, unix:@name.
    :param dry_run: true lets everything through, and counts what would have failed
        as held_dry_run.
    :param stand_in: true arms allocation in place of slab, or memory in place of page, where
        the kernel lacks the hook, and only there.
    :param page_faults: true fails requests of page faults too, where every request of slab or
        page fails; the kernel tries such a page fault again, until the fault ends.
    :param stacks: which of the injections that are kept as events have the kernel's stack, which
        is most of what one costs: sample, the first ones and those of each sort, and some of the
        others; all; or none.  Counters are exact in any case.
    :param site: the id of a site, as the probe `sites` tells it: requests fail there alone.
        Two ids with a comma between them fail both.
    :param hits: which requests at the site fail: once is the first one, persistent is all of
        them, and a number is that one.
    :param sites: true records the sites of all requests, and fails none.
    :returns: name, hook, hooks, mechanism, engine, targets, callchain, left_out, armed_at,
        expires_at; and warnings, where something does not work on this kernel as it should.
        left_out names callers who get past a system call of the fault: 32-bit programs.
        Where a stand-in was armed, stand_in_for is what was asked for, and fault what is armed.
    :raises ActivityFailed: nothing is injected, and nothing was left behind.
    """
    with failing_in_one_line():
        description = arguments.host_fault(
            name=name,
            fault=fault,
            pids=pids,
            pid_files=pid_files,
            commands=commands,
            cgroups=cgroups,
            containers=containers,
            system_wide=system_wide,
            callchain=callchain,
            probability=probability,
            times=times,
            duration=duration,
            mechanism=mechanism,
            engine=engine,
            function=function,
            errno=errno,
            parameters=parameters,
            predicate=predicate,
            headers=headers,
            paths=paths,
            devices=devices,
            any_file=any_file,
            peers=peers,
            dry_run=dry_run,
            stand_in=stand_in,
            page_faults=page_faults,
            stacks=stacks,
            site=site,
            hits=hits,
            sites=sites,
        )
        presence.require(shared().records())
        started = shared().start(description).to_json()
    return told(started)


def stop_injection(name: str = "") -> dict:
    """End a fault, or all faults of this run, and verify that nothing is attached.

    Ending all of them ends the schedules too, so that no tick injects again.  Nothing to
    stop is not a failure, so that this serves as a rollback.

    :param name: the fault's name; empty for all.
    :returns: `faults`: for each fault that was started, what it was, where and when
        it was in force, why it ended, and its final `counters`.
    :raises ActivityFailed: a program of a fault is still loaded.
    """
    with failing_in_one_line():
        name = arguments.fault_name(name)
        left = [] if name else registry.shared().delete_all()
        stopped = shared().stop(name)
        if left:
            raise EngineError(", and ".join(left))
        return {"faults": [record.to_json() for record in stopped]}


def told(started: dict) -> dict:
    """Return what a start returns of a record: warnings where there are some."""
    said = [*_STARTED, "warnings"]
    if "stand_in_for" in started:
        said += ["fault", "stand_in_for"]
    return {key: started[key] for key in said if key in started}

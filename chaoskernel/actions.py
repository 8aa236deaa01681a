"""Actions: start a kernel fault, and stop it; apply a KernelChaos document, pause it, delete it.

Arguments become a Fault, and the target of this process does the rest.  Types are
plain, and annotations are evaluated: `chaos discover` shows anything else as
"object", which breaks `chaos init`.
"""

from chaoskernel import applied, syntax
from chaoskernel import manifest as documents
from chaoskernel.activity import failing_in_one_line
from chaoskernel.errors import EngineError
from chaoskernel.local import shared
from chaoskernel.spec import Fault, Limits, engine_named, errno_of, hook_named, mechanism_named

__all__ = [
    "apply_kernel_chaos",
    "delete_kernel_chaos",
    "pause_kernel_chaos",
    "resume_kernel_chaos",
    "start_injection",
    "stop_injection",
]

_STARTED = (
    "name",
    "hook",
    "mechanism",
    "engine",
    "targets",
    "callchain",
    "armed_at",
    "expires_at",
)


def start_injection(
    name: str,
    fault: str = "slab",
    callchain: list = None,
    probability: float = 100.0,
    times: int = 0,
    duration: str = "5m",
    pids: list = None,
    pid_files: list = None,
    commands: list = None,
    cgroups: list = None,
    containers: list = None,
    system_wide: bool = False,
    mechanism: str = "auto",
    engine: str = "auto",
    function: str = "",
    errno: str = "",
    parameters: str = "",
    predicate: str = "",
    headers: list = None,
    dry_run: bool = False,
) -> dict:
    """Make kernel requests fail from now on, and return once the fault is in force.

    A scope is required: pids, pid_files, commands, cgroups and containers add up to
    one, or system_wide is.

    :param name: names the fault in the other activities; a name is free again
        once its fault has ended.
    :param fault: what fails: slab, page, bio, or function.
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
        and the kernel's headers.
    :param function: for a fault of a function, its name: one of the kernel's
        error-injection list, such as sys_openat.
    :param errno: for a fault of a function, what it returns, such as EMFILE.
    :param parameters: for a fault of a function, its parameters in C.
    :param predicate: a C expression on the hook's own arguments: s and gfpflags of
        slab, gfp_mask and order of page, bio of bio, the parameters of a function.
    :param headers: what the predicates need, such as linux/blkdev.h.
    :param dry_run: true lets everything through, and counts what would have failed
        as held_dry_run.
    :returns: name, hook, mechanism, engine, targets, callchain, armed_at, expires_at.
    :raises ActivityFailed: nothing is injected, and nothing was left behind.
    """
    with failing_in_one_line():
        description = Fault(
            name=name,
            hook=hook_named(fault),
            scope=syntax.scope(
                pids=pids,
                pid_files=pid_files,
                commands=commands,
                cgroups=cgroups,
                containers=containers,
                system_wide=system_wide,
            ),
            callchain=syntax.frames(callchain or []),
            limits=Limits(probability, times, syntax.duration(duration)),
            mechanism=mechanism_named(mechanism),
            engine=engine_named(engine),
            function=function,
            errno=errno_of(errno or 0),
            parameters=syntax.parameters(parameters),
            predicate=syntax.expression(predicate),
            headers=syntax.headers(headers or []),
            dry_run=dry_run,
        )
        started = shared().start(description).to_json()
    return {key: started[key] for key in _STARTED}


def stop_injection(name: str = "") -> dict:
    """End a fault, or all faults of this run, and verify that nothing is attached.

    Ending all of them ends the schedules too, so that no tick injects again.  Nothing to
    stop is not a failure, so that this serves as a rollback.

    :param name: the fault's name; empty for all.
    :returns: `faults`: for each fault that was started, what it was, where and when
        it was in force, why it ended, and its final `counters`.
    :raises ActivityFailed: a program of a fault is loaded still.
    """
    with failing_in_one_line():
        left = [] if name else list(applied.shared().delete_all())
        stopped = shared().stop(name)
        if left:
            raise EngineError(", and ".join(left))
        return {"faults": [record.to_json() for record in stopped]}


def apply_kernel_chaos(
    manifest: str,
    pids: list = None,
    pid_files: list = None,
    commands: list = None,
    cgroups: list = None,
    containers: list = None,
    system_wide: bool = False,
    mechanism: str = "auto",
    engine: str = "auto",
    dry_run: bool = False,
) -> dict:
    """Inject what KernelChaos and Schedule documents (chaos-mesh.org/v1alpha1) say.

    On one host there are no pods: the scope of these arguments takes the place of the
    documents' selection.  A document that is paused, or has a schedule, injects later.

    :param manifest: the path of a file, or the text itself, in YAML or JSON; it may hold
        several documents.
    :param pids: process ids; descendants are included.
    :param pid_files: files that each hold such a process id, read at each injection.
    :param commands: names of commands, as in /proc/PID/comm; descendants are included.
    :param cgroups: control groups by path; descendants are included.
    :param containers: ids of containers on this host.
    :param system_wide: true hits every process of the host.
    :param mechanism: auto, fmod_ret or kprobe.
    :param engine: auto, core or bcc; core takes the kernel's types (BTF), and bcc a compiler
        and the kernel's headers.
    :param dry_run: true lets everything through, and counts what would have failed.
    :returns: `applied`: the state of each, as kernel_chaos_state returns it.
    :raises ActivityFailed: nothing is injected, and nothing was left behind.
    """
    with failing_in_one_line():
        scope = syntax.scope(
            pids=pids,
            pid_files=pid_files,
            commands=commands,
            cgroups=cgroups,
            containers=containers,
            system_wide=system_wide,
        )
        manner = applied.Manner(
            lambda: scope, mechanism_named(mechanism), engine_named(engine), dry_run
        )
        new = [applied.Applied(chaos, manner, shared()) for chaos in documents.load(manifest)]
        applied.shared().apply(new)
        return {"applied": [each.state() for each in new]}


def delete_kernel_chaos(name: str, namespace: str = "default") -> dict:
    """End what apply_kernel_chaos began, its schedule too; verify that nothing is attached.

    Nothing to delete is not a failure, so that this serves as a rollback.

    :returns: `faults`: each injection, as stop_injection returns it.
    :raises ActivityFailed: a program of a fault is loaded still.
    """
    with failing_in_one_line():
        runs = applied.shared().delete(name, namespace)
        return {"faults": [record.to_json() for record in runs]}


def pause_kernel_chaos(name: str, namespace: str = "default") -> dict:
    """Recover from a KernelChaos, and inject nothing until it is resumed.

    :returns: its state, as kernel_chaos_state returns it.
    :raises ActivityFailed: there is none of that name, or it is attached still.
    """
    with failing_in_one_line():
        found = applied.shared().get(name, namespace)
        found.pause()
        return found.state()


def resume_kernel_chaos(name: str, namespace: str = "default") -> dict:
    """Inject again what is left of a KernelChaos that is paused.

    Its duration has gone on meanwhile, and of its times those that were used are used.

    :returns: its state, as kernel_chaos_state returns it.
    :raises ActivityFailed: there is none of that name, or nothing is injected.
    """
    with failing_in_one_line():
        found = applied.shared().get(name, namespace)
        found.resume()
        return found.state()

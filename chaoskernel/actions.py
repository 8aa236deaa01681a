"""Actions: start a kernel fault, and stop it; apply a KernelChaos document, pause it, delete it.

Arguments become a Fault, and the target of this process does the rest.  Types are
plain, and annotations are evaluated: `chaos discover` shows anything else as
"object", which breaks `chaos init`.
"""

import dataclasses
import functools

from chaoskernel.backend.backends import shared
from chaoskernel.backend.record import Backend
from chaoskernel.chaosmesh import applied
from chaoskernel.chaosmesh import manifest as documents
from chaoskernel.chaosmesh.manifest.arguments import selected_by
from chaoskernel.errors import EngineError, InvalidFault
from chaoskernel.explore import activities
from chaoskernel.fault import syntax
from chaoskernel.fault.arguments import fault_of
from chaoskernel.fault.checks import check_flag, check_name, is_int
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import engine_named, mechanism_named
from chaoskernel.k8s import leftovers
from chaoskernel.k8s.access import access, bounded
from chaoskernel.k8s.nodes import MAX_NODES, check_namespaces
from chaoskernel.log import logger
from chaoskernel.toolkit.activity import failing_in_one_line

__all__ = [
    "apply_kernel_chaos",
    "apply_pod_kernel_chaos",
    "delete_kernel_chaos",
    "explore",
    "pause_kernel_chaos",
    "resume_kernel_chaos",
    "start_injection",
    "start_pod_injection",
    "stop_injection",
    "stop_pod_injection",
]

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
    paths: list = None,
    devices: list = None,
    any_file: bool = False,
    peers: list = None,
    dry_run: bool = False,
    stand_in: bool = False,
    site: str = "",
    hits: str = "once",
    sites: bool = False,
) -> dict:
    """Make kernel requests fail from now on, and return once the fault is in force.

    A scope is required: pids, pid_files, commands, cgroups and containers add up to
    one, or system_wide is.

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
        description = fault_of(
            name=name,
            fault=fault,
            scope=syntax.scope(
                pids=pids,
                pid_files=pid_files,
                commands=commands,
                cgroups=cgroups,
                containers=containers,
                system_wide=system_wide,
            ),
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
            site=site,
            hits=hits,
            sites=sites,
        )
        started = shared().start(description).to_json()
    return _told(started)


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
        check_name("name", name)
        left = [] if name else applied.shared().delete_all()
        stopped = shared().stop(name)
        if left:
            raise EngineError(", and ".join(left))
        return {"faults": [record.to_json() for record in stopped]}


def start_pod_injection(
    name: str,
    fault: str = "slab",
    callchain: list = None,
    probability: float = 100.0,
    times: int = 0,
    duration: str = "5m",
    namespaces: list = None,
    label_selectors: dict = None,
    annotation_selectors: dict = None,
    expression_selectors: list = None,
    field_selectors: dict = None,
    pod_phase_selectors: list = None,
    nodes: list = None,
    node_selectors: dict = None,
    pods: dict = None,
    mode: str = "one",
    value: str = "",
    seed: int = None,
    container_names: list = None,
    all_containers: bool = False,
    mechanism: str = "auto",
    engine: str = "auto",
    function: str = "",
    errno: str = "",
    parameters: str = "",
    predicate: str = "",
    headers: list = None,
    paths: list = None,
    any_file: bool = False,
    dry_run: bool = False,
    max_nodes: int = MAX_NODES,
    system_pods: bool = False,
    jobs_namespace: str = "",
    image: str = "",
    privileged: bool = False,
    secrets: dict = None,
    stand_in: bool = False,
) -> dict:
    """Make kernel requests of pods fail, on every node that has one, and return once they do.

    Selectors are those of KernelChaos.  All nodes are armed, or none is.

    :param name: names the fault in the other activities.
    :param fault: what fails, as start_injection takes it.
    :param callchain: as start_injection takes it; so are the arguments that are not here.
    :param times: how many requests fail at most on each node; 0 is no limit.
    :param duration: when the fault ends by itself.
    :param namespaces: of the pods; default where nothing else is named.
    :param label_selectors: labels that a pod has all of.
    :param annotation_selectors: annotations that it has all of.
    :param expression_selectors: objects with key, operator and values.
    :param field_selectors: such as {"spec.nodeName": "worker-1"}.
    :param pod_phase_selectors: Running alone can be hit.
    :param nodes: names of nodes; with node_selectors, either will do.
    :param node_selectors: labels that a pod's node has all of.
    :param pods: names by namespace; they bypass the other selectors.
    :param mode: one, all, fixed, fixed-percent or random-max-percent.
    :param value: how many, or how many per cent.
    :param seed: the same one selects the same of the same pods.
    :param container_names: each pod's first where nothing is named.
    :param all_containers: true hits every container of a pod, also those that come later.
    :param paths: for a fault about files: files, and directories with all below them, as the
        containers see them; at least one container in scope of each pod has to have each.
    :param any_file: true hits every file, standard streams too; read and write want it said.
    :param dry_run: true lets everything through, and counts what would have failed.
    :param max_nodes: more are refused.
    :param system_pods: true allows the cluster's own pods, and that of the experiment.
    :param jobs_namespace: where the Jobs are made; else CHAOSKERNEL_NAMESPACE, else chaoskernel.
    :param image: of the agent; else CHAOSKERNEL_IMAGE, else localhost/chaoskernel of this version.
    :param privileged: true gives the agent every right on its node.
    :param stand_in: as start_injection takes it; each node decides for its own kernel.
    :param secrets: the cluster and its credentials, by KUBERNETES_HOST, KUBERNETES_API_KEY and
        the like; else the variables of the environment, else the kubeconfig.
    :returns: name, hook, mechanism, engine, targets, callchain, left_out, armed_at, expires_at,
        nodes; and warnings, as start_injection has them.
    :raises ActivityFailed: nothing is injected; the line names node, pod and cause.
    """
    with failing_in_one_line():
        selection = selected_by(
            mode,
            value,
            container_names,
            {
                "namespaces": namespaces,
                "labelSelectors": label_selectors,
                "annotationSelectors": annotation_selectors,
                "expressionSelectors": expression_selectors,
                "fieldSelectors": field_selectors,
                "podPhaseSelectors": pod_phase_selectors,
                "nodes": nodes,
                "nodeSelectors": node_selectors,
                "pods": pods,
            },
        )
        check_flag("all_containers", all_containers)
        if all_containers and container_names:
            raise InvalidFault(
                "all_containers", True, "possible together with container_names", hint="keep one"
            )
        # What is wrong with the fault is said before the cluster is asked anything.
        max_nodes = syntax.number("max_nodes", max_nodes)
        check_namespaces(selection, bounded(max_nodes, system_pods, None))
        seed = syntax.number("seed", seed)
        if seed is not None and not is_int(seed):
            raise InvalidFault("seed", seed, "a whole number", hint="leave it out to draw anew")
        description = fault_of(
            name=name,
            fault=fault,
            scope=Scope(system_wide=True),
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
            any_file=any_file,
            dry_run=dry_run,
            stand_in=stand_in,
        )
        reached = access(secrets, namespace=jobs_namespace, image=image, privileged=privileged)
        scope = reached.scope(
            selection,
            max_nodes=max_nodes,
            system_pods=system_pods,
            all_containers=all_containers,
            seed=seed,
        )
        record = reached.backend(shared()).start(dataclasses.replace(description, scope=scope))
        started = record.to_json()
        return {**_told(started), "nodes": record.armed["nodes"]}


def stop_pod_injection(name: str = "", jobs_namespace: str = "", secrets: dict = None) -> dict:
    """End a fault on pods, or all faults of this run, and wait for each node to confirm it.

    When this run has started none of that name, what an earlier one has left is removed.

    :param name: the fault's name; empty for all of this run.
    :param jobs_namespace: where the Jobs of an earlier run are.
    :returns: `faults`, as stop_injection returns it, and `removed`: Jobs of an earlier run.
    :raises ActivityFailed: of some nodes it could not be confirmed; the line lists them.
    """
    with failing_in_one_line():
        stopped = stop_injection(name)
        removed: list = []
        if name and not stopped["faults"]:
            reached = access(secrets, namespace=jobs_namespace)
            where = reached.settings.namespace
            found = leftovers.find(reached.cluster, where, name)
            removed = leftovers.remove(reached.cluster, where, found)
        if wrong := [f"{left.job}: {trouble}" for left, trouble in removed if trouble]:
            raise EngineError("; ".join(wrong))
        return {**stopped, "removed": [left.job for left, _ in removed]}


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
    kubernetes: bool = False,
    max_nodes: int = MAX_NODES,
    system_pods: bool = False,
    jobs_namespace: str = "",
    image: str = "",
    privileged: bool = False,
    secrets: dict = None,
    stand_in: bool = False,
) -> dict:
    """Inject what KernelChaos and Schedule documents (chaos-mesh.org/v1alpha1) say, on this host.

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
        and the kernel's headers.  none attaches nothing: a rehearsal, with dry_run.
    :param dry_run: true lets everything through, and counts what would have failed.
    :param kubernetes: deprecated, with the arguments after it: use apply_pod_kernel_chaos.
    :param stand_in: as start_injection takes it: for failtype 0 and 1.
    :returns: `applied`: the state of each, as kernel_chaos_state returns it.
    :raises ActivityFailed: nothing is injected, and nothing was left behind.
    """
    with failing_in_one_line():
        given = {
            "pids": pids,
            "pid_files": pid_files,
            "commands": commands,
            "cgroups": cgroups,
            "containers": containers,
            "system_wide": system_wide,
        }
        on_cluster: dict = {
            "max_nodes": max_nodes,
            "system_pods": system_pods,
            "jobs_namespace": jobs_namespace,
            "image": image,
            "privileged": privileged,
            "secrets": secrets,
        }
        check_flag("kubernetes", kubernetes)
        if not kubernetes:
            unasked = {"max_nodes": None} if max_nodes == MAX_NODES else {}
            hint = "use apply_pod_kernel_chaos, or leave it out"
            _refuse({**on_cluster, **unasked}, "possible on one host", hint)
            how = mechanism_named(mechanism), engine_named(engine), dry_run, stand_in
            scope = syntax.scope(**given)
            settings = applied.InjectionSettings(lambda: scope, *how)
            return _applied([(each, settings) for each in documents.load(manifest)], shared())
        _refuse(given, "possible on a cluster", "the documents select pods there")
    logger.warning(
        "apply_kernel_chaos: kubernetes: true is deprecated, and the next release refuses it; "
        "use apply_pod_kernel_chaos with the same arguments"
    )
    return apply_pod_kernel_chaos(
        manifest, mechanism, engine, dry_run, **on_cluster, stand_in=stand_in
    )


def apply_pod_kernel_chaos(
    manifest: str,
    mechanism: str = "auto",
    engine: str = "auto",
    dry_run: bool = False,
    max_nodes: int = MAX_NODES,
    system_pods: bool = False,
    jobs_namespace: str = "",
    image: str = "",
    privileged: bool = False,
    secrets: dict = None,
    stand_in: bool = False,
) -> dict:
    """Inject what KernelChaos and Schedule documents say into the pods that they select.

    Pods are selected at each injection.  delete_kernel_chaos, pause_kernel_chaos and
    resume_kernel_chaos serve these documents too.

    :param manifest: as apply_kernel_chaos takes it; so are mechanism and engine.
    :param dry_run: true lets everything through, and counts what would have failed.
    :param max_nodes: more are refused.
    :param system_pods: true allows the cluster's own pods, and that of the experiment.
    :param jobs_namespace: where the Jobs are made; else CHAOSKERNEL_NAMESPACE, else chaoskernel.
    :param image: of the agent; else CHAOSKERNEL_IMAGE, else localhost/chaoskernel of this version.
    :param privileged: true gives the agent every right on its node.
    :param stand_in: as start_injection takes it: for failtype 0 and 1.
    :returns: `applied`: the state of each, as kernel_chaos_state returns it.
    :raises ActivityFailed: nothing is injected; the line names node, pod and cause.
    """
    with failing_in_one_line():
        how = mechanism_named(mechanism), engine_named(engine), dry_run, stand_in
        max_nodes = syntax.number("max_nodes", max_nodes)
        bounded(max_nodes, system_pods, None)
        loaded = documents.load(manifest)
        reached = access(secrets, namespace=jobs_namespace, image=image, privileged=privileged)
        select = functools.partial(reached.scope, max_nodes=max_nodes, system_pods=system_pods)
        wanted = [
            (chaos, applied.InjectionSettings(functools.partial(select, chaos.selection), *how))
            for chaos in loaded
        ]
        return _applied(wanted, reached.backend(shared()))


def delete_kernel_chaos(name: str, namespace: str = "default") -> dict:
    """End what apply_kernel_chaos began, its schedule too; verify that nothing is attached.

    Nothing to delete is not a failure, so that this serves as a rollback.

    :param name: its metadata.name.
    :param namespace: its metadata.namespace.
    :returns: `faults`: each injection, as stop_injection returns it.
    :raises ActivityFailed: a program of a fault is still loaded.
    """
    with failing_in_one_line():
        runs = applied.shared().delete(name, namespace)
        return {"faults": [record.to_json() for record in runs]}


def pause_kernel_chaos(name: str, namespace: str = "default") -> dict:
    """Recover from a KernelChaos, and inject nothing until it is resumed.

    :param name: its metadata.name.
    :param namespace: its metadata.namespace.
    :returns: its state, as kernel_chaos_state returns it.
    :raises ActivityFailed: no KernelChaos has that name, or it is still attached.
    """
    with failing_in_one_line():
        found = applied.shared().get(name, namespace)
        found.pause()
        return found.state()


def resume_kernel_chaos(name: str, namespace: str = "default") -> dict:
    """Inject again what is left of a KernelChaos that is paused.

    Its duration has gone on meanwhile, and of its times those that were used are used.

    :param name: its metadata.name.
    :param namespace: its metadata.namespace.
    :returns: its state, as kernel_chaos_state returns it.
    :raises ActivityFailed: no KernelChaos has that name, or nothing is injected.
    """
    with failing_in_one_line():
        found = applied.shared().get(name, namespace)
        found.resume()
        return found.state()


def _told(started: dict) -> dict:
    """Return what a start returns of a record: warnings where there are some."""
    said = [*_STARTED, "warnings"]
    if "stand_in_for" in started:
        said += ["fault", "stand_in_for"]
    return {key: started[key] for key in said if key in started}


def _applied(wanted: list, target: Backend) -> dict:
    """Apply documents, each with the settings of its injections; return their states."""
    new = [applied.Applied(chaos, settings, target) for chaos, settings in wanted]
    applied.shared().apply(new)
    return {"applied": [each.state() for each in new]}


def _refuse(given: dict, where: str, hint: str) -> None:
    """Refuse what was given and is of no use there."""
    for key, value in given.items():
        if value is not None and value is not False and value != "":
            raise InvalidFault(key, value, where, hint=hint)


def explore(
    command: list,
    start: str = "",
    ready: str = "",
    check: str = "",
    stop: str = "",
    verify: str = "",
    fixture: str = "",
    faults: list = None,
    hits: list = None,
    phases: list = None,
    depth: int = 1,
    baselines: int = 3,
    timeout: str = "60s",
    budget: str = "10m",
    sites: int = 0,
    seed: int = 1,
    state: str = "explore.jsonl",
    resume: bool = False,
) -> dict:
    """Find every place where the kernel can fail a program, and fail each in a run of its own.

    :param command: words of the program; with `start`, of the service's workload.
    :param start: the service to explore, in the place of the command.
    :param ready: a command that exits with 0 once the service is up.
    :param check: a command that exits with 0 when all is well after the fault.
    :param stop: what stops the service; SIGTERM where it is left out.
    :param verify: a command that exits with 0 when the data is whole, after a start anew.
    :param fixture: prepares the empty directory that each run begins in.
    :param faults: kinds of fault; else slab and page where the kernel has them, else allocation.
    :param hits: which requests at a site fail: once, persistent, or the number of one.
    :param phases: fail in exec, start, work or stop alone; else everywhere but in exec.
    :param depth: 2 fails pairs of sites as well.
    :param baselines: how often it is played without a fault first.
    :param timeout: how long a baseline may take.
    :param budget: when the exploration ends; what is left goes on with `resume`.
    :param sites: how many attempts at most; 0 is no limit.
    :param seed: the same one gives the same order.
    :param state: the file that each result is written to at once.
    :param resume: true goes on with the file.
    :returns: the document of results that docs/explore.md describes.
    :raises ActivityFailed: the program does not work without a fault, or nothing can be injected.
    """
    with failing_in_one_line():
        return activities.explore(
            state,
            resume,
            command=command,
            start=start,
            ready=ready,
            check=check,
            stop=stop,
            verify=verify,
            fixture=fixture,
            faults=faults,
            hits=hits,
            phases=phases,
            depth=depth,
            baselines=baselines,
            timeout=timeout,
            budget=budget,
            sites=sites,
            seed=seed,
        )

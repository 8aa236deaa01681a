"""The actions about KernelChaos documents: apply, pause, resume and delete.

chaoskernel.actions passes them on.
"""

import functools
from typing import TYPE_CHECKING

from chaoskernel.backend.backends import shared
from chaoskernel.backend.record import Backend
from chaoskernel.chaosmesh import registry
from chaoskernel.errors import InvalidFault
from chaoskernel.fault.checks import check_flag
from chaoskernel.fault.limits import MAX_NODES
from chaoskernel.lazy import Lazy
from chaoskernel.log import logger
from chaoskernel.toolkit import arguments, presence
from chaoskernel.toolkit.activity import List, failing_in_one_line

if TYPE_CHECKING:
    from chaoskernel.chaosmesh import applied
    from chaoskernel.k8s import access
else:
    applied = Lazy("chaoskernel.chaosmesh.applied")
    access = Lazy("chaoskernel.k8s.access")


def apply_kernel_chaos(
    manifest: str,
    pids: List = None,
    pid_files: List = None,
    commands: List = None,
    cgroups: List = None,
    containers: List = None,
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
            asked = arguments.host_documents(
                manifest=manifest,
                mechanism=mechanism,
                engine=engine,
                dry_run=dry_run,
                stand_in=stand_in,
                **given,
            )
            presence.require(shared().records())
            settings = asked.settings(lambda: asked.scope)
            return _applied([(each, settings) for each in asked.documents], shared())
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
        asked = arguments.pod_documents(
            manifest=manifest,
            mechanism=mechanism,
            engine=engine,
            dry_run=dry_run,
            max_nodes=max_nodes,
            system_pods=system_pods,
            stand_in=stand_in,
        )
        presence.require(shared().records())
        reached = access.access(
            secrets, namespace=jobs_namespace, image=image, privileged=privileged
        )
        bounds: dict = {"max_nodes": asked.max_nodes, "system_pods": system_pods}
        wanted = [
            (chaos, asked.settings(functools.partial(reached.scope, chaos.selection, **bounds)))
            for chaos in asked.documents
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
        runs = registry.shared().delete(name, namespace)
        return {"faults": [record.to_json() for record in runs]}


def pause_kernel_chaos(name: str, namespace: str = "default") -> dict:
    """Recover from a KernelChaos, and inject nothing until it is resumed.

    :param name: its metadata.name.
    :param namespace: its metadata.namespace.
    :returns: its state, as kernel_chaos_state returns it.
    :raises ActivityFailed: no KernelChaos has that name, or it is still attached.
    """
    with failing_in_one_line():
        found = registry.shared().get(name, namespace)
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
        found = registry.shared().get(name, namespace)
        found.resume()
        return found.state()


def _applied(wanted: list, target: Backend) -> dict:
    """Apply documents, each with the settings of its injections; return their states."""
    new = [applied.Applied(chaos, settings, target) for chaos, settings in wanted]
    registry.shared().apply(new)
    return {"applied": [each.state() for each in new]}


def _refuse(given: dict, where: str, hint: str) -> None:
    """Refuse what was given and is of no use there."""
    for key, value in given.items():
        if value is not None and value is not False and value != "":
            raise InvalidFault(key, value, where, hint=hint)

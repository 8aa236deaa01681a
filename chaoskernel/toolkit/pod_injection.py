"""The actions about faults of pods: start one, and stop it.

chaoskernel.actions passes them on.
"""

import dataclasses
from typing import TYPE_CHECKING

from chaoskernel.backend.backends import shared
from chaoskernel.errors import EngineError
from chaoskernel.fault.limits import MAX_NODES
from chaoskernel.lazy import Lazy
from chaoskernel.toolkit import arguments, presence
from chaoskernel.toolkit.activity import List, Mapping, Number, failing_in_one_line
from chaoskernel.toolkit.injection import stop_injection, told

if TYPE_CHECKING:
    from chaoskernel.k8s import access, leftovers
else:
    access = Lazy("chaoskernel.k8s.access")
    leftovers = Lazy("chaoskernel.k8s.leftovers")


def start_pod_injection(
    name: str,
    fault: str = "slab",
    callchain: List = None,
    probability: float = 100.0,
    times: int = 0,
    duration: str = "5m",
    namespaces: List = None,
    label_selectors: Mapping = None,
    annotation_selectors: Mapping = None,
    expression_selectors: List = None,
    field_selectors: Mapping = None,
    pod_phase_selectors: List = None,
    nodes: List = None,
    node_selectors: Mapping = None,
    pods: Mapping = None,
    mode: str = "one",
    value: str = "",
    seed: Number = None,
    container_names: List = None,
    all_containers: bool = False,
    mechanism: str = "auto",
    engine: str = "auto",
    function: str = "",
    errno: str = "",
    parameters: str = "",
    predicate: str = "",
    headers: List = None,
    paths: List = None,
    any_file: bool = False,
    peers: list = None,
    dry_run: bool = False,
    max_nodes: int = MAX_NODES,
    system_pods: bool = False,
    jobs_namespace: str = "",
    image: str = "",
    privileged: bool = False,
    secrets: dict = None,
    stand_in: bool = False,
    page_faults: bool = False,
    stacks: str = "sample",
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
    :param peers: for a fault of sockets, as start_injection takes them; unix:/run/x.sock is
        the socket that the containers see there.
    :param dry_run: true lets everything through, and counts what would have failed.
    :param max_nodes: more are refused.
    :param system_pods: true allows the cluster's own pods, and that of the experiment.
    :param jobs_namespace: where the Jobs are made; else CHAOSKERNEL_NAMESPACE, else chaoskernel.
    :param image: of the agent; else CHAOSKERNEL_IMAGE, else localhost/chaoskernel of this version.
    :param privileged: true gives the agent every right on its node.
    :param stand_in: as start_injection takes it; each node decides for its own kernel.
    :param page_faults: true fails requests of page faults too, where every request of slab or
        page fails; the kernel tries such a page fault again, until the fault ends.
    :param stacks: which events have the kernel's stack: sample, all or none, as start_injection
        takes it.
    :param secrets: the cluster and its credentials, by KUBERNETES_HOST, KUBERNETES_API_KEY and
        the like; else the variables of the environment, else the kubeconfig.
    :returns: name, hook, mechanism, engine, targets, callchain, left_out, armed_at, expires_at,
        nodes; and warnings, as start_injection has them.
    :raises ActivityFailed: nothing is injected; the line names node, pod and cause.
    """
    with failing_in_one_line():
        # What is wrong with the arguments is said before the cluster is asked anything.
        request = arguments.pod_request(
            name=name,
            fault=fault,
            callchain=callchain,
            probability=probability,
            times=times,
            duration=duration,
            namespaces=namespaces,
            label_selectors=label_selectors,
            annotation_selectors=annotation_selectors,
            expression_selectors=expression_selectors,
            field_selectors=field_selectors,
            pod_phase_selectors=pod_phase_selectors,
            nodes=nodes,
            node_selectors=node_selectors,
            pods=pods,
            mode=mode,
            value=value,
            seed=seed,
            container_names=container_names,
            all_containers=all_containers,
            mechanism=mechanism,
            engine=engine,
            function=function,
            errno=errno,
            parameters=parameters,
            predicate=predicate,
            headers=headers,
            paths=paths,
            any_file=any_file,
            peers=peers,
            dry_run=dry_run,
            max_nodes=max_nodes,
            system_pods=system_pods,
            stand_in=stand_in,
            page_faults=page_faults,
            stacks=stacks,
        )
        presence.require(shared().records())
        reached = access.access(
            secrets, namespace=jobs_namespace, image=image, privileged=privileged
        )
        scope = reached.scope(
            request.selection,
            max_nodes=request.max_nodes,
            system_pods=request.system_pods,
            all_containers=request.all_containers,
            seed=request.seed,
        )
        description = dataclasses.replace(request.fault, scope=scope)
        record = reached.backend(shared()).start(description)
        started = record.to_json()
        return {**told(started), "nodes": record.armed["nodes"]}


def stop_pod_injection(name: str = "", jobs_namespace: str = "", secrets: dict = None) -> dict:
    """End a fault on pods, or all faults of this run, and wait for each node to confirm it.

    When this run has started none of that name, what an earlier one has left is removed.

    :param name: the fault's name; empty for all of this run.
    :param jobs_namespace: where the Jobs of an earlier run are.
    :returns: `faults`, as stop_injection returns it, and `removed`: Jobs of an earlier run.
    :raises ActivityFailed: some nodes did not confirm the end; the line lists them.
    """
    with failing_in_one_line():
        stopped = stop_injection(name)
        removed: list = []
        if name and not stopped["faults"]:
            reached = access.access(secrets, namespace=jobs_namespace)
            where = reached.settings.namespace
            found = leftovers.find(reached.cluster, where, name)
            removed = leftovers.remove(reached.cluster, where, found)
        if wrong := [f"{left.job}: {trouble}" for left, trouble in removed if trouble]:
            raise EngineError("; ".join(wrong))
        return {**stopped, "removed": [left.job for left, _ in removed]}

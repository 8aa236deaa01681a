"""Arguments of activities -> what is asked for, as far as neither kernel nor cluster is needed.

The activities call these, and so does the validation of an experiment: what is wrong with
arguments is found by the same code, before a run and in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from chaoskernel.errors import InvalidFault
from chaoskernel.fault import syntax
from chaoskernel.fault.arguments import fault_of
from chaoskernel.fault.checks import check_flag, check_name, is_int
from chaoskernel.fault.limits import MAX_DURATION, MAX_NODES
from chaoskernel.fault.lists import LISTS, MAPPINGS, check_defined, items, pairs
from chaoskernel.fault.rules import check_kind
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import (
    EngineName,
    Fault,
    Mechanism,
    engine_named,
    kind_named,
    mechanism_named,
)
from chaoskernel.lazy import Lazy

if TYPE_CHECKING:
    from chaoskernel.chaosmesh import applied
    from chaoskernel.chaosmesh import manifest as documents
    from chaoskernel.chaosmesh.applied import InjectionSettings
    from chaoskernel.chaosmesh.manifest import KernelChaos, Selection
    from chaoskernel.chaosmesh.manifest import arguments as selections
    from chaoskernel.k8s import access, nodes
else:
    applied = Lazy("chaoskernel.chaosmesh.applied")
    documents = Lazy("chaoskernel.chaosmesh.manifest")
    selections = Lazy("chaoskernel.chaosmesh.manifest.arguments")
    access = Lazy("chaoskernel.k8s.access")
    nodes = Lazy("chaoskernel.k8s.nodes")

SCOPE = ("pids", "pid_files", "commands", "cgroups", "containers", "system_wide")
"""Arguments that name whose requests fail on this host."""

SELECTORS = {
    "namespaces": "namespaces",
    "label_selectors": "labelSelectors",
    "annotation_selectors": "annotationSelectors",
    "expression_selectors": "expressionSelectors",
    "field_selectors": "fieldSelectors",
    "pod_phase_selectors": "podPhaseSelectors",
    "nodes": "nodes",
    "node_selectors": "nodeSelectors",
    "pods": "pods",
}
"""Arguments that select pods, and what KernelChaos calls them."""


def host_fault(**given: Any) -> Fault:
    """Return the fault that arguments of start_injection describe.

    :raises InvalidFault: one is wrong, or refers to a variable that was not replaced.
    """
    check_defined(given)
    scope = {key: given.pop(key) for key in SCOPE if key in given}
    return fault_of(scope=syntax.scope(**scope), **given)


@dataclasses.dataclass(frozen=True, slots=True)
class PodRequest:
    """A fault for pods that are still to be selected.

    :param fault: its scope is a placeholder.
    """

    fault: Fault
    selection: Selection
    max_nodes: int
    system_pods: bool
    all_containers: bool
    seed: int | None


def pod_request(
    *,
    mode: Any = "one",
    value: Any = "",
    seed: Any = None,
    container_names: Any = None,
    all_containers: Any = False,
    max_nodes: Any = MAX_NODES,
    system_pods: Any = False,
    **given: Any,
) -> PodRequest:
    """Return what arguments of start_pod_injection ask for; the rest describe the fault.

    :raises ChaosKernelError: one is wrong.
    """
    check_defined({**given, "value": value, "container_names": container_names, "mode": mode})
    names = list(items("container_names", container_names))
    selectors = {SELECTORS[key]: _selector(key, given.pop(key, None)) for key in SELECTORS}
    selection = selections.selected_by(mode, value, names or None, selectors)
    check_flag("all_containers", all_containers)
    if all_containers and names:
        raise InvalidFault(
            "all_containers", "", problem="not together with container_names", hint="keep one"
        )
    max_nodes = syntax.number("max_nodes", max_nodes)
    nodes.check_namespaces(selection, access.bounded(max_nodes, system_pods, None))
    seed = None if seed in (None, "") else syntax.number("seed", seed)
    if seed is not None and not is_int(seed):
        raise InvalidFault("seed", seed, "a whole number", hint="leave it out to draw anew")
    fault = fault_of(scope=Scope(system_wide=True), **given)
    return PodRequest(fault, selection, max_nodes, system_pods, all_containers, seed)


def _selector(key: str, given: Any) -> Any:
    if key in MAPPINGS:
        return pairs(key, given)
    assert key in LISTS, "a selector is a list or a mapping"
    return list(items(key, given)) or None


@dataclasses.dataclass(frozen=True, slots=True)
class Documents:
    """KernelChaos documents, and how they are to be injected.

    :param scope: a placeholder where the documents select pods.
    """

    documents: tuple[KernelChaos, ...]
    scope: Scope
    mechanism: Mechanism
    engine: EngineName
    dry_run: bool
    stand_in: bool
    max_nodes: int = MAX_NODES

    def settings(self, scope: Callable[[], Scope]) -> InjectionSettings:
        """Return the settings of injections into a scope, which is asked for at each."""
        return applied.InjectionSettings(
            scope, self.mechanism, self.engine, self.dry_run, self.stand_in
        )


def host_documents(*, manifest: Any, **given: Any) -> Documents:
    """Return what arguments of apply_kernel_chaos ask for.

    :raises ChaosKernelError: one is wrong, or a document is.
    """
    check_defined(given)
    scope = {key: given.pop(key) for key in SCOPE if key in given}
    return _documents(manifest, syntax.scope(**scope), **given)


def pod_documents(
    *, manifest: Any, max_nodes: Any = MAX_NODES, system_pods: Any = False, **given: Any
) -> Documents:
    """Return what arguments of apply_pod_kernel_chaos ask for.

    :raises ChaosKernelError: one is wrong, or a document is.
    """
    check_defined(given)
    most = syntax.number("max_nodes", max_nodes)
    access.bounded(most, system_pods, None)
    found = _documents(manifest, Scope(system_wide=True), **given)
    return dataclasses.replace(found, max_nodes=most)


def _documents(
    manifest: Any,
    scope: Scope,
    *,
    mechanism: Any = "auto",
    engine: Any = "auto",
    dry_run: Any = False,
    stand_in: Any = False,
) -> Documents:
    how = mechanism_named(mechanism), engine_named(engine), dry_run, stand_in
    return Documents(documents.load(manifest), scope, *how)


def fault_name(name: Any) -> str:
    """Return the name of a fault that is looked up; empty is all of them where that is allowed.

    :raises InvalidFault: it is none.
    """
    check_defined({"name": name})
    check_name("name", name)
    return str(name)


def count(key: str, given: Any) -> int:
    """Return a whole number above 0, which may be text.

    :raises InvalidFault: it is something else.
    """
    check_defined({key: given})
    number = syntax.number(key, given)
    if not is_int(number) or number < 1:
        raise InvalidFault(key, given, "a whole number above 0")
    return int(number)


def supported(*, fault: Any = "slab", function: Any = "") -> tuple[Any, Any]:
    """Return the kind and the function that kernel_supports asks about.

    :raises InvalidFault: there is no such fault.
    """
    check_defined({"fault": fault, "function": function})
    kind = kind_named(fault)
    check_kind(kind, function)
    return kind, function


def waiting_time(given: Any) -> float:
    """Return how long to wait, in seconds, from a duration or a number of seconds.

    :raises InvalidFault: it is neither, or longer than a fault can last.
    """
    check_defined({"timeout": given})
    seconds = syntax.seconds(given, key="timeout")
    if not 0 < seconds <= MAX_DURATION:
        raise InvalidFault("timeout", given, f"a time above 0 and up to {MAX_DURATION:g} s")
    return seconds

"""deploy/policy.yaml, its expressions, and the pods that they are asked about."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from cel_expr_python import cel

from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.pods import PodContainer, PodScope
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import EngineName, Fault, Limits
from chaoskernel.k8s import job
from chaoskernel.k8s.job import Settings

ROOT = Path(__file__).parents[3]
DOCUMENTS: list[dict[str, Any]] = [
    *yaml.safe_load_all((ROOT / "deploy/policy.yaml").read_text(encoding="utf-8"))
]
RBAC: list[dict[str, Any]] = [
    *yaml.safe_load_all((ROOT / "deploy/rbac.yaml").read_text(encoding="utf-8"))
]
POD = PodScope("shop", "db-0", "12345678-00", "worker-1", (PodContainer("app", "containerd://1"),))
IMAGE = "localhost/chaoskernel:0.1.0"

Change = Callable[[dict[str, Any]], object]


def document(kind: str, name: str) -> dict[str, Any]:
    (found,) = [d for d in DOCUMENTS if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    return found


POLICY = document("ValidatingAdmissionPolicy", "chaoskernel-agents")["spec"]
MESSAGES = [validation["message"] for validation in POLICY["validations"]]


@functools.cache
def compiled(expression: str) -> Any:
    types = {"object": cel.Type.DYN, "variables": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)}
    return cel.NewEnv(variables=types).compile(expression)


def evaluated(expression: str, **data: Any) -> Any:
    return compiled(expression).eval(data=data).plain_value()


@functools.cache
def variables() -> dict[str, Any]:
    return {
        each["name"]: evaluated(each["expression"], object={}, variables={})
        for each in POLICY["variables"]
    }


def refusals(pod: dict[str, Any]) -> list[str]:
    """Return the messages of the rules that refuse a pod; a rule that cannot be evaluated does."""
    return [
        validation["message"]
        for validation in POLICY["validations"]
        if evaluated(validation["expression"], object=pod, variables=variables()) is not True
    ]


def a_fault(engine: EngineName, duration: float = 30) -> Fault:
    return Fault(
        name="x",
        kind=Kind.SLAB,
        scope=Scope(pods=(POD,)),
        limits=Limits(duration=duration),
        engine=engine,
        dry_run=engine is EngineName.NONE,
    )


def agent(engine: EngineName = EngineName.CORE, **settings: Any) -> dict[str, Any]:
    """Return the pod that a fault's Job makes."""
    fault = a_fault(engine, settings.pop("duration", 30))
    start = settings.pop("start_seconds", 60)
    given = Settings("chaoskernel", settings.pop("image", IMAGE), **settings)
    made = job.job(Assignment(fault), "abc123", 2, given, start_seconds=start, started_by="me")
    template: dict[str, Any] = made["spec"]["template"]
    # As the server does before it asks for admission.
    template["spec"]["serviceAccountName"] = "default"
    return copy.deepcopy(template)

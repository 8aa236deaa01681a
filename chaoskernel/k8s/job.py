"""The Job that brings an agent onto a node; pure.

It may do what an agent needs and no more, ends by itself, and is found by its labels.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from chaoskernel import __version__
from chaoskernel.chaosmesh.manifest.names import SUBDOMAIN
from chaoskernel.errors import InvalidFault
from chaoskernel.fault.assignment import FAULT_VARIABLE, Assignment
from chaoskernel.fault.checks import DNS_LABEL, check_flag
from chaoskernel.fault.choice import may_take_bcc
from chaoskernel.fault.spec import EngineName, Fault

NAMESPACE_VARIABLE = "CHAOSKERNEL_NAMESPACE"
IMAGE_VARIABLE = "CHAOSKERNEL_IMAGE"
CPU_VARIABLE = "CHAOSKERNEL_CPU"
MEMORY_VARIABLE = "CHAOSKERNEL_MEMORY"
PRIORITY_VARIABLE = "CHAOSKERNEL_PRIORITY_CLASS"

LABEL_NAME = "app.kubernetes.io/name"
LABEL_FAULT = "chaoskernel/fault"
LABEL_RUN = "chaoskernel/run"
LABEL_PART = "chaoskernel/part"
ANNOTATION_PODS = "chaoskernel/pods"
ANNOTATION_NODE = "chaoskernel/node"
ANNOTATION_BY = "chaoskernel/started-by"
CONTAINER = "agent"

EVERY_JOB = f"{LABEL_NAME}=chaoskernel"
"""Selects the Jobs of all faults, and their pods."""

# SYS_ADMIN has BPF and PERFMON in it, which older runtimes do not know, and is needed to list
# programs by id.
CAPABILITIES = ("SYS_ADMIN", "SYS_PTRACE", "SYS_RESOURCE", "SYSLOG", "DAC_READ_SEARCH")

# A rehearsal loads nothing: it looks which container a process is in.
_REHEARSAL_CAPABILITIES = ("SYS_PTRACE",)

# What a setting takes, how that is called, and what is right.
_FORMS = {
    "jobs_namespace": (
        DNS_LABEL,
        "the name of a namespace",
        "it has up to 63 of a-z, 0-9 and -, the first and the last no -",
    ),
    "image": (
        re.compile(r"[!-~]+"),
        "the name of an image",
        "write registry/name:tag, in ASCII and without white space",
    ),
    "cpu": (
        re.compile(r"(?=.*[1-9])([0-9]{1,6}m|[0-9]{1,3}(\.[0-9]{1,3})?)"),
        "an amount of CPU above 0",
        "write 500m or 0.5 for half a CPU",
    ),
    "memory": (
        re.compile(r"[1-9][0-9]{0,14}([kMG]|[KMG]i)?"),
        "an amount of memory above 0",
        "write 256Mi, for one",
    ),
    "priority_class": (
        SUBDOMAIN,
        "the name of a priority class",
        "kubectl get priorityclasses shows them",
    ),
}

_MARGIN_SECONDS = 60
_KEPT_SECONDS = 300
_GRACE_SECONDS = 30
_MAX_FAULT_BYTES = 128 * 1024 - 64
"""One string of an environment is no longer (MAX_ARG_STRLEN, include/uapi/linux/binfmts.h)."""

# A container sees only its own of the control groups.
_HOST = {"cgroup": "/sys/fs/cgroup"}
# The lists of functions are in file systems of their own, which a container's /sys lacks; the
# rest of what an agent reads there is the same in both.
_HOST_OF_CORE = {"kernel": "/sys/kernel", **_HOST}
# BCC compiles with the host's headers.
_HOST_OF_BCC = {**_HOST_OF_CORE, "modules": "/lib/modules", "headers": "/usr/src"}


@dataclasses.dataclass(frozen=True, slots=True)
class Room:
    """What an agent takes of its node.

    Requests are as high as limits: the kernel then spares it longest when memory is short, which
    a fault may well bring about.

    :param files: the size of its directory for temporary files.
    """

    cpu: str
    memory: str
    files: str


# Of the memory, a quarter is used (docs/performance.md).
_ROOM = Room("200m", "128Mi", "16Mi")
# LLVM uses a third of the memory; headers of CONFIG_IKHEADERS are unpacked into files.
_ROOM_OF_BCC = Room("500m", "512Mi", "256Mi")


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """How the agents of a cluster run.

    :param namespace: that of the Jobs.
    :param image: of the agent; by digest, it is that very one.
    :param privileged: they may do everything, where capabilities are not enough.
    :param cpu: of each agent; empty is what its engine needs.
    :param memory: of each agent; empty is what its engine needs.
    :param priority_class: of each agent; empty is the cluster's default.
    """

    namespace: str
    image: str
    privileged: bool = False
    cpu: str = ""
    memory: str = ""
    priority_class: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Owner:
    """The pod whose end is the end of the Jobs: they are in its namespace."""

    name: str
    uid: str


def settings(
    namespace: str = "",
    image: str = "",
    privileged: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """Return how agents run: what is given, else what the environment says, else the defaults.

    :raises InvalidFault: something is of a wrong type, or no name of what it should name.
    """
    for key, value in (("jobs_namespace", namespace), ("image", image)):
        if not isinstance(value, str):
            raise InvalidFault(key, value, "text")
    check_flag("privileged", privileged)
    place = _name("jobs_namespace", namespace, NAMESPACE_VARIABLE, environment)
    name = _name("image", image, IMAGE_VARIABLE, environment)
    return Settings(
        place or "chaoskernel",
        name or f"localhost/chaoskernel:{__version__}",
        privileged,
        cpu=_name("cpu", "", CPU_VARIABLE, environment),
        memory=_name("memory", "", MEMORY_VARIABLE, environment),
        priority_class=_name("priority_class", "", PRIORITY_VARIABLE, environment),
    )


def _name(key: str, given: str, variable: str, environment: Mapping[str, str]) -> str:
    """Return what is given, else what the environment says, else nothing.

    :raises InvalidFault: nothing can have that name; its source is told.  Whether an image is
        there, the node knows.
    """
    source, name = (key, given) if given else (variable, environment.get(variable, ""))
    form, what, hint = _FORMS[key]
    if name and not form.fullmatch(name):
        raise InvalidFault(source, name, what, hint=hint)
    return name


def job_name(fault: str, run: str, number: int) -> str:
    """Return the name of a Job: a name of DNS, of which each pod's is made."""
    plain = "".join(c if c.isalnum() else "-" for c in fault.lower())[:30].strip("-")
    return f"chaoskernel-{plain}-{run}-{number}"


def job(
    assigned: Assignment,
    run: str,
    number: int,
    given: Settings,
    *,
    start_seconds: float,
    part: int = 0,
    owner: Owner | None = None,
    started_by: str = "",
) -> dict[str, Any]:
    """Return the Job of one node.

    :param assigned: the scope of its fault has the pods of that node alone.
    :param run: tells this start of the fault from others.
    :param start_seconds: how long arming may take; the Job's deadline comes after it and the
        fault's duration.
    :param part: with which others it is deleted.
    :raises InvalidFault: the fault is too long for it.
    """
    fault = assigned.fault
    seconds = math.ceil(start_seconds + fault.limits.duration + _MARGIN_SECONDS)
    marks = _marks(fault, run, part, started_by)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(fault.name, run, number),
            "namespace": given.namespace,
            **marks,
            **_owned(owner),
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": seconds,
            "ttlSecondsAfterFinished": _KEPT_SECONDS,
            "template": {"metadata": marks, "spec": _pod(assigned, given, seconds)},
        },
    }


def _marks(fault: Fault, run: str, part: int, started_by: str) -> dict[str, Any]:
    """Return labels and annotations of a Job and of its pod."""
    return {
        "labels": {
            LABEL_NAME: "chaoskernel",
            "app.kubernetes.io/managed-by": "chaoskernel",
            LABEL_FAULT: fault.name,
            LABEL_RUN: run,
            LABEL_PART: str(part),
        },
        "annotations": {
            ANNOTATION_PODS: ", ".join(map(str, fault.scope.pods)),
            ANNOTATION_NODE: fault.scope.pods[0].node,
            ANNOTATION_BY: started_by,
        },
    }


def _owned(owner: Owner | None) -> dict[str, Any]:
    """Return what makes a Job end with the pod of the experiment."""
    if owner is None:
        return {}
    kind = {"apiVersion": "v1", "kind": "Pod"}
    return {"ownerReferences": [{**kind, "name": owner.name, "uid": owner.uid}]}


def host_paths(assigned: Assignment) -> Mapping[str, str]:
    """Return the directories of its node that an agent reads, by the names of their volumes."""
    if assigned.fault.engine is EngineName.NONE:
        return _HOST
    return _HOST_OF_BCC if _may_take_bcc(assigned) else _HOST_OF_CORE


def capabilities(engine: EngineName) -> Sequence[str]:
    """Return what an agent is capable of, beside what everybody is."""
    return _REHEARSAL_CAPABILITIES if engine is EngineName.NONE else CAPABILITIES


def room(assigned: Assignment, given: Settings) -> Room:
    """Return what an agent takes of its node."""
    usual = _ROOM_OF_BCC if _may_take_bcc(assigned) else _ROOM
    return Room(given.cpu or usual.cpu, given.memory or usual.memory, usual.files)


def _may_take_bcc(assigned: Assignment) -> bool:
    return may_take_bcc(assigned.fault, compiled=bool(assigned.object))


def _pod(assigned: Assignment, given: Settings, seconds: int) -> dict[str, Any]:
    host = host_paths(assigned)
    files = room(assigned, given).files
    found = {
        # No scheduler is asked: the agent belongs where the pods are, whatever taints are there.
        "nodeName": assigned.fault.scope.pods[0].node,
        "tolerations": [{"operator": "Exists"}],
        "restartPolicy": "Never",
        # The Job's is kept by a controller, this one by the node, also when that is cut off.
        "activeDeadlineSeconds": seconds,
        "hostPID": True,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(assigned, given, host)],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": files}},
            *({"name": name, "hostPath": {"path": path}} for name, path in host.items()),
        ],
    }
    if given.priority_class:
        found["priorityClassName"] = given.priority_class
    return found


def _container(assigned: Assignment, given: Settings, host: Mapping[str, str]) -> dict[str, Any]:
    wanted = room(assigned, given)
    resources = {"cpu": wanted.cpu, "memory": wanted.memory}
    # Those before Kubernetes 1.30 drop the last key; file systems that are mounted below stay
    # writable there.
    read_only = {"readOnly": True, "recursiveReadOnly": "IfPossible"}
    return {
        "name": CONTAINER,
        "image": given.image,
        "imagePullPolicy": "IfNotPresent",
        "env": [{"name": FAULT_VARIABLE, "value": _document(assigned)}],
        "resources": {"requests": resources, "limits": resources},
        "securityContext": _security(given.privileged, assigned.fault.engine),
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
            *({"name": name, "mountPath": path, **read_only} for name, path in host.items()),
        ],
    }


def _security(privileged: bool, engine: EngineName) -> dict[str, Any]:
    found: dict[str, Any] = {"runAsUser": 0, "runAsGroup": 0, "readOnlyRootFilesystem": True}
    if privileged:
        return {**found, "privileged": True}
    if engine is EngineName.NONE:
        # With SYS_ADMIN, which the others need, Kubernetes takes it for a contradiction.
        found["allowPrivilegeEscalation"] = False
    return {**found, "capabilities": {"drop": ["ALL"], "add": list(capabilities(engine))}}


def _document(assigned: Assignment) -> str:
    # Kubernetes replaces $(NAME) in the value of a variable.
    text = json.dumps(assigned.to_json(), separators=(",", ":")).replace("$", "\\u0024")
    if len(text) > _MAX_FAULT_BYTES:
        raise InvalidFault(
            "the fault",
            "",
            problem=f"{len(text)} bytes; at most {_MAX_FAULT_BYTES} are allowed",
            hint="shorten its predicates, or select fewer pods of a node",
        )
    return text

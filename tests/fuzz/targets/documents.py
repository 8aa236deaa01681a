"""Documents: manifests, faults for an agent, arguments of activities, kubeconfigs, journals."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from chaoslib.exceptions import ActivityFailed

from chaoskernel import actions, errors
from chaoskernel.agent import protocol
from chaoskernel.backend.backends import sharing
from chaoskernel.chaosmesh import manifest
from chaoskernel.cli import convert, summary
from chaoskernel.fault.assignment import Assignment
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Fault
from chaoskernel.k8s import nodes
from chaoskernel.k8s.cluster import ApiCluster
from chaoskernel.k8s.connection import Connection
from chaoskernel.k8s.select import select
from chaoskernel.toolkit.evidence import JOURNAL_KEY
from chaoskernel.toolkit.experiment import experiment
from tests.fuzz import mutate
from tests.fuzz.target import Target, invoked, loaded, require, require_told
from tests.unit.fakes import FakeBackend
from tests.unit.k8s.fake_cluster import FakeCluster, pod

DEEP = (
    "[" * 100_000,
    "[" * 50_000 + "]" * 50_000,
    '{"a":' * 20_000 + "1" + "}" * 20_000,
    '"' + "\\" * 99_999,
    "[],[]," * 20_000,
    "[" + "[],[]," * 170_000 + "[]]",
    "1e999",
    "-" * 50_000,
    "9" * 20_000,
    "null",
    "[]",
    '"text"',
    "",
    "\0",
    "\ufeff{}",
    '{"a":1,"a":2}',
)
"""JSON, and YAML, that is too much or nothing of what is asked for."""

_CHAIN = [
    {
        "funcname": "d_alloc_parallel",
        "parameters": "struct dentry *parent, const struct qstr *name",
        "predicate": 'STRNCMP(name->name, "bananas", 8)',
    },
    {"funcname": "sys_mount"},
]
_KERNEL_CHAOS = {
    "apiVersion": "chaos-mesh.org/v1alpha1",
    "kind": "KernelChaos",
    "metadata": {"name": "demo", "namespace": "apps", "labels": {"a": "b"}, "annotations": {}},
    "spec": {
        "mode": "fixed-percent",
        "value": "50",
        "selector": {
            "namespaces": ["shop"],
            "labelSelectors": {"app.kubernetes.io/name": "db"},
            "expressionSelectors": [{"key": "tier", "operator": "In", "values": ["a", "b"]}],
            "annotationSelectors": {"x/y": "z"},
            "fieldSelectors": {"status.phase": "Running"},
            "podPhaseSelectors": ["Running", "!Failed"],
            "nodes": ["worker-1"],
            "nodeSelectors": {"disk": "ssd"},
        },
        "containerNames": ["app"],
        "duration": "30s",
        "failKernRequest": {
            "failtype": 0,
            "headers": ["linux/mmzone.h"],
            "callchain": _CHAIN,
            "probability": 10,
            "times": 3,
        },
    },
}
_SCHEDULE = {
    "apiVersion": "chaos-mesh.org/v1alpha1",
    "kind": "Schedule",
    "metadata": {"name": "ticks"},
    "spec": {
        "schedule": "*/5 * * * *",
        "type": "KernelChaos",
        "concurrencyPolicy": "Allow",
        "historyLimit": 2,
        "startingDeadlineSeconds": 5,
        "kernelChaos": {
            "mode": "all",
            "selector": {"pods": {"shop": ["db-0"]}},
            "failKernRequest": {"failtype": 2, "callchain": []},
        },
    },
}
_MANIFEST_WORDS = (
    *("apiVersion", "kind", "metadata", "spec", "name", "namespace", "mode", "value", "selector"),
    *("KernelChaos", "Schedule", "one", "all", "fixed", "random-max-percent", "matchLabels"),
    *("scheduler", "cron", "@every 1m", "callchain", "funcname", "predicate", "failtype"),
    *("cart|stock", "in (a, b)", "system,edge", "!x", "NotIn", "Exists", "DoesNotExist", "a=b"),
    *("<<", "*a", "&a", "!!python/object:os.system", "!!binary", "---", "...", "? ", "- ", "~"),
)


def _yaml(document: Any) -> str:
    """Write a document as YAML does; what YAML cannot say stays JSON."""
    try:
        return str(yaml.safe_dump(document))
    except yaml.YAMLError:
        return json.dumps(document)


def _try_manifest(given: str, scratch: Path) -> None:
    found = manifest.parse(given)
    written = experiment(found, {})
    require(json.loads(json.dumps(written)) == written, "the experiment is not JSON")
    for chaos in found:
        fault = chaos.fault(Scope(system_wide=True))
        require(Fault.from_json(fault.to_json()) == fault, "the agent reads another fault")


def _try_convert(given: str, scratch: Path) -> None:
    """Convert a file, as its user does."""
    file = scratch / "kernelchaos.yaml"
    file.write_bytes(given.encode("utf-8", "surrogatepass"))
    output = scratch / "experiment.yaml"
    invoked(convert.command, str(file), "-o", str(output))
    require(isinstance(yaml.safe_load(output.read_text("utf-8")), dict), "no experiment")


_SELECTIONS: tuple[dict[str, Any], ...] = (
    {
        "namespaces": ["shop"],
        "labelSelectors": {"app.kubernetes.io/name": "db"},
        "expressionSelectors": [{"key": "tier", "operator": "NotIn", "values": ["b"]}],
        "podPhaseSelectors": ["Running"],
        "nodes": ["worker-1"],
        "nodeSelectors": {"disk": "ssd"},
        "mode": "all",
        "names": ["app"],
    },
    {"pods": {"shop": ["db-0"]}, "mode": "fixed", "value": 1},
    {"namespaces": ["shop"], "annotationSelectors": {"x/y": "z"}, "mode": "one"},
)
_PODS = (
    pod("db-0", metadata={"labels": {"app.kubernetes.io/name": "db", "tier": "a"}}),
    pod("web-0", "worker-2", metadata={"labels": {"tier": "c"}, "annotations": {"x/y": "z"}}),
    pod("job-0", phase="Pending"),
)


_BESIDE = ("mode", "value", "names")


# docs: Labels and Selectors, "Syntax and character set"
_LABEL = re.compile(
    r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?"
    r"=([A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?)?",
    re.ASCII,
)


class _Cluster(FakeCluster):
    """Keeps the selectors that it is asked by."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.asked: list[str] = []

    def pods(self, namespace: str, labels: str = "") -> Iterator[dict[str, Any]]:
        self.asked.append(labels)
        return super().pods(namespace, labels)


def _try_selection(given: str, _: Path) -> None:
    """Select from a cluster's pods by what an activity's arguments say."""
    arguments = loaded(given)
    cluster = _Cluster({}, *_PODS)
    cluster.node_documents = [{"metadata": {"name": "worker-1", "labels": {"disk": "ssd"}}}]
    if isinstance(arguments, dict):
        mode, value, names = (arguments.pop(key, None) for key in _BESIDE)
        selection = manifest.arguments.selected_by(mode, value, names, arguments)
        select(selection, cluster, nodes.Bounds(), seed=1)
        for labels in cluster.asked:
            valid = all(_LABEL.fullmatch(label) for label in labels.split(",") if labels)
            require(valid, "the server is asked for labels that nothing can have")


_FAULT = {
    "name": "demo",
    "fault": "function",
    "function": "sys_openat",
    "errno": "EMFILE",
    "parameters": "int dfd, const char *filename",
    "predicate": "(dfd == 3)",
    "callchain": _CHAIN,
    "limits": {"probability": 12.5, "times": 3, "duration": 30},
    "scope": {"pids": [42], "pid_files": ["/run/a.pid"], "commands": ["victim"], "cgroups": ["/a"]},
    "mechanism": "auto",
    "headers": ["linux/fs.h"],
    "dry_run": True,
    "engine": "core",
}
_POD_FAULT = {
    "name": "pods",
    "fault": "slab",
    "scope": {
        "pods": [
            {
                "namespace": "shop",
                "name": "db-0",
                "uid": "0c8b4b9e-1d2f-4a6b-9c3d-5e6f7a8b9c0d",
                "node": "worker-1",
                "containers": [{"name": "app", "id": "containerd://" + "a" * 64}],
            }
        ]
    },
}
_ASSIGNMENT = {"fault": _FAULT, "object": ""}
_FAULT_WORDS = (
    *("name", "fault", "callchain", "limits", "scope", "mechanism", "engine", "object", "pods"),
    *("slab", "page", "bio", "function", "none", "auto", "kprobe", "times", "duration", "errno"),
    *("system_wide", "containers", "commands", "headers", "dry_run", "a/b.h", "/../x", "id"),
)


def _try_fault(given: str, _: Path) -> None:
    read = Assignment.from_json(protocol.decode(given))
    again = Assignment.from_json(protocol.decode(protocol.encode(read.to_json())))
    require(again == read, "it reads otherwise again")


_ERRORS = (
    {
        "type": "error",
        "error": "InvalidFault",
        "message": "m",
        "hint": "h",
        "key": "k",
        "value": [1],
        "allowed": "a",
    },
    {"type": "error", "error": "UnsupportedKernel", "message": "m", "hint": "h"},
    {"type": "error", "error": "EngineError", "message": "m", "hint": "h"},
)


def _try_error(given: str, _: Path) -> None:
    """Carry an error from an agent to whoever started it, as an error of this package."""
    error = protocol.error_of(protocol.decode(given))
    require(isinstance(error, errors.ChaosKernelError), "no error of this package")
    said = protocol.decode(protocol.encode(protocol.error_message(error)))
    if said.get("value") == getattr(error, "value", None):  # JSON has no infinity
        require(str(protocol.error_of(said)) == str(error), "it reads otherwise again")
    require_told(error)


_ARGUMENTS = {
    "name": "demo",
    "fault": "slab",
    "callchain": ["sys_mount", *_CHAIN],
    "probability": 12.5,
    "times": 3,
    "duration": "1h30m",
    "pids": [12, "34"],
    "pid_files": ["/run/a.pid"],
    "commands": ["victim"],
    "cgroups": ["/a"],
    "containers": ["a" * 12],
    "mechanism": "auto",
    "engine": "auto",
    "function": "",
    "errno": "",
    "parameters": "",
    "predicate": "order == 1",
    "headers": ["linux/fs.h"],
    "dry_run": False,
}


def _try_arguments(given: str, _: Path) -> None:
    """Start a fault as the toolkit does: with whatever an experiment's JSON has."""
    arguments = loaded(given)
    known = dict(arguments) if isinstance(arguments, dict) else {}
    known = {key: value for key, value in known.items() if key in _ARGUMENTS}
    with sharing(FakeBackend()):
        try:
            actions.start_injection(**{"name": "demo", **known})
        except ActivityFailed as failed:
            raise errors.ChaosKernelError(str(failed)) from failed


_KUBECONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "c",
    "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "n"}}],
    "clusters": [{"name": "k", "cluster": {"server": "https://user:s3cr3t@127.0.0.1:1/x"}}],
    "users": [{"name": "u", "user": {"token": "secret", "username": "a", "password": "b"}}],
}


def _try_kubeconfig(given: str, scratch: Path) -> None:
    file = scratch / "kubeconfig"
    file.write_bytes(given.encode("utf-8", "surrogatepass"))
    with _no_password_told():
        ApiCluster(Connection(kubeconfig=str(file)))


_SERVERS = ("https://127.0.0.1:1 http://proxy:3128 key", "http://u:s3cr3t@[::1]:80/a?b#c")


def _try_server(given: str, _: Path) -> None:
    """Take an address, a proxy and a key from the environment."""
    host, proxy, key = [*given.split(" ", 2), "", ""][:3]
    with _no_password_told():
        ApiCluster(Connection(host=host, proxy=proxy, api_key=key))


@contextlib.contextmanager
def _no_password_told() -> Iterator[None]:
    """Check that a URL's password stays out of an error."""
    try:
        yield
    except errors.ChaosKernelError as error:
        require(":s3cr3t@" not in str(error), "a password is shown")
        raise


_RECORD = {
    "name": "mount-enomem",
    "fault": "slab",
    "hook": "should_failslab",
    "mechanism": "fmod_ret",
    "engine": "bcc",
    "callchain": [{"symbol": "path_mount", "mechanism": "fentry"}],
    "targets": [{"pid": 812, "command": "mount_loop"}, {"pod": "a/b", "containers": ["c"]}],
    "state": "ended",
    "armed_at": "2026-01-01T00:00:00+00:00",
    "ended_at": "2026-01-01T00:00:08.250000+00:00",
    "reason": "stop",
    "dry_run": True,
    "counters": {
        "reached": 40,
        "matched": 9,
        "injected": 4,
        "held_probability": 5,
        "held_dry_run": 2,
        "frames": [{"symbol": "path_mount", "entered": 13, "matched": 12}],
        "processes": [
            {"pid": 812, "command": "mount_loop", "injected": 1},
            {"pid": 815, "command": "mount", "injected": 3},
        ],
    },
    "events": [{"stack": ["should_failslab+0x1", "__kmalloc+0x5f"]}],
}
_JOURNAL = {
    "status": "completed",
    "deviated": False,
    "experiment": {"title": "mount survives"},
    JOURNAL_KEY: {"faults": [_RECORD], "shortfalls": ["fault 'x' injected nothing"]},
}
_JOURNAL_WORDS = (
    *_RECORD,
    *("injected", "stack", "symbol", "entered", "pid", "command", "system_wide", "cgroup", "none"),
)


def _try_journal(given: str, scratch: Path) -> None:
    file = scratch / "journal.json"
    file.write_bytes(given.encode("utf-8", "surrogatepass"))
    json.loads(invoked(summary.command, str(file), "--json"))
    invoked(summary.command, str(file))


TARGETS = (
    Target(
        "manifests",
        16,
        mutate.documents((_KERNEL_CHAOS, _SCHEDULE), _MANIFEST_WORDS, write=_yaml)
        | mutate.documents((_KERNEL_CHAOS, _SCHEDULE), _MANIFEST_WORDS),
        _try_manifest,
        tuple(json.dumps(each) for each in (_KERNEL_CHAOS, _SCHEDULE)),
        (
            *DEEP,
            "&a [*a, *a]",
            "a: &a [" + "x," * 9 + "]\n" + "".join(f"b{n}: &b{n} [*a,*a]\n" for n in range(9)),
            "- " * 20_000,
            "? " * 20_000,
            "{" * 20_000,
            "!!python/object/apply:os.system [true]",
            "---\n" * 20_000,
            "a: " * 300,
            "x: 1_000:59:59\ny: 0o777\nz: .inf\n",
        ),
    ),
    Target(
        "convert",
        2,
        mutate.documents((_KERNEL_CHAOS, _SCHEDULE), _MANIFEST_WORDS, write=_yaml),
        _try_convert,
        (_yaml(_KERNEL_CHAOS), _yaml(_SCHEDULE)),
        DEEP,
    ),
    Target(
        "selections",
        8,
        mutate.documents(
            _SELECTIONS,
            _MANIFEST_WORDS,
        ),
        _try_selection,
        tuple(map(json.dumps, _SELECTIONS)),
    ),
    Target(
        "agent-documents",
        18,
        mutate.documents((_FAULT, _POD_FAULT, _ASSIGNMENT), _FAULT_WORDS),
        _try_fault,
        tuple(map(json.dumps, (_FAULT, _POD_FAULT, _ASSIGNMENT))),
        DEEP,
    ),
    Target(
        "agent-errors",
        5,
        mutate.documents(
            _ERRORS,
            ("error", "message", "hint", "key", "value", "DeadHook", "InvalidManifest", "Any"),
        ),
        _try_error,
        tuple(map(json.dumps, _ERRORS)),
        DEEP,
    ),
    Target(
        "arguments",
        8,
        mutate.documents((_ARGUMENTS,), _FAULT_WORDS),
        _try_arguments,
        (json.dumps(_ARGUMENTS),),
    ),
    Target(
        "journals",
        10,
        mutate.documents((_JOURNAL,), _JOURNAL_WORDS),
        _try_journal,
        (json.dumps(_JOURNAL),),
        DEEP,
    ),
    Target(
        "kubeconfigs",
        2,
        mutate.documents(
            (_KUBECONFIG,),
            ("server", "https://x:99999", "proxy-url", "http://[::1", "token", "tls-server-name"),
        ),
        _try_kubeconfig,
        (json.dumps(_KUBECONFIG),),
        DEEP,
    ),
    Target(
        "servers",
        4,
        mutate.texts(
            _SERVERS,
            ("://", ":99999", ":0", "@", "user:s3cr3t@", "[", "]", "%zz", " ", "socks5://", "\\"),
        ),
        _try_server,
        _SERVERS,
        (
            "https://u:s3cr3t@h:99999",
            "https://u:s3cr3t@[::1",
            "https://h u:s3cr3t@proxy:99999",
            "https://h socks5://u:s3cr3t@h:1",
            "https://h http://u:s3cr3t@h:1\r\n",
            "https://" + "h" * 70_000,
            "u:s3cr3t@h",
        ),
    ),
)

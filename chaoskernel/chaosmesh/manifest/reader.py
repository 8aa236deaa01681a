"""Documents of kind KernelChaos and Schedule -> what they say.

The fields and what they mean: Chaos Mesh, api/v1alpha1/kernelchaos_types.go, selector.go and
schedule_types.go.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence

from chaoskernel.chaosmesh.cron import Cron, cron
from chaoskernel.chaosmesh.manifest.document import Problems, Value
from chaoskernel.chaosmesh.manifest.fields import Fields
from chaoskernel.chaosmesh.manifest.model import Concurrency, KernelChaos, Plan
from chaoskernel.chaosmesh.manifest.selector import SELECTION, annotation_map, label_map, selection
from chaoskernel.errors import InvalidFault
from chaoskernel.fault import syntax
from chaoskernel.fault.chain import check_frames
from chaoskernel.fault.checks import DNS_LABEL, check_function
from chaoskernel.fault.hooks import Kind
from chaoskernel.fault.limits import MAX_DURATION
from chaoskernel.fault.rules import check_headers
from chaoskernel.fault.scope import Scope
from chaoskernel.fault.spec import Frame

API_VERSION = "chaos-mesh.org/v1alpha1"
PAUSE = "experiment.chaos-mesh.org/pause"

_KINDS = ("KernelChaos", "Schedule")
_DOCUMENT = ("apiVersion", "kind", "metadata", "spec", "status")
# Those beside the first four are the cluster's, as `kubectl get -o yaml` prints them.
_METADATA = (
    *("name", "namespace", "labels", "annotations"),
    *("creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers"),
    *("generateName", "generation", "managedFields", "ownerReferences", "resourceVersion"),
    *("selfLink", "uid"),
)
_SPEC = (*SELECTION, "failKernRequest", "duration", "scheduler")
_REQUEST = ("failtype", "headers", "callchain", "probability", "times")
_FRAME = ("funcname", "parameters", "predicate")
_SCHEDULE = (
    *("schedule", "type", "kernelChaos", "concurrencyPolicy", "historyLimit"),
    "startingDeadlineSeconds",
)
_FAILTYPES = (Kind.SLAB, Kind.PAGE, Kind.BIO)
"""By failtype."""

_MAX_UINT32 = 2**32 - 1
_MAX_SECONDS = 10 * 365 * 24 * 3600
_OBJECT_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
"""Kubernetes allows longer ones; a fault has no room for them."""

_EVERYBODY = Scope(system_wide=True)


def kernel_chaos(document: Value, problems: Problems) -> KernelChaos | None:
    """Return what a document says; nothing when it is too wrong to say anything.

    Everything that is wrong is noted.
    """
    root = Fields(document, problems, _DOCUMENT)
    kind = _required_text(root, "kind", " or ".join(_KINDS))
    _check_word(root, "kind", _KINDS)
    _required_text(root, "apiVersion", API_VERSION)
    _check_word(root, "apiVersion", (API_VERSION,))
    metadata = root.inner("metadata", _METADATA, is_required=True)
    name = _object_name(metadata) if metadata else ""
    namespace = _namespace(metadata) if metadata else "default"
    paused = False
    if metadata:
        label_map(metadata, "labels")  # nothing goes by them, but the API server refuses wrong ones
        # Kubernetes has no annotation that is true, only one that is 'true'.
        paused = annotation_map(metadata, "annotations").get(PAUSE) == "true"
    if _is_of_another_kind(root, kind):
        return None  # measured against a KernelChaos, each of its fields would be wrong
    spec = root.inner("spec", _SCHEDULE if kind == "Schedule" else _SPEC, is_required=True)
    if spec is None or kind not in _KINDS:
        return None
    found = (_scheduled if kind == "Schedule" else _planned)(spec, name, namespace)
    return dataclasses.replace(found, paused=paused) if found else None


def _is_of_another_kind(root: Fields, kind: str) -> bool:
    """Tell whether a document, or what its Schedule makes, is of a kind that is not read."""
    if kind not in _KINDS:
        return kind != ""
    spec = root.given("spec")
    if kind != "Schedule" or spec is None or not isinstance(spec.content, dict):
        return False
    given = spec.content.get("type")
    if given is None or not isinstance(given.content, str) or given.content in ("", "KernelChaos"):
        return False
    _check_word(root.of(spec, spec.content), "type", ("KernelChaos",))
    return True


def _planned(spec: Fields, name: str, namespace: str) -> KernelChaos | None:
    """Read the `spec` of a KernelChaos; `scheduler` is of Chaos Mesh 1."""
    found = _chaos(spec, name, namespace)
    scheduler = spec.inner("scheduler", ("cron",))
    if scheduler is None:
        return found
    when = _cron(scheduler, "cron")
    if spec.given("duration") is None:
        spec.required("duration", "how long the fault of each tick lasts, such as 30s")
    return dataclasses.replace(found, plan=Plan(when)) if found and when else None


def _scheduled(spec: Fields, name: str, namespace: str) -> KernelChaos | None:
    """Read the `spec` of a Schedule."""
    _required_text(spec, "type", "KernelChaos")
    _check_word(spec, "type", ("KernelChaos",))
    when = _cron(spec, "schedule")
    concurrency = spec.member("concurrencyPolicy", Concurrency.FORBID)
    history = spec.number("historyLimit", 1, 1, _MAX_UINT32)
    late = spec.number("startingDeadlineSeconds", -1, 0, _MAX_SECONDS)
    known = tuple(field for field in _SPEC if field != "scheduler")
    inner = spec.inner("kernelChaos", known, is_required=True)
    found = _chaos(inner, name, namespace) if inner else None
    if found is None or when is None:
        return None
    plan = Plan(when, concurrency, None if late < 0 else float(late), history)
    return dataclasses.replace(found, plan=plan)


def _chaos(spec: Fields, name: str, namespace: str) -> KernelChaos | None:
    selected = selection(spec, namespace)
    duration = spec.parsed("duration", _duration, None)
    request = spec.inner("failKernRequest", _REQUEST, is_required=True)
    if request is None:
        return None
    request.required("failtype", "0 for slab, 1 for page or 2 for bio")
    kind = _FAILTYPES[request.number("failtype", 0, 0, len(_FAILTYPES) - 1)]
    callchain, predicate = _chain(request, _bounded_frames(request))
    found = KernelChaos(
        name=name,
        namespace=namespace,
        selection=selected,
        kind=kind,
        callchain=callchain,
        predicate=predicate,
        headers=tuple(_headers(request)),
        probability=request.number("probability", 100, 0, 100) or 100,
        times=request.number("times", 0, 0, _MAX_UINT32),
        duration=duration,
    )
    _check_whole(found, request)
    return found


def _check_whole(found: KernelChaos, request: Fields) -> None:
    """Note what is wrong with the parts together: too many frames, and the like."""
    if found.name:
        with request.noting(request.value):
            found.fault(_EVERYBODY)


def _bounded_frames(request: Fields) -> Sequence[Value]:
    """Return the items of the call chain; too many are noted, and not read one by one."""
    items = request.items("callchain")
    with request.noting(request.value):
        # The last one may be the hook's, and no frame.
        check_frames("callchain", len(items) - (not _names_a_function(items)))
        return items
    return ()


def _names_a_function(items: Sequence[Value]) -> bool:
    last = items[-1].content if items else None
    return isinstance(last, dict) and "funcname" in last


def _chain(request: Fields, items: Sequence[Value]) -> tuple[tuple[Frame, ...], str]:
    """Return the frames, and the predicate of the hook, which stands in a last frame of its own."""
    frames: list[Frame] = []
    predicate = ""
    for number, item in enumerate(items, 1):
        fields = request.of(item, _FRAME)
        funcname = fields.parsed("funcname", _function, "")
        parameters = fields.parsed("parameters", syntax.parameters, "")
        test = fields.parsed("predicate", syntax.expression, "")
        if funcname:
            frames.append(Frame(funcname, parameters, test))
        elif fields.given("funcname"):
            continue  # it is no name, which is noted
        elif number < len(items):
            fields.required("funcname", "a kernel function: only the last frame may be the hook's")
        else:
            predicate = test
            if parameters:
                fields.refuse(
                    fields.value.content["parameters"],
                    "is not possible without funcname; the hook's own arguments have their names",
                )
    return tuple(frames), predicate


def _headers(request: Fields) -> Iterator[str]:
    with request.noting(request.value):
        check_headers("headers", len(request.items("headers")))
        for item in request.text_items("headers"):
            with request.noting(item):
                yield from syntax.headers([item.content], key=item.path)


def _function(text: str, *, key: str) -> str:
    if text:
        check_function(key, text)
    return text


def _duration(text: str, *, key: str) -> float | None:
    seconds = syntax.duration(text, key=key)
    if not 0 < seconds <= MAX_DURATION:
        raise InvalidFault(
            key, text, f"a time above 0 and up to {MAX_DURATION / 3600:g}h", hint="such as 30s"
        )
    return seconds


def _cron(fields: Fields, name: str) -> Cron | None:
    fields.required(name, "a cron expression, such as */5 * * * * or @every 10m")

    def parse(text: str, *, key: str) -> Cron | None:
        return cron(text, key=key)

    return fields.parsed(name, parse, None)


def _object_name(metadata: Fields) -> str:
    metadata.required("name", "what the object is called")
    return _named(
        metadata,
        "name",
        _OBJECT_NAME,
        "is not a name; use up to 63 small letters, digits, dots, dashes",
        absent="",
    )


def _namespace(metadata: Fields) -> str:
    return _named(
        metadata,
        "namespace",
        DNS_LABEL,
        "is not the name of a namespace; use up to 63 small letters, digits, dashes",
        absent="default",
    )


def _named(metadata: Fields, field: str, form: re.Pattern[str], why: str, *, absent: str) -> str:
    text = metadata.text(field, absent)
    item = metadata.given(field)
    if item is not None and isinstance(item.content, str) and not form.fullmatch(text):
        metadata.refuse(item, why)
        return absent
    return text


def _required_text(fields: Fields, name: str, what: str) -> str:
    fields.required(name, what)
    return fields.text(name)


def _check_word(fields: Fields, name: str, words: Sequence[str]) -> None:
    item = fields.given(name)
    if item is not None and isinstance(item.content, str) and item.content not in words:
        fields.refuse(item, f"is not {' or '.join(words)}")

"""Documents for the tests of what reads them."""

from __future__ import annotations

import json
from typing import Any

SEED = """\
apiVersion: chaos-mesh.org/v1alpha1
kind: KernelChaos
metadata:
  name: kernel-chaos-example
  namespace: chaos-testing
spec:
  mode: one
  selector:
    namespaces:
      - chaos-mount
  failKernRequest:
    callchain:
      - funcname: "__x64_sys_mount"
    failtype: 0
"""
"""The sample of Chaos Mesh's KernelChaos document, indented."""


def document(request: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """Return a KernelChaos with these fields beside the required ones."""
    return {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "KernelChaos",
        "metadata": {"name": "demo", "namespace": "apps"},
        "spec": {
            "mode": "all",
            "selector": {},
            "failKernRequest": {"failtype": 0, **(request or {})},
            **spec,
        },
    }


def schedule(**spec: Any) -> dict[str, Any]:
    """Return a Schedule of a KernelChaos with these fields beside the required ones."""
    inner = document(duration="30s")
    return {
        **inner,
        "kind": "Schedule",
        "spec": {
            "schedule": "@every 10m",
            "type": "KernelChaos",
            "kernelChaos": inner["spec"],
            **spec,
        },
    }


def as_json(value: dict[str, Any]) -> str:
    """Return a document as text that reads as one and not as a path."""
    return json.dumps(value, indent=2)

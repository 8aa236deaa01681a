"""What the programs of a node read: pure functions of what the node is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tools.cluster.certificates import Pair

SOCKET = "/run/containerd/containerd.sock"

# A kubelet that finds another value sets its own, for the whole host.  It finds these: files
# of the node's are mounted over them.
TUNABLES = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}

_CONTAINERD = """\
version = 2

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # A container of tests may be the first that the kernel ends, but no other.
  restrict_oom_score_adj = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{network}"

  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


def containerd(pause: str, network: Path) -> str:
    """Return the configuration of containerd.

    :param pause: the image of sandboxes.
    :param network: the directory of what network() says.
    """
    return _CONTAINERD.format(pause=pause, network=network)


def network(pods: str) -> str:
    """Return the configuration of the pods' network: a bridge on the node.

    :param pods: their addresses, such as 10.64.1.0/24.
    """
    ranges = [[{"subnet": pods}]]
    routes = [{"dst": "0.0.0.0/0"}]
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipam": {"type": "host-local", "ranges": ranges, "routes": routes},
    }
    return _json({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge]})


def kubelet(authority: Path, own: Pair, static: Path) -> str:
    """Return the configuration of a kubelet.

    :param authority: the certificate that clients' are signed by.
    :param own: its certificate as a server.
    :param static: the directory of its static pods.
    """
    return _json(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": False},
                "x509": {"clientCAFile": str(authority)},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "enforceNodeAllocatable": [],
            # The host's disk is not the tests' to judge, nor to clear.
            "evictionHard": {"memory.available": "100Mi"},
            "imageGCHighThresholdPercent": 100,
            "failSwapOn": False,
            "protectKernelDefaults": True,
            "resolvConf": "",
            "staticPodPath": str(static),
            "tlsCertFile": str(own.certificate),
            "tlsPrivateKeyFile": str(own.key),
        }
    )


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=1) + "\n"

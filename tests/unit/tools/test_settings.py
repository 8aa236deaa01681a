"""What the programs of a node read."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from tools.cluster import settings
from tools.cluster.certificates import Pair

PAIR = Pair(Path("/c"), Path("/k"))


def test_containerd_has_the_drivers_and_places_of_a_node() -> None:
    read = tomllib.loads(settings.containerd("localhost/pause:1", Path("/state/network")))
    plugin = read["plugins"]["io.containerd.grpc.v1.cri"]
    assert plugin["sandbox_image"] == "localhost/pause:1"
    assert plugin["cni"] == {"bin_dir": "/usr/lib/cni", "conf_dir": "/state/network"}
    options = plugin["containerd"]["runtimes"]["runc"]["options"]
    # As the kubelet's: else containers are not below their pod's control group.
    kubelet = json.loads(settings.kubelet(Path("/ca"), PAIR, Path("/static")))
    assert (options["SystemdCgroup"], kubelet["cgroupDriver"]) == (False, "cgroupfs")


def test_a_kubelet_leaves_the_hosts_settings_alone() -> None:
    kubelet = json.loads(settings.kubelet(Path("/ca"), PAIR, Path("/static")))
    assert kubelet["protectKernelDefaults"] is True
    assert kubelet["authentication"]["anonymous"] == {"enabled": False}
    assert all(Path("/proc/sys", name).exists() for name in settings.TUNABLES)


def test_pods_have_addresses_of_their_node() -> None:
    read = json.loads(settings.network("10.64.2.0/24"))
    assert read["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.64.2.0/24"}]]

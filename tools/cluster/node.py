"""A node: containerd and a kubelet in namespaces of their own, on the cluster's bridge.

It is no machine: it has the host's kernel, which cannot be made to fail by what runs here.
Scheduling, control groups and Jobs are real.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from chaoskernel import process
from tools.cluster import boot, groups, images, settings, spaces
from tools.cluster.control import ControlPlane
from tools.cluster.daemon import Daemon
from tools.cluster.lifetime import Lifetime

_READY_SECONDS = 300.0
_IMPORT_SECONDS = 300.0


class Node(Lifetime):
    """A node of a cluster, from entering this context to leaving it.

    :param number: from 1 on; its addresses follow from it.
    :param archives: images that its containerd gets.
    """

    def __init__(
        self, plane: ControlPlane, name: str, number: int, archives: Sequence[Path] = ()
    ) -> None:
        self.name = name
        self.address = spaces.address(10 + number)
        self.state = spaces.STATE / "nodes" / name
        self._plane = plane
        self._pods = f"10.64.{number}.0/24"
        self._archives = archives
        self._group = f"{spaces.group()}/{name}"
        self._logs = plane.directory / name
        self._first = Daemon(name, self._command(), plane.directory / f"{name}.log")

    @property
    def socket(self) -> Path:
        """That of its containerd, as it is reached from outside of the node."""
        return self.state / settings.SOCKET.lstrip("/")

    @property
    def static(self) -> Path:
        """The directory of its static pods: manifests that its kubelet runs by itself."""
        return self.state / "static"

    def _begin(self, undo: contextlib.ExitStack) -> None:
        self._write_settings()
        self._connect()
        undo.callback(spaces.run, "ip", "netns", "delete", self.name)
        undo.callback(self.stop)
        self.start()
        self.load(*self._archives)
        self.await_ready()

    def start(self) -> None:
        """Switch it on: what it had on its disk is there still.

        :raises LabError: it has ended, for what its log says last.
        :raises TimeLimit: its containerd did not come up.
        """
        self.socket.unlink(missing_ok=True)
        groups.make(self._group)
        groups.make(f"{self._group}/{boot.SYSTEM}", lend=False)
        self._first.start()
        self._first.await_(self.socket.exists, _READY_SECONDS)

    def stop(self) -> None:
        """Cut its power: every process of it ends at once."""
        self._first.stop(grace=0)
        groups.remove(self._group)

    def cut(self) -> None:
        """Cut it off from the network; what runs on it goes on."""
        spaces.run("ip", "link", "set", self.name, "down")

    def join(self) -> None:
        """Connect it to the network again."""
        spaces.run("ip", "link", "set", self.name, "up")
        spaces.run("ip", "route", "replace", self._pods, "via", self.address)

    def load(self, *archives: Path) -> None:
        """Give images to its containerd, at the same time.

        :raises CommandFailed: one is no image.
        """
        ctr = ["ctr", "--address", str(self.socket), "--namespace", "k8s.io", "images", "import"]

        def load(archive: Path) -> None:
            process.run([*ctr, str(archive)], seconds=_IMPORT_SECONDS)

        with ThreadPoolExecutor() as pool:
            list(pool.map(load, archives))

    def await_ready(self) -> None:
        """Wait until the cluster knows it as ready.

        :raises LabError: it has ended, for what its log says last.
        :raises TimeLimit: it took too long.
        """
        self._first.await_(self.is_ready, _READY_SECONDS)

    def is_ready(self) -> bool:
        """Tell whether the cluster knows it as ready."""
        answer = self._plane.api.ask(f"/api/v1/nodes/{self.name}")
        conditions = json.loads(answer)["status"].get("conditions", []) if answer else []
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def _write_settings(self) -> None:
        network = self.state / "network"
        for directory in (network, self.static):
            directory.mkdir(parents=True, exist_ok=True)
        for log in self._logs.parent.glob(f"{self.name}-*.log"):
            log.unlink()
        (network / "pods.conflist").write_text(settings.network(self._pods), encoding="utf-8")
        (self.state / "containerd.toml").write_text(
            settings.containerd(images.PAUSE, network), encoding="utf-8"
        )
        authority = self._plane.authority
        own = authority.issue(self.name, hosts=[self.name, self.address])
        (self.state / "kubelet.json").write_text(
            settings.kubelet(authority.pair.certificate, own, self.static), encoding="utf-8"
        )

    def _connect(self) -> None:
        """Lay a cable from the cluster's bridge into a network of the node's own."""
        inside = ["ip", "-n", self.name]
        spaces.run("ip", "netns", "add", self.name)
        cable = ["type", "veth", "peer", "name", "eth0", "netns", self.name]
        spaces.run("ip", "link", "add", self.name, *cable)
        spaces.run("ip", "link", "set", self.name, "master", spaces.BRIDGE)
        spaces.run(*inside, "link", "set", "lo", "up")
        spaces.run(*inside, "address", "add", f"{self.address}/24", "dev", "eth0")
        spaces.run(*inside, "link", "set", "eth0", "up")
        spaces.run(*inside, "route", "add", "default", "via", spaces.ADDRESS)
        self.join()

    def _command(self) -> list[str]:
        """Return the command line of the node's first process, and how it gets into its spaces."""
        own = groups.places(self._group)
        system = groups.places(f"{self._group}/{boot.SYSTEM}")
        return [
            # The namespace of control groups begins at the group in which it is made.
            *groups.joining(own),
            *("nsenter", f"--net=/run/netns/{self.name}", "--"),
            *("unshare", "--cgroup", "--uts", "--ipc", "--"),
            *groups.joining(system),
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"),
            *(sys.executable, "-m", "tools.cluster.boot"),
            *(self.name, str(self.state), str(self._logs)),
            *self._kubelet(),
        ]

    def _kubelet(self) -> list[str]:
        kubeconfig = self._plane.kubeconfig_of(f"system:node:{self.name}", ["system:nodes"])
        return [
            str(self._plane.programs / "kubelet"),
            f"--config={self.state / 'kubelet.json'}",
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={self.name}",
            f"--node-ip={self.address}",
            "--container-runtime=remote",
            f"--container-runtime-endpoint=unix://{settings.SOCKET}",
        ]

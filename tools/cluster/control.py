"""The control plane: etcd, the API server and what works for it, as processes of this one."""

from __future__ import annotations

import contextlib
import shutil
import ssl
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from chaoskernel.lab.progress import Progress
from tools.cluster import kubeconfig
from tools.cluster.certificates import Authority
from tools.cluster.daemon import Daemon
from tools.cluster.lifetime import Lifetime
from tools.cluster.spaces import ADDRESS

ADMINISTRATORS = "system:masters"

_PORT = 6443
_SERVICES = "10.0.0.0/24"
_FIRST_SERVICE = "10.0.0.1"  # that of the API server itself

_READY_SECONDS = 300.0
_ASK_SECONDS = 5.0


class ControlPlane(Lifetime):
    """A control plane, from entering this context to leaving it.

    :param directory: for its certificates, logs and data; it is made.
    :param programs: the directory of what source.binaries() built.
    :param address: where the API server listens.
    :param controllers: start the controller-manager too.
    :param scheduler: start the scheduler too.
    :param api_options: more flags of the API server.
    :param controller_options: of the controller-manager.
    """

    def __init__(
        self,
        directory: Path,
        programs: Path,
        address: str = ADDRESS,
        *,
        controllers: bool = True,
        scheduler: bool = True,
        api_options: Sequence[str] = (),
        controller_options: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> None:
        # Objects of an earlier cluster are none of this one's.
        shutil.rmtree(directory / "etcd", ignore_errors=True)
        self.directory = directory
        self.programs = programs
        self.address = address
        self.url = f"https://{address}:{_PORT}"
        self.authority = Authority(directory / "certificates")
        self.kubeconfig = self.kubeconfig_of("admin", [ADMINISTRATORS])
        self.etcd = Daemon("etcd", self._etcd(), directory / "etcd.log")
        self.api = Api(self, api_options)
        workers = {"kube-controller-manager": controllers, "kube-scheduler": scheduler}
        self._controller_options = controller_options
        self.workers = [self._worker(name) for name, wanted in workers.items() if wanted]
        self._has_accounts = controllers
        self._progress = progress

    def _begin(self, undo: contextlib.ExitStack) -> None:
        if self._progress:
            self._progress.phase("starting etcd and the API server")
        for daemon in (self.etcd, self.api):
            undo.callback(daemon.stop, grace=0)
            daemon.start()
        for worker in self.workers:
            undo.callback(worker.stop, grace=0)
            worker.start()
        if self._has_accounts:
            # No pod can be made before there is the account that it runs as.
            account = "/api/v1/namespaces/default/serviceaccounts/default"
            self.workers[0].await_(lambda: self.api.ask(account) is not None, _READY_SECONDS)

    def kubeconfig_of(self, name: str, groups: Sequence[str] = ()) -> Path:
        """Return a kubeconfig of a user, who is known by a certificate.

        :param name: a node's is system:node:NAME, in the group system:nodes.
        """
        pair = self.authority.issue(name, groups=groups)
        path = self.directory / f"{name.replace(':', '-')}.kubeconfig"
        return kubeconfig.of_certificate(path, self.url, self.authority.pair.certificate, pair)

    def kubeconfig_of_token(self, name: str, token: str) -> Path:
        """Return a kubeconfig of whoever a token is, such as a service account.

        :param name: of the file.
        """
        path = self.directory / f"{name}.kubeconfig"
        return kubeconfig.of_token(path, self.url, self.authority.pair.certificate, token)

    def _etcd(self) -> list[str]:
        client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
        return [
            *("etcd", "--name", "control", "--data-dir", str(self.directory / "etcd")),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"control={peer}", "--unsafe-no-fsync"),
        ]

    def _worker(self, name: str) -> Daemon:
        config = self.kubeconfig_of(f"system:{name}")
        command = [
            *(str(self.programs / name), f"--kubeconfig={config}", "--leader-elect=false"),
            *("--bind-address=127.0.0.1", "--port=0"),
        ]
        if name == "kube-controller-manager":
            certificate, key = self.authority.pair.certificate, self.api.accounts.key
            command += [
                f"--root-ca-file={certificate}",
                f"--service-account-private-key-file={key}",
                "--use-service-account-credentials=true",
                "--feature-gates=TTLAfterFinished=true",
                *self._controller_options,
            ]
        return Daemon(name, command, self.directory / f"{name}.log")


class Api(Daemon):
    """The API server, which can be stopped and started again.

    :param options: more flags.
    """

    def __init__(self, plane: ControlPlane, options: Sequence[str] = ()) -> None:
        self._plane = plane
        authority = plane.authority
        self.accounts = authority.issue("service-accounts")
        self._admin = authority.issue("readiness", groups=[ADMINISTRATORS])
        super().__init__(
            "kube-apiserver",
            [*self._flags(), *options],
            plane.directory / "kube-apiserver.log",
        )

    def start(self) -> None:
        """Start it, and wait until it is ready.

        :raises LabError: it has ended, for what its log says last.
        :raises TimeLimit: it was not ready in time.
        """
        super().start()
        self.await_(lambda: self.ask("/readyz") is not None, _READY_SECONDS)

    def ask(self, path: str) -> str | None:
        """Return its answer to a GET by an administrator; None where it gave none, or an error."""
        context = ssl.create_default_context(cafile=self._plane.authority.pair.certificate)
        context.load_cert_chain(self._admin.certificate, self._admin.key)
        opener = urllib.request.build_opener(
            urllib.request.HTTPSHandler(context=context), urllib.request.ProxyHandler({})
        )
        try:
            with opener.open(self._plane.url + path, timeout=_ASK_SECONDS) as answer:
                return str(answer.read(), "utf-8")
        except OSError:
            return None

    def _flags(self) -> list[str]:
        plane = self._plane
        authority = plane.authority
        names = (plane.address, "127.0.0.1", _FIRST_SERVICE, "localhost", "kubernetes.default.svc")
        own = authority.issue("kube-apiserver", hosts=names)
        kubelets = authority.issue("kube-apiserver-kubelet-client", groups=[ADMINISTRATORS])
        return [
            str(plane.programs / "kube-apiserver"),
            "--etcd-servers=http://127.0.0.1:2379",
            f"--bind-address={plane.address}",
            f"--advertise-address={plane.address}",
            f"--secure-port={_PORT}",
            f"--tls-cert-file={own.certificate}",
            f"--tls-private-key-file={own.key}",
            f"--client-ca-file={authority.pair.certificate}",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            f"--service-cluster-ip-range={_SERVICES}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-signing-key-file={self.accounts.key}",
            f"--service-account-key-file={self.accounts.key}",
            f"--kubelet-client-certificate={kubelets.certificate}",
            f"--kubelet-client-key={kubelets.key}",
            f"--kubelet-certificate-authority={authority.pair.certificate}",
            "--kubelet-preferred-address-types=InternalIP",
            "--feature-gates=TTLAfterFinished=true",
        ]

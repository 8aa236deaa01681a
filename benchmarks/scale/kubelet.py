"""Stands in for the kubelets of all nodes: makes nodes and pods, and plays the agents of Jobs.

Every node's address leads here.  What is asked of it is what a kubelet does for the API
server: the status of pods, their end, and their logs.  It does what a line on standard input says,
`{"nodes": N}`, tells on standard output how far it is, and ends when standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

import aiohttp
from aiohttp import web

from benchmarks.scale import documents
from benchmarks.scale.documents import Document
from chaoskernel.k8s.job import CONTAINER

_AT_ONCE = 16
_CALM_SECONDS = 10.0
"""How often an agent speaks that has counted nothing new."""
_WATCH_SECONDS = 300
_LINE_BYTES = 1 << 20
_PATCH = {"Content-Type": "application/merge-patch+json"}


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What it is told when it starts, as one JSON document.

    :param server: the API server's URL.
    :param authority: who signed its certificate.
    :param certificate: by which both the API server and, as a server, this one is known.
    :param address: of every node.
    :param seconds: between two counts that an agent reports.
    """

    server: str
    authority: str
    certificate: str
    key: str
    serving_certificate: str
    serving_key: str
    address: str
    port: int
    seconds: float = 1.0


class Agent:
    """The agent in the pod of a Job."""

    def __init__(self, document: Document) -> None:
        self.name = document["metadata"]["name"]
        self.document = document
        self.ending = asyncio.Event()
        self._fault = documents.fault_of(document)

    def said(self) -> bytes:
        """Return what it has said when it has just been armed."""
        return b"".join(documents.first_words(self._fault))

    async def say(self, seconds: float) -> AsyncIterator[bytes]:
        """Yield what it says, until its pod is deleted."""
        for line in documents.first_words(self._fault):
            yield line
        injected, step = 0, documents.INJECTED_BY_A_NODE // 10
        while not self.ending.is_set():
            injected = min(injected + step, documents.INJECTED_BY_A_NODE)
            yield documents.counters(self._fault, injected)
            calm = injected == documents.INJECTED_BY_A_NODE
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.ending.wait(), _CALM_SECONDS if calm else seconds)
        yield documents.last_words(self._fault)


class Kubelets:
    """All of them.

    :param api: asks the API server; its base is the server's URL.
    """

    def __init__(self, api: aiohttp.ClientSession, options: Options) -> None:
        self._api = api
        self._options = options
        self._agents: dict[str, Agent] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def register(self, numbers: Iterable[int], tell: Callable[[], None]) -> None:
        """Make nodes, and the pods that are selected from.

        :param tell: called for each node that is there.
        """

        async def make(number: int) -> None:
            node = documents.node(number, self._options.address, self._options.port)
            await self._ask("POST", "/api/v1/nodes", node)
            first = number * documents.PODS_OF_A_NODE
            for each in range(first, first + documents.PODS_OF_A_NODE):
                made = await self._ask("POST", _pods(documents.TARGETS), documents.pod(each))
                await self._set_status(made, documents.running(made))
            tell()

        await _each(make, numbers)

    async def follow(self) -> None:
        """Start and end the agents of Jobs, as their pods come and go."""
        while True:
            query = {"watch": "1", "timeoutSeconds": str(_WATCH_SECONDS)}
            async with self._api.get(_pods(documents.JOBS), params=query) as answer:
                answer.raise_for_status()
                async for line in answer.content:
                    event = json.loads(line)
                    self._see(event["type"], event["object"])

    async def log(self, request: web.Request) -> web.StreamResponse:
        """Answer as a kubelet does that is asked for a container's log."""
        agent = self._agents.get(request.match_info["pod"])
        if agent is None or request.match_info["container"] != CONTAINER:
            raise web.HTTPNotFound(text="there is no such container")
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await answer.prepare(request)
        if request.query.get("follow") == "true":
            async for line in agent.say(self._options.seconds):
                await answer.write(line)
        else:
            await answer.write(agent.said())
        return answer

    def _see(self, kind: str, document: Document) -> None:
        name = document["metadata"]["name"]
        agent = self._agents.get(name)
        if kind == "DELETED":
            self._agents.pop(name, None)
        elif document["metadata"].get("deletionTimestamp"):
            if agent and not agent.ending.is_set():
                agent.ending.set()
                self._begin(self._end(agent))
        elif agent is None and document["status"]["phase"] == "Pending":
            self._agents[name] = agent = Agent(document)
            self._begin(self._run(document))

    async def _run(self, document: Document) -> None:
        """Report that an agent runs, and, where a probe asks for it, that it is ready.

        At once: a real kubelet asks once a second at most.
        """
        (container,) = document["spec"]["containers"]
        probed = "readinessProbe" in container
        await self._set_status(document, documents.running(document, ready=not probed))
        if probed:
            await self._set_status(document, documents.running(document))

    async def _end(self, agent: Agent) -> None:
        """Report what has ended, and let the API server forget it."""
        await self._set_status(agent.document, documents.succeeded(agent.document))
        place = f"{_pods(documents.JOBS)}/{agent.name}"
        await self._ask("DELETE", place, {"gracePeriodSeconds": 0})

    async def _set_status(self, document: Document, status: Document) -> None:
        metadata = document["metadata"]
        place = f"{_pods(metadata['namespace'])}/{metadata['name']}/status"
        await self._ask("PATCH", place, {"status": status}, _PATCH)

    async def _ask(
        self, method: str, path: str, body: Document, headers: Mapping[str, str] | None = None
    ) -> Document:
        async with self._api.request(method, path, json=body, headers=headers) as answer:
            if answer.status >= 300 and answer.status != 404:
                raise SystemExit(f"{method} {path}: {answer.status} {await answer.text()}")
            found: Document = await answer.json()
            return found

    def _begin(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            print(f"kubelets: {error}", file=sys.stderr, flush=True)


async def _each(do: Callable[[int], Awaitable[None]], numbers: Iterable[int]) -> None:
    """Do something with each number, several at once."""
    left = iter(numbers)

    async def work() -> None:
        for number in left:
            await do(number)

    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))


def _pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def _say(what: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def _obey(kubelets: Kubelets) -> None:
    """Do what standard input says until it ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    there = 0

    def tell() -> None:
        nonlocal there
        there += 1
        _say({"made": there})

    while line := await reader.readline():
        wanted = json.loads(line)["nodes"]
        await kubelets.register(range(there, wanted), tell)
        _say({"nodes": wanted})


async def main(options: Options) -> None:
    """Stand in for kubelets until standard input ends, or the API server does."""
    trust = ssl.create_default_context(cafile=options.authority)
    trust.load_cert_chain(options.certificate, options.key)
    identity = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    identity.load_cert_chain(options.serving_certificate, options.serving_key)
    async with aiohttp.ClientSession(
        options.server,
        connector=aiohttp.TCPConnector(limit=2 * _AT_ONCE, ssl=trust),
        timeout=aiohttp.ClientTimeout(total=None),
        read_bufsize=_LINE_BYTES,
    ) as api:
        kubelets = Kubelets(api, options)
        served = web.Application()
        served.router.add_get("/containerLogs/{namespace}/{pod}/{container}", kubelets.log)
        runner = web.AppRunner(served, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, options.address, options.port, ssl_context=identity)
        await site.start()
        following = asyncio.create_task(kubelets.follow())
        obeying = asyncio.create_task(_obey(kubelets))
        _say({"port": options.port})
        done, left = await asyncio.wait((following, obeying), return_when=asyncio.FIRST_COMPLETED)
        for task in left:
            task.cancel()
        await runner.cleanup()
        for task in done:
            task.result()


if __name__ == "__main__":
    asyncio.run(main(Options(**json.loads(sys.argv[1]))))

"""A server that answers as an API server does, or as something else at its address."""

from __future__ import annotations

import contextlib
import http.server
import json
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

from chaoskernel.k8s.cluster import ApiCluster
from chaoskernel.k8s.connection import Connection

Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]]


class Server:
    """Answers by a function of method, path and query.

    Lists of lines, or of bytes, are streamed; bytes are sent as they are, all else as JSON.
    """

    def __init__(
        self,
        answer: Callable[[str, str, dict[str, str]], Answer],
        identity: ssl.SSLContext | None = None,
    ) -> None:
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                url = urllib.parse.urlsplit(self.path)
                query = dict(urllib.parse.parse_qsl(url.query))
                outer.asked.append((self.command, url.path, query))
                outer.headers.append(dict(self.headers))
                if size := int(self.headers.get("Content-Length", 0)):
                    outer.bodies.append(json.loads(self.rfile.read(size)))
                status, body, *more = answer(self.command, url.path, query)
                _send(self, status, body, more[0] if more else {})

            do_GET = do_POST = do_DELETE = handle_any  # noqa: N815

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # nobody has to read it all
                    super().handle()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if identity:
            self._server.socket = identity.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"{'https' if identity else 'http'}://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _send(
    handler: http.server.BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str]
) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    if isinstance(body, list):
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for line in [*body, b""]:
            data = f"{line}\n".encode() if isinstance(line, str) else line
            handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    else:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)


Make = Callable[[Callable[[str, str, dict[str, str]], Answer]], tuple[ApiCluster, Server]]


@contextlib.contextmanager
def servers() -> Iterator[Make]:
    """Yield what makes servers, and clusters that are reached through them."""
    made: list[Server] = []

    def make(answer: Callable[[str, str, dict[str, str]], Answer]) -> tuple[ApiCluster, Server]:
        made.append(Server(answer))
        given = Connection(host=made[-1].url, api_key="secret")
        return ApiCluster(given), made[-1]

    try:
        yield make
    finally:
        for server in made:
            server.close()


def refusal(code: int, message: str) -> Answer:
    return code, {"kind": "Status", "code": code, "message": message}


def a_pod(name: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "shop", "name": name, "uid": f"uid of {name}"}}

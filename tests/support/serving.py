"""The agent's API in a test: real sockets on loopback, answers from plain values."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pykubelet.errors import NotFound
from pykubelet.kubelet.runtime.model import ExecResult
from pykubelet.kubelet.serve.api import Api, ApiOptions
from pykubelet.kubelet.serve.auth import Authenticator, Authorizer
from pykubelet.kubelet.serve.backend import (
    Check,
    ContainerRef,
    LogSource,
    MetricsKind,
    Streams,
)
from pykubelet.kubelet.serve.server import Listener, Server, listen_tcp, listen_unix

Json = dict[str, Any]


class Values:
    """A Backend whose answers are what the test puts into it."""

    def __init__(self) -> None:
        self.pod_list: list[Json] = []
        self.logs: dict[str, LogSource] = {}
        self.checks: list[Check] = [Check("syncloop", True)]
        self.url = ""
        self.asked: list[object] = []
        self.failure: Exception | None = None

    def pods(self) -> Sequence[Json]:
        if self.failure:
            raise self.failure
        return self.pod_list

    def running_pods(self) -> Sequence[Json]:
        return self.pod_list[:1]

    def find_log(self, ref: ContainerRef, previous: bool) -> LogSource:
        found = self.logs.get(f"{ref.namespace}/{ref.pod}/{ref.container}")
        if found is None:
            raise NotFound(f'pod "{ref.pod}" does not exist')
        return found

    def exec_sync(self, ref: ContainerRef, command: Sequence[str]) -> ExecResult:
        return ExecResult(3 if command[0] == "fail" else 0, " ".join(command).encode(), b"!")

    def exec_url(self, ref: ContainerRef, command: Sequence[str], streams: Streams) -> str:
        self.asked.append((ref, list(command), streams))
        return self.url

    def attach_url(self, ref: ContainerRef, streams: Streams) -> str:
        self.asked.append((ref, streams))
        return self.url

    def port_forward_url(self, ref: ContainerRef, ports: Sequence[int]) -> str:
        self.asked.append((ref, list(ports)))
        return self.url

    def summary(self, only_cpu_and_memory: bool) -> Json:
        return {"node": {}, "pods": [], "short": only_cpu_and_memory}

    def metrics(self, kind: MetricsKind) -> str:
        return f"# {kind}\n"

    def why(self, target: str) -> Json:
        return {"target": target, "pod": "", "steps": [], "next": "", "well": True}

    def status(self) -> Json:
        return {"node": {"name": "n", "ready": True}, "pods": [], "refused": []}

    def configz(self) -> Json:
        return {"kind": "KubeletConfiguration"}

    def node(self) -> Json:
        return {"kind": "Node"}

    def healthy(self) -> Sequence[Check]:
        return self.checks


class Serving:
    """An Api on listeners of its own; use as a context manager."""

    def __init__(
        self,
        backend: Any,
        options: ApiOptions | None = None,
        authenticator: Authenticator | None = None,
        authorizer: Authorizer | None = None,
    ) -> None:
        self.api = Api(backend, options, authenticator, authorizer)
        self.server = Server()

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.stop()
        self.api.close()

    def start(self) -> Serving:
        self.server.start()
        return self

    def tcp(
        self, front: str, tls: Callable[[], ssl.SSLContext] | None = None, **limits: Any
    ) -> int:
        """A listener for `secure`, `health` or `local` on loopback; its port."""
        sock = listen_tcp("127.0.0.1", 0)
        self.server.add(Listener(front, sock, getattr(self.api, front), tls, **limits))
        port: int = sock.getsockname()[1]
        return port

    def unix(self, path: Path, **limits: Any) -> Path:
        self.server.add(Listener("local", listen_unix(path), self.api.local, **limits))
        return path


def get(
    port: int, path: str, context: ssl.SSLContext | None = None, **headers: str
) -> tuple[int, str]:
    """One GET on a connection of its own: status and body."""
    if context:
        client: http.client.HTTPConnection = http.client.HTTPSConnection(
            "localhost", port, context=context, timeout=10
        )
    else:
        client = http.client.HTTPConnection("localhost", port, timeout=10)
    try:
        client.request("GET", path, headers=headers)
        answer = client.getresponse()
        return answer.status, answer.read().decode()
    finally:
        client.close()


def raw(port: int, data: bytes, timeout: float = 10.0) -> bytes:
    """Send these bytes and read until the server closes."""
    with socket.create_connection(("localhost", port), timeout=timeout) as sock:
        sock.sendall(data)
        said = b""
        while True:
            try:
                piece = sock.recv(65536)
            except ConnectionResetError:
                return said
            if not piece:
                return said
            said += piece

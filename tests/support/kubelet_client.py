"""A client of a machine's 10250, as an API server or a curious person is one: TLS, from inside.

The agent listens in the machine's own network namespace; a socket belongs to the namespace that its
thread was in when it was made, so a thread goes there to make one.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pykubelet.client.remotecommand import Channel, Channels, End, ExitStatus, Output, Reply
from pykubelet.pki import certificates, keys
from pykubelet.pki.certificates import CertificateRequest, KeyPair
from tests.support.agent import NODE
from tests.support.machine import Machine

_CLONE_NEWNET = 0x40000000


def connect_inside(machine: Machine, port: int, address: str = "127.0.0.1") -> socket.socket:
    """A TCP connection whose other end is in the machine's network namespace."""

    def make() -> socket.socket:
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/run/netns/{machine.netns}") as namespace:
            if libc.setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        return socket.create_connection((address, port), timeout=20)

    with ThreadPoolExecutor(1) as thread:  # it ends with its namespace
        return thread.submit(make).result()


class KubeletClient:
    """`token` and `certificate` (with its key) are how it names itself; with neither it doesn't.

    The server's certificate is checked: it has to be the one in `trusted`, for the node's name.
    """

    def __init__(
        self,
        machine: Machine,
        trusted: Path,
        *,
        port: int = 10250,
        token: str = "",
        certificate: KeyPair | None = None,
    ) -> None:
        self._machine = machine
        self._port = port
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.context = ssl.create_default_context(cafile=str(trusted))
        if certificate:
            with tempfile.TemporaryDirectory() as folder:
                paths = Path(folder, "c.crt"), Path(folder, "c.key")
                keys.write_pair(certificate, *paths)
                self.context.load_cert_chain(*paths)

    def open(self) -> ssl.SSLSocket:
        plain = connect_inside(self._machine, self._port)
        return self.context.wrap_socket(plain, server_hostname=NODE)

    def request(self, path: str, method: str = "GET") -> tuple[int, bytes]:
        with self.stream(path, method) as answer:
            return answer.status, answer.read()

    @contextmanager
    def stream(self, path: str, method: str = "GET") -> Iterator[http.client.HTTPResponse]:
        """The answer, its body yet to be read."""
        connection = http.client.HTTPConnection(NODE, timeout=20)
        connection.sock = self.open()
        try:
            connection.request(method, path, headers=self._headers)
            yield connection.getresponse()
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        status, body = self.request(path)
        assert status == 200, (status, body)
        return json.loads(body)

    def upgrade(
        self, path: str, headers: dict[str, str], method: str = "POST"
    ) -> tuple[ssl.SSLSocket, dict[str, str], bytes]:
        """An upgraded connection, the answer's headers in lower case, the first bytes after it."""
        sock = self.open()
        sent = {"Host": NODE, "Content-Length": "0", **self._headers, **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in sent.items())]
        sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        data = b""
        while b"\r\n\r\n" not in data:
            piece = sock.recv(4096)
            assert piece, data
            data += piece
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *fields = head.decode().split("\r\n")
        assert first.split(" ")[1] == "101", data
        return sock, {k.lower(): v.strip() for k, _, v in (f.partition(":") for f in fields)}, rest

    def converse(
        self, path: str, channels: Channels, method: str, typed: bytes = b"", until: bytes = b""
    ) -> tuple[dict[Channel, bytes], ExitStatus | None]:
        """Run an exec or attach to its end, or until its output has `until` in it; what came."""
        heard: dict[Channel, bytes] = {}
        sock, headers, data = self.upgrade(path, channels.headers(), method)
        with sock:
            channels.accept(headers)
            sock.sendall(channels.begin())
            spoken = not typed
            while True:
                for event in channels.receive(data):
                    if isinstance(event, Output):
                        heard[event.channel] = heard.get(event.channel, b"") + event.data
                    elif isinstance(event, Reply):
                        sock.sendall(event.data)
                    elif isinstance(event, End):
                        return heard, event.status
                if until and until in b"".join(heard.values()):
                    return heard, None
                if not spoken and channels.ready:
                    sock.sendall(channels.send(Channel.STDIN, typed))
                    spoken = True
                    if not until:
                        sock.sendall(channels.end(Channel.STDIN))
                data = sock.recv(65536)
                if not data:
                    return heard, None


def client_certificate(authority: KeyPair, name: str = "alice") -> KeyPair:
    now = time.time()
    asked = CertificateRequest(name, now - 60, now + 3600, usages=("client",))
    return certificates.issue(asked, authority)


def new_authority() -> KeyPair:
    return certificates.new_authority("test-clients", time.time())


def private(path: Path, text: str) -> Path:
    path.write_text(text)
    os.chmod(path, 0o600)
    return path

"""HTTP probes and hooks against real servers on loopback."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pykubelet.errors import Failed
from pykubelet.kubelet.probes import http, run_hook
from pykubelet.kubelet.probes.state import Outcome
from pykubelet.kubelet.probes.targets import Target

Reply = tuple[int, dict[str, str], bytes]


class Server:
    """Answers by path; remembers what was asked."""

    def __init__(self, replies: dict[str, Reply], certificate: Path | None = None) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        seen = self.requests

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            quiet: ClassVar[bool] = True

            def do_GET(self) -> None:
                seen.append((self.path, dict(self.headers.items())))
                status, headers, body = replies.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]

    def __enter__(self) -> Server:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def raw(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that does `talk` with each connection; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        talk(connection)
                    except OSError:
                        pass  # the client has gone, which some tests are about

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Self-signed, expired, and for another name."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "elsewhere.example")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


def ask(port: int, path: str = "/", timeout: float = 5.0, **action: Any) -> tuple[Outcome, str]:
    target = Target("c", "127.0.0.1", {"ports": [{"name": "http", "containerPort": port}]})
    return http.probe({"port": port, "path": path, **action}, target, timeout)


# -- the answer --------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 304, 399])
def test_200_to_399_are_a_success(status: int) -> None:
    with Server({"/": (status, {}, b"")}) as server:
        assert ask(server.port) == (Outcome.SUCCESS, "")


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_any_other_status_is_a_failure_that_names_it(status: int) -> None:
    with Server({"/": (status, {}, b"no")}) as server:
        assert ask(server.port) == (
            Outcome.FAILURE,
            f"HTTP probe failed with statuscode: {status}",
        )


def test_a_refused_connection_is_a_failure_that_says_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome, message = ask(port)
    assert outcome is Outcome.FAILURE
    assert message == f'Get "http://127.0.0.1:{port}/": Connection refused'


def test_a_named_port_is_looked_up() -> None:
    with Server({"/": (200, {}, b"")}) as server:
        target = Target("c", "127.0.0.1", {"ports": [{"name": "x", "containerPort": server.port}]})
        assert http.probe({"port": "x"}, target, 5.0)[0] is Outcome.SUCCESS
        assert http.probe({"port": "y"}, target, 5.0)[0] is Outcome.UNKNOWN


def test_what_is_sent_is_what_upstream_sends() -> None:
    with Server({"/x?y=1": (200, {}, b"")}) as server:
        ask(server.port, "/x?y=1")
        assert server.requests == [
            (
                "/x?y=1",
                {
                    "Host": f"127.0.0.1:{server.port}",
                    "User-Agent": "kube-probe/1.36",
                    "Accept": "*/*",
                    "Connection": "close",
                },
            )
        ]


def test_the_manifests_headers_are_sent_and_host_is_among_them() -> None:
    given = [{"name": "Host", "value": "app.example"}, {"name": "X-A", "value": "1"},
             {"name": "X-A", "value": "2"}]  # fmt: skip
    with Server({"/": (200, {}, b"")}) as server:
        ask(server.port, httpHeaders=given)
        headers = server.requests[0][1]
        assert (headers["Host"], headers["X-A"]) == ("app.example", "2")


def test_a_header_cannot_smuggle_a_second_request() -> None:
    with Server({"/": (200, {}, b"")}) as server:
        bad = [{"name": "X", "value": "1\r\nHost: evil"}]
        assert ask(server.port, httpHeaders=bad)[0] is Outcome.FAILURE
        assert server.requests == []


# -- redirects ---------------------------------------------------------------------------------


def test_a_redirect_on_the_same_host_is_followed() -> None:
    replies: dict[str, Reply] = {
        "/": (302, {"Location": "/a"}, b""),
        "/a": (301, {"Location": "b"}, b""),
        "/b": (500, {}, b""),
    }
    with Server(replies) as server:
        assert ask(server.port)[1].endswith("500")


def test_a_redirect_to_another_host_is_a_success_with_a_warning() -> None:
    with Server({"/": (302, {"Location": "http://elsewhere.example/x"}, b"")}) as server:
        assert ask(server.port) == (
            Outcome.SUCCESS,
            "redirect to http://elsewhere.example/x not followed: another host",
        )


def test_redirects_without_end_are_a_failure() -> None:
    with Server({"/": (302, {"Location": "/"}, b"")}) as server:
        assert "stopped after 10 redirects" in ask(server.port)[1]


def test_a_redirect_from_http_to_https_of_the_same_host_is_followed(certificate: Path) -> None:
    with Server({"/": (200, {}, b"")}, certificate) as secure:
        location = f"https://127.0.0.1:{secure.port}/"
        with Server({"/": (301, {"Location": location}, b"")}) as server:
            assert ask(server.port) == (Outcome.SUCCESS, "")
        assert len(secure.requests) == 1


# -- TLS ---------------------------------------------------------------------------------------


def test_https_does_not_look_at_the_certificate(certificate: Path) -> None:
    with Server({"/": (200, {}, b"")}, certificate) as server:
        assert ask(server.port, scheme="HTTPS") == (Outcome.SUCCESS, "")


def test_https_to_a_plain_server_is_a_failure_that_says_so() -> None:
    with Server({"/": (200, {}, b"")}) as server:
        outcome, message = ask(server.port, scheme="HTTPS")
        assert outcome is Outcome.FAILURE
        assert message.endswith("the server answered HTTPS with HTTP")


# -- servers that misbehave --------------------------------------------------------------------


def test_a_server_that_says_nothing_fails_at_the_timeout() -> None:
    with raw(lambda connection: time.sleep(1)) as port:
        begin = time.monotonic()
        outcome, message = ask(port, timeout=0.2)
        assert outcome is Outcome.FAILURE
        assert message.endswith("timed out")
        assert time.monotonic() - begin < 0.8


def test_a_server_that_drips_cannot_stretch_the_timeout() -> None:
    def drip(connection: socket.socket) -> None:
        for byte in b"HTTP/1.1 200 OK\r\n" * 3:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)

    with raw(drip) as port:
        begin = time.monotonic()
        assert ask(port, timeout=0.3)[0] is Outcome.FAILURE
        assert time.monotonic() - begin < 1.0


def test_an_endless_body_is_read_up_to_its_limit_only() -> None:
    def flood(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 4096)

    with raw(flood) as port:
        answer = http.get(f"http://127.0.0.1:{port}/", [], 5.0)
        assert len(answer.body) == http.BODY_LIMIT


def test_a_chunked_body_on_a_connection_left_open_does_not_hang() -> None:
    def chunked(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        )
        connection.recv(1)

    with raw(chunked) as port:
        begin = time.monotonic()
        assert ask(port)[0] is Outcome.SUCCESS
        assert time.monotonic() - begin < 2


def test_an_announcement_before_the_answer_is_skipped() -> None:
    def early(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 503 No\r\n\r\n")

    with raw(early) as port:
        assert ask(port)[1].endswith("503")


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 ok\r\n\r\n", b"\r\n\r\n"]
)
def test_what_is_no_http_is_a_failure(answer: bytes) -> None:
    def other(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    with raw(other) as port:
        assert ask(port, timeout=2.0)[0] is Outcome.FAILURE


# -- hooks -------------------------------------------------------------------------------------


def hook(port: Any, **action: Any) -> tuple[bool, str]:
    def no_exec(*_: object) -> Any:
        raise AssertionError("not asked for")

    result = run_hook(
        {"httpGet": {"port": port, **action}},
        pod={"metadata": {"name": "web", "namespace": "default"}},
        container={"name": "c"},
        container_id="id",
        pod_ip="127.0.0.1",
        exec=no_exec,
        timeout=5.0,
    )
    return result.ok, result.message


def test_any_answer_makes_an_http_hook_a_success() -> None:
    with Server({}) as server:
        assert hook(server.port, path="/gone") == (True, "")
        assert server.requests[0][0] == "/gone"


def test_an_https_hook_falls_back_to_http_and_says_so() -> None:
    with Server({}) as server:
        ok, message = hook(server.port, scheme="HTTPS")
        assert ok
        assert "the server speaks plain HTTP" in message
        assert len(server.requests) == 1


def test_a_failed_http_hook_says_which_container_and_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    ok, message = hook(port)
    assert not ok
    assert message == (
        "httpGet hook of container c of pod default/web failed: GET /: Connection refused"
    )


def test_a_url_without_host_is_no_crash() -> None:
    with pytest.raises(Failed):
        http.get("http://:1/", [], 0.2)

"""The TLS port: who is let in, and with which certificate it serves."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pykubelet.errors import Failed, Invalid
from pykubelet.kubelet.serve import connection
from pykubelet.kubelet.serve.auth import Attributes, Identity, Standalone
from pykubelet.kubelet.serve.backend import LogSource
from pykubelet.kubelet.serve.tls import Contexts, TlsOptions
from pykubelet.pki import certificates, keys, serving
from pykubelet.pki.certificates import CertificateRequest, KeyPair
from tests.support.serving import Serving, Values, get
from tests.support.waiting import until


@pytest.fixture(scope="module")
def authority() -> KeyPair:
    return certificates.new_authority("test-clients", time.time())


@pytest.fixture(scope="module")
def stranger() -> KeyPair:
    return certificates.new_authority("somebody-else", time.time())


@pytest.fixture
def options(tmp_path: Path, authority: KeyPair) -> TlsOptions:
    ca = tmp_path / "ca.crt"
    ca.write_text(authority.certificate)
    made = serving.ensure(tmp_path / "pki", "node-1", [], time.time())
    return TlsOptions(made.certificate_path, made.key_path, ca)


@pytest.fixture
def values() -> Values:
    return Values()


@pytest.fixture
def port(values: Values, options: TlsOptions) -> Iterator[int]:
    tokens = Standalone({"s3cret": Identity("bob")})
    with Serving(values, authenticator=tokens) as running:
        number = running.tcp("secure", Contexts(options))
        running.start()
        yield number


def client(
    options: TlsOptions, folder: Path, ca: KeyPair | None = None, **request: object
) -> ssl.SSLContext:
    """A client that checks the server, with a certificate where `ca` signs one."""
    context = ssl.create_default_context(cafile=str(options.certificate))
    if ca:
        now = time.time()
        asked = {
            "common_name": "alice",
            "not_before": now - 10,
            "not_after": now + 600,
            "usages": ("client",),
            **request,
        }
        pair = certificates.issue(CertificateRequest(**asked), ca)  # type: ignore[arg-type]
        keys.write_pair(pair, folder / "client.crt", folder / "client.key")
        context.load_cert_chain(folder / "client.crt", folder / "client.key")
    return context


def test_nobody_anonymous_is_answered(port: int, options: TlsOptions, tmp_path: Path) -> None:
    context = client(options, tmp_path)
    for path in ("/healthz", "/pods", "/nowhere", "/metrics"):
        assert get(port, path, context) == (401, "Unauthorized")
    assert get(port, "/pods", context, Authorization="Bearer wrong")[0] == 401


def test_a_token_or_a_certificate_of_the_client_ca_is_let_in(
    port: int, options: TlsOptions, authority: KeyPair, tmp_path: Path
) -> None:
    plain = client(options, tmp_path)
    assert get(port, "/healthz", plain, Authorization="Bearer s3cret") == (200, "ok")
    assert get(port, "/healthz", client(options, tmp_path, authority)) == (200, "ok")


def test_what_only_the_node_may_see_is_not_on_the_port(
    port: int, options: TlsOptions, tmp_path: Path
) -> None:
    plain = client(options, tmp_path)
    assert get(port, "/status", plain, Authorization="Bearer s3cret")[0] == 404


def test_a_certificate_of_another_ca_or_out_of_time_is_refused(
    port: int, options: TlsOptions, authority: KeyPair, stranger: KeyPair, tmp_path: Path
) -> None:
    past = {"not_before": time.time() - 100, "not_after": time.time() - 50}
    for context in (
        client(options, tmp_path, stranger),
        client(options, tmp_path, authority, **past),
    ):
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
            get(port, "/healthz", context)
    assert get(port, "/healthz", client(options, tmp_path, authority)) == (200, "ok")


def test_an_authorizer_decides_and_its_failure_lets_nobody_in(
    values: Values, options: TlsOptions, authority: KeyPair, tmp_path: Path
) -> None:
    asked: list[Attributes] = []

    class OnlyStats:
        def authorize(self, attributes: Attributes) -> bool:
            asked.append(attributes)
            if attributes.path == "/configz":
                raise Failed("the API server is away")
            return "stats" in attributes.subresources

    with Serving(values, authorizer=OnlyStats()) as running:
        number = running.tcp("secure", Contexts(options))
        running.start()
        context = client(options, tmp_path, authority, organizations=("ops",))
        assert get(number, "/stats/summary", context)[0] == 200
        status, body = get(number, "/pods", context)
        assert status == 403
        assert "user=alice, verb=get, resource=nodes, subresource(s)=[pods proxy]" in body
        assert get(number, "/configz", context)[0] == 500
    assert asked[0].identity == Identity("alice", ("ops", "system:authenticated"))


def test_a_new_certificate_is_shown_without_a_restart(
    port: int, options: TlsOptions, tmp_path: Path
) -> None:
    """Complaint 17: certificates die after a year."""
    before = certificates.read(options.certificate.read_text())
    old = client(options, tmp_path)
    kept = http.client.HTTPSConnection("localhost", port, context=old, timeout=5)
    kept.request("GET", "/healthz", headers={"Authorization": "Bearer s3cret"})
    kept.getresponse().read()
    later = before.not_after - 86400
    again = serving.ensure(options.certificate.parent, "node-1", [], later)
    assert again.renewed
    assert _shown(port) == certificates.read(options.certificate.read_text()).common_name
    kept.request("GET", "/healthz", headers={"Authorization": "Bearer s3cret"})
    assert kept.getresponse().read() == b"ok"
    kept.close()


def _shown(port: int) -> str:
    """The common name of the certificate that the port shows, unverified."""
    return certificates.read(ssl.get_server_certificate(("localhost", port))).common_name


def test_a_spoilt_certificate_file_leaves_the_good_one_in_use(
    port: int, options: TlsOptions
) -> None:
    name = _shown(port)
    options.certificate.write_text("not a certificate")
    assert _shown(port) == name


def test_a_client_that_stalls_its_handshake_holds_nobody_up(
    port: int, options: TlsOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.5)
    context = client(options, tmp_path)
    stalled = [socket.create_connection(("localhost", port), timeout=5) for _ in range(20)]
    for sock in stalled:
        sock.sendall(b"\x16\x03\x01\x02\x00\x01")
    assert get(port, "/healthz", context, Authorization="Bearer s3cret") == (200, "ok")
    for sock in stalled:
        try:
            assert sock.recv(1) == b""
        except ConnectionResetError:
            pass  # gone either way
        sock.close()


def test_plain_http_on_the_tls_port_ends_without_harm(
    port: int, options: TlsOptions, tmp_path: Path
) -> None:
    with socket.create_connection(("localhost", port), timeout=5) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            sock.recv(100)
        except ConnectionResetError:
            pass  # gone either way
    assert get(port, "/healthz", client(options, tmp_path), Authorization="Bearer s3cret")[0] == 200


def test_logs_are_followed_over_tls_and_a_leaving_client_is_noticed(
    port: int, values: Values, options: TlsOptions, tmp_path: Path
) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(b"2026-01-01T00:00:00Z stdout F first\n")
    values.logs["ns/pod/c"] = LogSource(path, lambda: True)
    context = client(options, tmp_path)
    headers = {"Authorization": "Bearer s3cret"}
    follower = http.client.HTTPSConnection("localhost", port, context=context, timeout=5)
    follower.request("GET", "/containerLogs/ns/pod/c?follow=1", headers=headers)
    answer = follower.getresponse()
    assert answer.read1(100) == b"first\n"
    with path.open("ab") as log:
        log.write(b"2026-01-01T00:00:01Z stdout F second\n")
    assert answer.read1(100) == b"second\n"
    answer.close()
    follower.close()
    until(_no_worker, "the follower's thread has ended", timeout=5)


def _no_worker() -> bool:
    import threading

    return not [t for t in threading.enumerate() if t.name.startswith("serve-secure")]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda o: TlsOptions(o.certificate, o.key, min_version="VersionTLS10"), "tlsMinVersion"),
        (lambda o: TlsOptions(o.certificate, o.key, cipher_suites=("RC4",)), "tlsCipherSuites"),
        (lambda o: TlsOptions(o.certificate, o.key, client_ca=o.key), "client CA"),
        (lambda o: TlsOptions(o.certificate, o.certificate), "serving certificate"),
        (lambda o: TlsOptions(Path("/none"), o.key), "serving certificate"),
    ],
)
def test_settings_that_cannot_be_obeyed_are_refused_at_start(
    options: TlsOptions, spoil: Callable[[TlsOptions], TlsOptions], message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        Contexts(spoil(options))


def test_ciphers_and_versions_are_as_configured(values: Values, options: TlsOptions) -> None:
    suite = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    chosen = TlsOptions(options.certificate, options.key, cipher_suites=(suite,))
    with Serving(values) as running:
        number = running.tcp("secure", Contexts(chosen))
        running.start()
        context = ssl.create_default_context(cafile=str(options.certificate))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with (
            socket.create_connection(("localhost", number), timeout=5) as sock,
            context.wrap_socket(sock, server_hostname="localhost") as tls,
        ):
            assert tls.cipher() is not None
            assert tls.cipher()[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"  # type: ignore[index]

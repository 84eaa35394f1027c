"""Certificates: made in a child process, read without a library, kept fresh."""

from __future__ import annotations

import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.errors import Failed, Invalid
from pykubelet.pki import certificates, keys, serving
from pykubelet.pki.certificates import DAY, CertificateRequest, KeyPair

NOW = 1_795_000_000.0


@pytest.fixture(scope="module")
def authority() -> KeyPair:
    return certificates.new_authority("kubernetes", NOW)


@pytest.fixture(scope="module")
def leaf(authority: KeyPair) -> KeyPair:
    return certificates.issue(
        CertificateRequest(
            "admin",
            NOW - 10,
            NOW + 2e9,  # beyond 2049: another form of time
            organizations=("system:masters", "ops"),
            dns=("a.example", "b"),
            ips=("10.0.0.1", "fd00:0::1"),
            usages=("client", "server"),
        ),
        authority,
    )


def test_what_was_asked_for_is_what_it_says(leaf: KeyPair) -> None:
    said = certificates.read(leaf.certificate)
    assert (said.common_name, said.issuer) == ("admin", "kubernetes")
    assert said.organizations == ("system:masters", "ops")
    assert said.dns == {"a.example", "b"}
    assert said.ips == {"10.0.0.1", "fd00::1"}
    assert (said.not_before, said.not_after) == (NOW - 10, NOW + 2e9)
    assert not said.is_ca


def test_the_reader_agrees_with_a_real_library(leaf: KeyPair, authority: KeyPair) -> None:
    from cryptography import x509

    for pair in (leaf, authority):
        theirs = x509.load_pem_x509_certificate(pair.certificate.encode())
        ours = certificates.read(pair.certificate)
        assert ours.not_after == theirs.not_valid_after_utc.timestamp()
        constraints = theirs.extensions.get_extension_for_class(x509.BasicConstraints)
        assert ours.is_ca == constraints.value.ca


def test_a_signed_certificate_verifies_and_fits_its_key(
    leaf: KeyPair, authority: KeyPair, tmp_path: Path
) -> None:
    keys.write_pair(leaf, tmp_path / "c.crt", tmp_path / "c.key")
    (tmp_path / "ca.crt").write_text(authority.certificate)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "c.crt", tmp_path / "c.key")
    done = subprocess.run(
        ["openssl", "verify", "-x509_strict", "-attime", str(int(NOW)), "-CAfile",
         tmp_path / "ca.crt", tmp_path / "c.crt"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "c.key").stat().st_mode & 0o777 == 0o600


def test_reading_and_asking_import_no_cryptography() -> None:
    """The agent's memory is counted in megabytes; that library alone takes 18."""
    code = (
        "import sys, pykubelet.pki.serving, pykubelet.pki.kubeconfig, pykubelet.kubelet.serve.tls;"
        "sys.exit('cryptography' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "text", ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "\x00"]
)
def test_what_is_no_certificate_is_refused_by_name(text: str) -> None:
    with pytest.raises(Invalid, match=r"some\.crt"):
        certificates.read(text, "some.crt")


@given(st.integers(0, 700), st.binary(min_size=1, max_size=3))
def test_spoilt_certificates_are_refused_or_read_never_more(at: int, junk: bytes) -> None:
    der_bytes = bytearray(ssl.PEM_cert_to_DER_cert(_SAMPLE))
    der_bytes[at % len(der_bytes) : at % len(der_bytes) + len(junk)] = junk
    try:
        certificates.read(ssl.DER_cert_to_PEM_cert(bytes(der_bytes)))
    except Invalid:
        pass


_SAMPLE = certificates.issue(CertificateRequest("x", NOW, NOW + DAY, ips=("::1",))).certificate


def test_a_failure_to_issue_is_told_in_words() -> None:
    with pytest.raises(Failed, match=r"no certificate could be made: .*address"):
        certificates.issue(CertificateRequest("x", NOW, NOW + 1, ips=("nonsense",)))


def test_the_serving_certificate_is_made_once_and_kept(tmp_path: Path) -> None:
    first = serving.ensure(tmp_path, "node-1", ["10.0.0.1"], NOW)
    assert first.renewed
    assert first.certificate.covers(["node-1", "localhost"], ["10.0.0.1", "127.0.0.1", "::1"])
    assert not serving.ensure(tmp_path, "node-1", ["10.0.0.1"], NOW + DAY).renewed
    assert not serving.ensure(tmp_path, "node-1", [], NOW + DAY).renewed


@pytest.mark.parametrize(
    ("name", "addresses", "later"),
    [
        ("node-1", ["10.0.0.2"], DAY),  # the address changed
        ("node-2", ["10.0.0.1"], DAY),
        ("node-1", ["10.0.0.1"], 300 * DAY),  # it nears its end
        ("node-1", ["10.0.0.1"], 800 * DAY),  # the node was off for two years
        ("node-1", ["10.0.0.1"], -800 * DAY),  # the clock was wrong when it was made
    ],
)
def test_a_serving_certificate_that_will_not_do_is_replaced(
    tmp_path: Path, name: str, addresses: list[str], later: float
) -> None:
    """Complaints 17 and 19: certificates that die after a year; an address changed by DHCP."""
    serving.ensure(tmp_path, "node-1", ["10.0.0.1"], NOW)
    again = serving.ensure(tmp_path, name, addresses, NOW + later)
    assert again.renewed
    assert again.certificate.covers([name], addresses)
    assert not again.certificate.due(NOW + later)


def test_spoilt_files_are_replaced(tmp_path: Path) -> None:
    made = serving.ensure(tmp_path, "n", [], NOW)
    made.key_path.write_text("garbage")
    assert serving.ensure(tmp_path, "n", [], NOW).renewed
    made.certificate_path.unlink()
    assert serving.ensure(tmp_path, "n", [], NOW).renewed


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "pki").write_text("a file is in the way")
    with pytest.raises(Failed, match="pki"):
        serving.ensure(tmp_path / "pki", "n", [], time.time())

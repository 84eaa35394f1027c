"""Making keys and certificates: the one module that imports `cryptography`.

Run as a program (`python -m pykubelet.pki.issue`), it reads one question as JSON from standard
input and answers with PEM texts as JSON; `certificates.issue` asks it. Keys are elliptic (P-256):
made in a millisecond, small in every handshake.
"""

from __future__ import annotations

import ipaddress
import json
import sys
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Json = dict[str, Any]

_USAGES = {
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
}


def make(question: Json) -> Json:
    """`{"request": CertificateRequest, "authority": KeyPair or null}` to a KeyPair, as JSON."""
    request, authority = question["request"], question["authority"]
    key = ec.generate_private_key(ec.SECP256R1())
    signing_key: Any = key
    issuer = subject = _name(request)
    issuer_key = key.public_key()
    if authority:
        parent = x509.load_pem_x509_certificate(authority["certificate"].encode())
        signing_key = serialization.load_pem_private_key(authority["key"].encode(), None)
        issuer, issuer_key = parent.subject, signing_key.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(int(request["not_before"]), UTC))
        .not_valid_after(datetime.fromtimestamp(int(request["not_after"]), UTC))
        .add_extension(x509.BasicConstraints(ca=request["is_ca"], path_length=None), True)
        .add_extension(_key_usage(request["is_ca"]), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), False)
    )
    names = _alternative_names(request)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    if request["usages"]:
        usages = x509.ExtendedKeyUsage([_USAGES[usage] for usage in request["usages"]])
        builder = builder.add_extension(usages, False)
    certificate = builder.sign(signing_key, hashes.SHA256())
    return {
        "certificate": certificate.public_bytes(serialization.Encoding.PEM).decode(),
        "key": key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    }


def _name(request: Json) -> x509.Name:
    return x509.Name(
        [
            *(x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in request["organizations"]),
            x509.NameAttribute(NameOID.COMMON_NAME, request["common_name"]),
        ]
    )


def _key_usage(is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative_names(request: Json) -> list[x509.GeneralName]:
    return [
        *(x509.DNSName(name) for name in request["dns"]),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in request["ips"]),
    ]


if __name__ == "__main__":
    json.dump(make(json.load(sys.stdin)), sys.stdout)

"""The certificate that the agent shows on its port: made by itself, for itself, kept fresh.

Where nobody gave the agent a serving certificate it signs one for its names and addresses, as
upstream's kubelet does, in the same place (`<root-dir>/pki/kubelet.crt` and `.key`). `ensure` may
be called at any time (at start, daily, when an address has changed): it makes a new one only when
there is none, it doesn't fit its key, it nears its end, isn't valid yet (the clock was wrong when
it was made), or lacks a name or address. Whoever serves with it notices the change by itself.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pykubelet.clock import rfc3339
from pykubelet.errors import Invalid
from pykubelet.pki import certificates, keys
from pykubelet.pki.certificates import DAY, Certificate, CertificateRequest

log = logging.getLogger(__name__)

VALID_DAYS = 365


@dataclass(frozen=True, slots=True)
class Serving:
    """Where the pair is, what the certificate says, and whether it is a new one."""

    certificate_path: Path
    key_path: Path
    certificate: Certificate
    renewed: bool


def ensure(folder: Path, node_name: str, addresses: Iterable[str], now: float) -> Serving:
    """A serving pair in `folder` that is good for `node_name` and `addresses`. Raises Failed."""
    certificate_path, key_path = folder / "kubelet.crt", folder / "kubelet.key"
    names = sorted({node_name, "localhost"})
    ips = sorted({*addresses, "127.0.0.1", "::1"})
    present = _present(certificate_path, key_path)
    why = _unfit(present, names, ips, now)
    if present and not why:
        return Serving(certificate_path, key_path, present, renewed=False)
    pair = certificates.issue(
        CertificateRequest(
            common_name=f"{node_name}@{int(now)}",
            not_before=now - 3600,
            not_after=now + VALID_DAYS * DAY,
            dns=tuple(names),
            ips=tuple(ips),
        )
    )
    keys.write_pair(pair, certificate_path, key_path)
    made = certificates.read(pair.certificate, str(certificate_path))
    log.info("a serving certificate was made, valid to %s: %s", rfc3339(made.not_after), why)
    return Serving(certificate_path, key_path, made, renewed=True)


def _present(certificate_path: Path, key_path: Path) -> Certificate | None:
    pair = keys.read_pair(certificate_path, key_path)
    if pair is None:
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate_path, key_path)
        return certificates.read(pair.certificate, str(certificate_path))
    except (Invalid, ssl.SSLError) as error:
        log.warning("%s is of no use: %s", certificate_path, error)
        return None


def _unfit(present: Certificate | None, names: list[str], ips: list[str], now: float) -> str:
    """Why the present one won't do; empty where it will."""
    if present is None:
        return "there was none"
    if present.due(now):
        return "the one before nears its end or isn't valid now"
    if not present.covers(names, ips):
        return "the names or addresses have changed"
    return ""

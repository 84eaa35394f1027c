"""The certificates of a server that was given none: an authority, its own, and an administrator's
kubeconfig, made below its folder and renewed in time.

With these, `pykubelet apiserver` alone is a working API on a bare machine; a cluster's come from
its bootstrap instead.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from pykubelet.pki import certificates, keys, kubeconfig
from pykubelet.pki.certificates import DAY, CertificateRequest, KeyPair

_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
)
_KUBELET_CLIENT = "apiserver-kubelet-client"
_LIFE = 365 * DAY
_BACKDATED = 3600.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the server's TLS files are. The last two are what it shows to kubelets."""

    certificate: Path
    key: Path
    client_authority: Path | None = None
    kubelet_certificate: Path | None = None
    kubelet_key: Path | None = None


def ensure(folder: Path, address: str, port: int, service_range: str) -> Credentials:
    """Make what is missing or due. Also writes `admin.conf`, which talks to this address."""
    now = time.time()
    authority = _pair(folder, "ca")
    if authority is None:
        authority = certificates.new_authority("kubernetes", now)
        keys.write_pair(authority, folder / "ca.crt", folder / "ca.key")
    first = str(ipaddress.ip_network(service_range)[1])
    own = {"127.0.0.1", "::1", first}
    if address not in ("0.0.0.0", "::", ""):
        own.add(address)
    serving = _pair(folder, "apiserver")
    names = (*_NAMES, socket.gethostname().lower())
    if not _good(serving, now, names, own):
        request = CertificateRequest(
            "kube-apiserver", now - _BACKDATED, now + _LIFE, dns=names, ips=tuple(sorted(own))
        )
        made = certificates.issue(request, authority)
        keys.write_pair(made, folder / "apiserver.crt", folder / "apiserver.key")
    host = "127.0.0.1" if address in ("0.0.0.0", "") else address
    server = f"https://{f'[{host}]' if ':' in host else host}:{port}"
    _admin(folder, authority, server, now)
    _client(folder, authority, now)
    return Credentials(
        folder / "apiserver.crt",
        folder / "apiserver.key",
        folder / "ca.crt",
        folder / f"{_KUBELET_CLIENT}.crt",
        folder / f"{_KUBELET_CLIENT}.key",
    )


def _client(folder: Path, authority: KeyPair, now: float) -> None:
    """What the server shows to kubelets when it passes a request on."""
    if _good(_pair(folder, _KUBELET_CLIENT), now, (), ()):
        return
    request = CertificateRequest(
        "kube-apiserver-kubelet-client", now - _BACKDATED, now + _LIFE,
        organizations=("system:masters",), usages=("client",),
    )  # fmt: skip
    made = certificates.issue(request, authority)
    keys.write_pair(made, folder / f"{_KUBELET_CLIENT}.crt", folder / f"{_KUBELET_CLIENT}.key")


def _admin(folder: Path, authority: KeyPair, server: str, now: float) -> None:
    path = folder / "admin.conf"
    if path.exists():
        config = kubeconfig.read(path)
        pair = KeyPair(config.certificate, config.key)
        if config.server == server and _good(pair, now, (), ()):
            return
    request = CertificateRequest(
        "kubernetes-admin", now - _BACKDATED, now + _LIFE, organizations=("system:masters",),
        usages=("client",),
    )  # fmt: skip
    made = certificates.issue(request, authority)
    kubeconfig.write(
        path,
        kubeconfig.Kubeconfig(
            server=server,
            authority=authority.certificate,
            certificate=made.certificate,
            key=made.key,
            user="kubernetes-admin",
        ),
    )


def _pair(folder: Path, name: str) -> KeyPair | None:
    return keys.read_pair(folder / f"{name}.crt", folder / f"{name}.key")


def _good(
    pair: KeyPair | None, now: float, names: tuple[str, ...], addresses: set[str] | tuple[()]
) -> bool:
    if pair is None:
        return False
    certificate = certificates.read(pair.certificate)
    return not certificate.due(now) and certificate.covers(names, addresses)

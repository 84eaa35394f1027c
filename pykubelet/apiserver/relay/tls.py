"""With which certificates, and whose trust, requests are passed on."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from pykubelet.apiserver.relay.targets import Target


@dataclass(frozen=True, slots=True)
class Relay:
    """`kubelet` is the TLS context with which the server shows itself to kubelets; `outside` the
    one for pods and services, whose certificates nobody can check."""

    kubelet: ssl.SSLContext
    outside: ssl.SSLContext

    @classmethod
    def with_certificate(cls, certificate: Path, key: Path) -> Relay:
        """From the files of the client certificate for kubelets."""
        kubelet, outside = _trusting(), _trusting()
        kubelet.load_cert_chain(certificate, key)
        return cls(kubelet, outside)

    def tls(self, target: Target) -> ssl.SSLContext | None:
        if target.scheme != "https":
            return None
        return self.kubelet if target.kubelet else self.outside


def _trusting() -> ssl.SSLContext:
    """A context that believes any certificate: kubelets sign their own, and so do most pods."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

"""The TLS side of the agent's port: contexts that follow their files.

Certificates are replaced in place while the agent runs (rotation, a new address, an operator's own
pair); a new connection sees the new ones, running streams stay with theirs. So the context is
rebuilt when one of its files has changed, which costs three stat calls a connection.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pykubelet.errors import Invalid

log = logging.getLogger(__name__)

_VERSIONS = {"": ssl.TLSVersion.TLSv1_2, "VersionTLS12": ssl.TLSVersion.TLSv1_2,
             "VersionTLS13": ssl.TLSVersion.TLSv1_3}  # fmt: skip

# Go names the suites of TLS 1.2 as IANA does, OpenSSL by its own habit.
_SUITES = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
_ALWAYS_IN_TLS13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                    "TLS_CHACHA20_POLY1305_SHA256")  # fmt: skip


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """KubeletConfiguration's fields, in its words. `client_ca` None: no certificates are taken."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    min_version: str = ""
    cipher_suites: Sequence[str] = ()


class Contexts:
    """Call it for the context of a new connection. Raises Invalid only when it is made.

    A file that is spoilt later is said once in the log, and the last good context stays in use.
    """

    def __init__(self, options: TlsOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._marks = self._look()
        self._context = self._build()

    def __call__(self) -> ssl.SSLContext:
        marks = self._look()
        with self._lock:
            if marks != self._marks:
                self._marks = marks
                try:
                    self._context = self._build()
                except Invalid as error:
                    log.warning("the TLS files changed but can't be used: %s", error)
            return self._context

    def _look(self) -> tuple[tuple[int, int] | None, ...]:
        files = (self._options.certificate, self._options.key, self._options.client_ca)
        return tuple(_mark(file) for file in files)

    def _build(self) -> ssl.SSLContext:
        options = self._options
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if options.min_version not in _VERSIONS:
            raise Invalid(
                "not a TLS version that is still safe",
                where="tlsMinVersion",
                expected="VersionTLS12 or VersionTLS13",
                found=options.min_version,
            )
        context.minimum_version = _VERSIONS[options.min_version]
        context.set_alpn_protocols(["http/1.1"])
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
        if options.cipher_suites:
            _choose(context, options.cipher_suites)
        try:
            context.load_cert_chain(options.certificate, options.key)
        except (OSError, ssl.SSLError) as error:
            raise Invalid(
                "the serving certificate and key can't be used",
                where=f"{options.certificate}, {options.key}",
                found=str(error),
            ) from error
        if options.client_ca is not None:
            context.verify_mode = ssl.CERT_OPTIONAL
            try:
                context.load_verify_locations(options.client_ca)
            except (OSError, ssl.SSLError) as error:
                raise Invalid(
                    "the client CA can't be used", where=str(options.client_ca), found=str(error)
                ) from error
        return context


def _choose(context: ssl.SSLContext, suites: Sequence[str]) -> None:
    unknown = [s for s in suites if s not in _SUITES and s not in _ALWAYS_IN_TLS13]
    if unknown:
        raise Invalid(
            "unknown or unsafe cipher suites",
            where="tlsCipherSuites",
            expected=", ".join((*_SUITES, *_ALWAYS_IN_TLS13)),
            found=", ".join(unknown),
        )
    for_12 = [_SUITES[s] for s in suites if s in _SUITES]
    if for_12:
        context.set_ciphers(":".join(for_12))


def _mark(file: Path | None) -> tuple[int, int] | None:
    if file is None:
        return None
    try:
        stat = file.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino

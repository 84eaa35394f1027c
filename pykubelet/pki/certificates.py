"""Certificates: what one says, and how to get one made.

Reading is done here (through `der`, at no cost); making is `issue`'s, which runs in a child process
of its own, so that the agent never carries a cryptography library in its memory. A certificate and
its key travel together as a `KeyPair` of PEM texts; `keys` puts them into files.
"""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
import sys
from binascii import Error as Base64Error
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from ssl import PEM_cert_to_DER_cert

from pykubelet.errors import Failed, Invalid
from pykubelet.pki import der

DAY = 86400
ISSUE_SECONDS = 60.0

_COMMON_NAME, _ORGANIZATION = "2.5.4.3", "2.5.4.10"
_ALTERNATIVE_NAMES, _BASIC_CONSTRAINTS = "2.5.29.17", "2.5.29.19"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """PEM texts. The key is PKCS #8, unencrypted."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """What a certificate shall say. Times are seconds since the epoch.

    `usages` may hold "server" and "client"; an authority (`is_ca`) has none.
    """

    common_name: str
    not_before: float
    not_after: float
    organizations: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    usages: tuple[str, ...] = ("server",)
    is_ca: bool = False


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certificate says. Addresses in their shortest form, times in seconds."""

    common_name: str
    organizations: tuple[str, ...]
    not_before: float
    not_after: float
    dns: frozenset[str] = field(default_factory=frozenset)
    ips: frozenset[str] = field(default_factory=frozenset)
    is_ca: bool = False
    issuer: str = ""

    def covers(self, names: Iterable[str], addresses: Iterable[str]) -> bool:
        """Whether it holds all of these names and addresses."""
        return set(names) <= self.dns and {_shortest(a) for a in addresses} <= self.ips

    def due(self, now: float) -> bool:
        """Whether it is time for a new one: past 4/5 of its life, or not valid yet."""
        return now >= self.not_after - (self.not_after - self.not_before) / 5 or (
            now < self.not_before
        )


def issue(request: CertificateRequest, authority: KeyPair | None = None) -> KeyPair:
    """A new key and a certificate for it, signed by `authority` or by itself. About 0.2 s.

    Raises Failed where the child process can't do it.
    """
    question = {
        "request": asdict(request),
        "authority": asdict(authority) if authority else None,
    }
    package = str(Path(__file__).parents[2])
    path = os.pathsep.join(p for p in (package, os.environ.get("PYTHONPATH", "")) if p)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pykubelet.pki.issue"],
            input=json.dumps(question).encode(),
            capture_output=True,
            timeout=ISSUE_SECONDS,
            check=False,
            env={**os.environ, "PYTHONPATH": path},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"no certificate could be made: {error}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise Failed(f"no certificate could be made: {said}")
    answer = json.loads(done.stdout)
    return KeyPair(answer["certificate"], answer["key"])


def new_authority(common_name: str, now: float, days: float = 3650) -> KeyPair:
    """A certificate authority that signs for others."""
    return issue(
        CertificateRequest(
            common_name, now - 3600, now + days * DAY, dns=(common_name,), usages=(), is_ca=True
        )
    )


def read(pem: str, where: str = "certificate") -> Certificate:
    """What the first certificate in a PEM text says. Raises Invalid naming `where`."""
    begin = pem.find("-----BEGIN CERTIFICATE-----")
    end = pem.find("-----END CERTIFICATE-----", begin)
    try:
        if begin < 0 or end < 0:
            raise ValueError("no PEM block")
        block = pem[begin : end + len("-----END CERTIFICATE-----")]
        return _certificate(der.parse(PEM_cert_to_DER_cert(block)))
    except (ValueError, IndexError, StopIteration, Base64Error) as error:
        raise Invalid(
            "not a certificate", where=where, expected="X.509 in PEM", found=str(error)
        ) from None


def _certificate(whole: der.Element) -> Certificate:
    fields = list(next(iter(whole)))
    if fields[0].tag == 0xA0:  # the version, absent in version 1
        del fields[0]
    _serial, _algorithm, issuer, validity, subject, *rest = fields
    not_before, not_after = (element.time() for element in validity)
    names = dict(_names(subject))
    dns: set[str] = set()
    ips: set[str] = set()
    is_ca = False
    for kind, value in _extensions(rest):
        if kind == _ALTERNATIVE_NAMES:
            for name in value:
                if name.tag == 0x82:
                    dns.add(name.body.decode("ascii"))
                elif name.tag == 0x87:
                    ips.add(str(ipaddress.ip_address(name.body)))
        elif kind == _BASIC_CONSTRAINTS:
            is_ca = any(e.tag == der.BOOLEAN and e.body == b"\xff" for e in value)
    return Certificate(
        common_name=names.get(_COMMON_NAME, ""),
        organizations=tuple(text for kind, text in _names(subject) if kind == _ORGANIZATION),
        not_before=not_before,
        not_after=not_after,
        dns=frozenset(dns),
        ips=frozenset(ips),
        is_ca=is_ca,
        issuer=dict(_names(issuer)).get(_COMMON_NAME, ""),
    )


def _names(name: der.Element) -> Iterable[tuple[str, str]]:
    for part in name:
        for pair in part:
            kind, text = pair
            yield kind.oid(), text.body.decode("utf-8", "replace")


def _extensions(fields: list[der.Element]) -> Iterable[tuple[str, der.Element]]:
    for element in fields:
        if element.tag == 0xA3:
            extensions, *_ = element  # of an empty one: ValueError, like all that is spoilt
            for extension in extensions:
                parts = list(extension)
                yield parts[0].oid(), der.parse(parts[-1].body)


def _shortest(address: str) -> str:
    return str(ipaddress.ip_address(address))

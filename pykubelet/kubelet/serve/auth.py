"""Who is asking, and may they? Nobody is anonymous on the agent's port.

Two questions, two protocols. Standing alone, the answers come from here: a certificate signed by
the configured client CA or a token of the token file says who it is, and whoever is known may do
everything, as upstream's `authorization.mode: AlwaysAllow`. In a cluster the agent passes in
implementations that ask the API server (TokenReview, SubjectAccessReview).

Sources: Kubernetes "Kubelet authentication/authorization" reference; KEP-2862 for the subresources.
"""

from __future__ import annotations

import csv
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pykubelet.errors import Invalid
from pykubelet.kubelet.serve.http1 import Request

Certificate = Mapping[str, Any]
"""A verified client certificate in the shape of `ssl.SSLSocket.getpeercert()`."""


@dataclass(frozen=True, slots=True)
class Identity:
    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What an authorizer is asked: `verb` on `nodes/<subresource>`.

    Access by any one of `subresources` is enough; they are ordered from the finest to `proxy`.
    """

    identity: Identity
    verb: str
    subresources: tuple[str, ...]
    path: str


class Authenticator(Protocol):
    def authenticate(self, certificate: Certificate | None, token: str) -> Identity | None:
        """The identity behind a verified certificate or a bearer token; None for nobody."""


class Authorizer(Protocol):
    def authorize(self, attributes: Attributes) -> bool: ...


class AlwaysAllow:
    """Whoever has a name may do everything."""

    def authorize(self, attributes: Attributes) -> bool:
        return True


class Standalone:
    """Certificates that the TLS layer has verified, and a fixed set of tokens."""

    def __init__(self, tokens: Mapping[str, Identity] | None = None) -> None:
        self.take_up(tokens or {})

    def take_up(self, tokens: Mapping[str, Identity]) -> None:
        """These tokens, and no others, count from now on."""
        self._tokens = {token.encode(): identity for token, identity in tokens.items()}

    def authenticate(self, certificate: Certificate | None, token: str) -> Identity | None:
        if certificate:
            return identity_of(certificate)
        given = token.encode("utf-8", "replace")
        found = None
        for known, identity in self._tokens.items():  # no early exit: time must not tell
            if hmac.compare_digest(known, given):
                found = identity
        return found if given else None


class Anonymous:
    """Last of several authenticators: whoever is known to nobody has a name all the same, and what
    that may do is for the authorizer to say."""

    def authenticate(self, certificate: Certificate | None, token: str) -> Identity | None:
        if certificate or token:
            return None  # a spoilt credential is no reason to be let in without one
        return Identity("system:anonymous", ("system:unauthenticated",))


class Union:
    """The first of several authenticators that knows the caller."""

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self._authenticators = authenticators

    def authenticate(self, certificate: Certificate | None, token: str) -> Identity | None:
        found = (a.authenticate(certificate, token) for a in self._authenticators)
        return next((identity for identity in found if identity), None)


def identity_of(certificate: Certificate) -> Identity | None:
    """Common name is the user, organizations are the groups; no common name is nobody."""
    names: list[str] = []
    groups: list[str] = []
    for group in certificate.get("subject", ()):
        for key, value in group:
            if key == "commonName":
                names.append(value)
            elif key == "organizationName":
                groups.append(value)
    return Identity(names[-1], (*groups, "system:authenticated")) if names else None


def bearer_token(request: Request) -> str:
    """The token of an Authorization header, or nothing."""
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


_VERBS = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch",
          "DELETE": "delete"}  # fmt: skip

_SUBRESOURCES = {
    "stats": ("stats",),
    "metrics": ("metrics",),
    "logs": ("log",),
    "checkpoint": ("checkpoint",),
    "healthz": ("healthz", "proxy"),
    "configz": ("configz", "proxy"),
    "pods": ("pods", "proxy"),
    "runningpods": ("pods", "proxy"),
}


def attributes_of(request: Request, identity: Identity) -> Attributes:
    """The question that upstream asks for this request."""
    first = request.segments[0] if request.segments else ""
    return Attributes(
        identity=identity,
        verb=_VERBS.get(request.method, request.method.lower()),
        subresources=_SUBRESOURCES.get(first, ("proxy",)),
        path=request.path,
    )


def read_tokens(path: Path) -> dict[str, Identity]:
    """A token file as kube-apiserver's --token-auth-file: `token,user,uid[,"group1,group2"]`.

    Raises Invalid naming the line.
    """
    tokens: dict[str, Identity] = {}
    try:
        text = path.read_text()
    except OSError as error:
        raise Invalid("the token file can't be read", where=str(path), found=str(error)) from error
    for number, row in enumerate(csv.reader(text.splitlines(), skipinitialspace=True), 1):
        if not row or row[0].startswith("#"):
            continue
        if len(row) < 3 or not row[0].strip() or not row[1].strip():
            raise Invalid(
                "not a token",
                where=f"{path}:{number}",
                expected='token,user,uid[,"group1,group2"]',
                found=f"{len(row)} columns",
            )
        tokens[row[0].strip()] = Identity(
            row[1].strip(), (*_groups(row[3:]), "system:authenticated"), row[2].strip()
        )
    return tokens


def _groups(columns: Iterable[str]) -> tuple[str, ...]:
    return tuple(g.strip() for column in columns for g in column.split(",") if g.strip())

"""Service account tokens: signed here, bound to an account and maybe a pod, checked here again.

A token is a JWT that is good for its audiences until it ends, and only as long as what it is bound
to exists. PyJWT and cryptography do the signing; both are loaded when the first token is asked for.
Source: KEP-1205 (bound tokens), KEP-1393 (OIDC discovery), the TokenRequest reference.
"""

from __future__ import annotations

import hashlib
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pykubelet.apiserver.users import User
from pykubelet.errors import Invalid
from pykubelet.pki import keys

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

Json = dict[str, Any]
#: (plural, namespace, name) → the object, or None.
Lookup = Callable[[str, str, str], Json | None]

DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local"
USER_PREFIX = "system:serviceaccount:"
_GROUP = "system:serviceaccounts"
_PRIVATE = "kubernetes.io"
_ALGORITHM = "ES256"
_EXTRA = "authentication.kubernetes.io"

#: What a kubelet asks for when a pod does not say; such tokens live on for a year, for clients that
#: read theirs only once, and warn after this.
_PROJECTED_SECONDS = 3607
_YEAR = 365 * 24 * 3600
_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Bound:
    """What a token speaks for, and what it ends with."""

    namespace: str
    account: str
    account_uid: str
    kind: str = ""
    name: str = ""
    uid: str = ""
    node: str = ""
    node_uid: str = ""


class ServiceAccountTokens:
    """`key_file` holds the private key in PEM, and is made where it is missing. `look_up` finds
    objects as they are now."""

    def __init__(
        self,
        key_file: Path,
        look_up: Lookup,
        *,
        issuer: str = DEFAULT_ISSUER,
        audiences: Sequence[str] = (),
        now: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = issuer
        self.audiences = tuple(audiences) or (issuer,)
        self._key_file = key_file
        self._look_up = look_up
        self._now = now
        self._key: EllipticCurvePrivateKey | None = None
        self._read: OrderedDict[bytes, Json] = OrderedDict()

    # -- issuing --------------------------------------------------------------------------------

    def issue(self, bound: Bound, audiences: Sequence[str], seconds: int) -> tuple[str, float]:
        """The token and when it ends (seconds since the epoch)."""
        import jwt

        now = int(self._now())
        wanted = tuple(audiences) or self.audiences
        ends = now + seconds
        private: Json = {
            "namespace": bound.namespace,
            "serviceaccount": {"name": bound.account, "uid": bound.account_uid},
        }
        if bound.kind:
            private[bound.kind] = {"name": bound.name, "uid": bound.uid}
        if bound.node:
            private["node"] = {"name": bound.node, "uid": bound.node_uid}
        if seconds == _PROJECTED_SECONDS and bound.kind == "pod" and wanted == self.audiences:
            private["warnafter"] = ends
            ends = now + _YEAR
        claims = {
            "iss": self.issuer,
            "sub": f"{USER_PREFIX}{bound.namespace}:{bound.account}",
            "aud": list(wanted),
            "iat": now,
            "nbf": now,
            "exp": ends,
            "jti": str(uuid.uuid4()),
            _PRIVATE: private,
        }
        key = self._private_key()
        headers = {"kid": self.key_id()}
        return jwt.encode(claims, key, algorithm=_ALGORITHM, headers=headers), float(ends)

    # -- checking -------------------------------------------------------------------------------

    def user_of(self, token: str, audiences: Sequence[str] = ()) -> User | None:
        """Whom a token speaks for, if it is ours, in force and for one of these audiences."""
        claims = self._claims(token)
        if claims is None:
            return None
        now = self._now()
        if not claims["nbf"] - 60 <= now < claims["exp"]:
            return None
        if not set(claims["aud"]) & set(audiences or self.audiences):
            return None
        private = claims[_PRIVATE]
        if not self._still_there(private):
            return None
        namespace, account = private["namespace"], private["serviceaccount"]
        return User(
            claims["sub"],
            (_GROUP, f"{_GROUP}:{namespace}"),
            account["uid"],
            _extra(claims, private),
        )

    def audiences_of(self, token: str) -> tuple[str, ...]:
        claims = self._claims(token)
        return tuple(claims["aud"]) if claims else ()

    def _claims(self, token: str) -> Json | None:
        """What the token says, if we have signed it. Remembered: checking costs 0.1 ms."""
        if token.count(".") != 2:
            return None
        mark = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        known = self._read.get(mark)
        if known is not None:
            self._read.move_to_end(mark)
            return known
        import jwt

        try:
            claims: Json = jwt.decode(
                token,
                self._private_key().public_key(),
                algorithms=[_ALGORITHM],
                issuer=self.issuer,
                options={"verify_aud": False, "verify_exp": False, "verify_nbf": False,
                         "verify_iat": False, "require": ["exp", "nbf", "aud", "sub"]},
            )  # fmt: skip
        except jwt.PyJWTError:
            return None
        if _PRIVATE not in claims:
            return None
        self._read[mark] = claims
        while len(self._read) > _REMEMBERED:
            self._read.popitem(last=False)
        return claims

    def _still_there(self, private: Mapping[str, Any]) -> bool:
        namespace = private["namespace"]
        bound = [("serviceaccounts", namespace, private["serviceaccount"])]
        bound += [
            (plural, namespace, private[kind])
            for kind, plural in (("pod", "pods"), ("secret", "secrets"))
            if kind in private
        ]
        for plural, where, reference in bound:
            found = self._look_up(plural, where, reference["name"])
            if found is None or found["metadata"]["uid"] != reference["uid"]:
                return False
        return True

    # -- the key --------------------------------------------------------------------------------

    def key_id(self) -> str:
        return _key_id(self._numbers())

    def discovery(self) -> Json:
        """/.well-known/openid-configuration"""
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [_ALGORITHM],
        }

    def key_set(self) -> Json:
        """/openid/v1/jwks"""
        x, y = self._numbers()
        one = {"use": "sig", "kty": "EC", "kid": self.key_id(), "crv": "P-256",
               "alg": _ALGORITHM, "x": _base64(x), "y": _base64(y)}  # fmt: skip
        return {"keys": [one]}

    def _numbers(self) -> tuple[int, int]:
        numbers = self._private_key().public_key().public_numbers()
        return numbers.x, numbers.y

    def _private_key(self) -> EllipticCurvePrivateKey:
        if self._key is None:
            from cryptography.hazmat.primitives import serialization
            from cryptography.hazmat.primitives.asymmetric import ec

            if not self._key_file.exists():
                made = ec.generate_private_key(ec.SECP256R1())
                pem = made.private_bytes(
                    serialization.Encoding.PEM,
                    serialization.PrivateFormat.PKCS8,
                    serialization.NoEncryption(),
                )
                keys.write_file(self._key_file, pem, 0o600)
            read = serialization.load_pem_private_key(self._key_file.read_bytes(), None)
            if not isinstance(read, ec.EllipticCurvePrivateKey):
                raise Invalid(
                    "not a key for service account tokens",
                    where=str(self._key_file),
                    expected="an EC P-256 private key",
                    found=type(read).__name__,
                )
            self._key = read
        return self._key


def _extra(claims: Json, private: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {f"{_EXTRA}/credential-id": (f"JTI={claims['jti']}",)}
    for kind in ("pod", "node"):
        if kind in private:
            found[f"{_EXTRA}/{kind}-name"] = (private[kind]["name"],)
            found[f"{_EXTRA}/{kind}-uid"] = (private[kind]["uid"],)
    return found


def _key_id(numbers: tuple[int, int]) -> str:
    text = b"".join(n.to_bytes(32) for n in numbers)
    return hashlib.sha256(text).hexdigest()[:43]


def _base64(number: int) -> str:
    import base64

    return base64.urlsafe_b64encode(number.to_bytes(32)).rstrip(b"=").decode()

"""Asks each way of authentication in turn; the first that knows the client decides.

A credential that is presented and wrong is refused (401); none at all makes the client anonymous,
who may see health and version and nothing else.
"""

from __future__ import annotations

import csv
import hmac
from collections.abc import Callable, Sequence
from pathlib import Path

from pykubelet.apiserver.authentication.service_accounts import ServiceAccountTokens
from pykubelet.apiserver.front.messages import Request
from pykubelet.apiserver.users import ANONYMOUS, AUTHENTICATED, User
from pykubelet.errors import Invalid

TokenCheck = Callable[[str], User | None]


class Authentication:
    """`tokens` are asked for every bearer token, in order; `service_accounts` last of all."""

    def __init__(
        self,
        tokens: Sequence[TokenCheck] = (),
        service_accounts: ServiceAccountTokens | None = None,
    ) -> None:
        self._tokens = tuple(tokens)
        self.service_accounts = service_accounts

    def user_of(self, request: Request) -> User | None:
        """Who sent it; None if a credential was presented that nobody accepts."""
        if request.peer.common_name:
            groups = (*request.peer.organizations, AUTHENTICATED)
            return User(request.peer.common_name, groups)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not scheme:
            return ANONYMOUS
        if scheme.lower() != "bearer" or not token.strip():
            return None
        return self.user_of_token(token.strip())

    def user_of_token(self, token: str, audiences: Sequence[str] = ()) -> User | None:
        """Whom a token speaks for towards one of these audiences, the server's own where none is
        named."""
        for check in self._tokens:
            found = check(token)
            if found is not None:
                break
        else:
            accounts = self.service_accounts
            found = accounts.user_of(token, audiences) if accounts else None
        if found is None:
            return None
        return User(found.name, (*found.groups, AUTHENTICATED), found.uid, found.extra)

    def audiences_of(self, token: str, wanted: Sequence[str]) -> list[str]:
        """For which of the wanted audiences a token that is good is meant."""
        accounts = self.service_accounts
        known = accounts.audiences_of(token) if accounts else ()
        if not known:
            return list(wanted)  # other tokens know no audiences
        asked = wanted or (accounts.audiences if accounts else ())
        return [audience for audience in asked if audience in known]


def static_tokens(path: Path) -> TokenCheck:
    """Tokens from a file, as upstream's `--token-auth-file`: `token,user,uid,"group1,group2"`."""
    users: dict[str, User] = {}
    with path.open(newline="") as file:
        for number, row in enumerate(csv.reader(file), 1):
            if not row or row[0].startswith("#"):
                continue
            if len(row) < 3:
                raise Invalid(
                    "not a token", where=f"{path}:{number}", expected="token,user,uid[,groups]"
                )
            groups = tuple(g.strip() for g in row[3].split(",") if g.strip()) if row[3:] else ()
            users[row[0].strip()] = User(row[1].strip(), groups, row[2].strip())

    def check(token: str) -> User | None:
        given = token.encode()
        return next(
            (user for known, user in users.items() if hmac.compare_digest(known.encode(), given)),
            None,
        )

    return check

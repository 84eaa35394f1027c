"""Asks each way of authentication in turn; the first that knows the client decides.

A credential that is presented and wrong is refused (401); none at all makes the client anonymous,
who may see health and version and nothing else.
"""

from __future__ import annotations

import csv
import hmac
from collections.abc import Callable, Sequence
from pathlib import Path

from pykubelet.apiserver.front.messages import Request
from pykubelet.apiserver.users import ANONYMOUS, AUTHENTICATED, User
from pykubelet.errors import Invalid

TokenCheck = Callable[[str], User | None]


class Authentication:
    """`tokens` are asked for every bearer token, in order."""

    def __init__(self, tokens: Sequence[TokenCheck] = ()) -> None:
        self._tokens = tuple(tokens)

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
        for check in self._tokens:
            found = check(token.strip())
            if found is not None:
                return User(found.name, (*found.groups, AUTHENTICATED), found.uid, found.extra)
        return None


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

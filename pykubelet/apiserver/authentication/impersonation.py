"""Impersonation: acting as somebody else, for those who may. Source: "User impersonation"."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote

from pykubelet.apiserver import status
from pykubelet.apiserver.authorization.rbac import Attributes, Rbac
from pykubelet.apiserver.front.messages import Request
from pykubelet.apiserver.reviews import refused
from pykubelet.apiserver.users import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, User

_EXTRA = "impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"


def assumed(user: User, request: Request, rbac: Rbac) -> User:
    """Whom the request acts as. Refuses with 403 where the user may not impersonate all of it."""
    headers = request.headers
    name = headers.get("impersonate-user", "")
    groups = tuple(g.strip() for g in headers.get("impersonate-group", "").split(",") if g.strip())
    uid = headers.get("impersonate-uid", "")
    extra = {
        unquote(key.removeprefix(_EXTRA)): tuple(value.split(", "))
        for key, value in headers.items()
        if key.startswith(_EXTRA)
    }
    if not name:
        raise status.bad_request("requested groups, uid or extra without impersonating a user")
    for wanted in _wanted(name, groups, uid, extra):
        if not rbac.allows(user, wanted):
            raise refused(user, wanted, None)
    if name.startswith(_ACCOUNT) and not groups:
        namespace = name.removeprefix(_ACCOUNT).partition(":")[0]
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    if name == ANONYMOUS.name:
        groups = (*groups, UNAUTHENTICATED)
    elif AUTHENTICATED not in groups:
        groups = (*groups, AUTHENTICATED)
    return User(name, groups, uid, extra)


def _wanted(
    name: str, groups: tuple[str, ...], uid: str, extra: dict[str, tuple[str, ...]]
) -> Iterator[Attributes]:
    """All that must be allowed."""
    verb = "impersonate"
    if name.startswith(_ACCOUNT) and name.count(":") == 3:
        _, _, namespace, account = name.split(":")
        yield Attributes(verb, "", "serviceaccounts", "", namespace, account)
    else:
        yield Attributes(verb, "", "users", "", "", name)
    for group in groups:
        yield Attributes(verb, "", "groups", "", "", group)
    if uid:
        yield Attributes(verb, "authentication.k8s.io", "uids", "", "", uid)
    for key, values in extra.items():
        for value in values:
            yield Attributes(verb, "authentication.k8s.io", "userextras", key, "", value)

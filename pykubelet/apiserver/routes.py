"""What a path asks for. Pure.

    /api/v1/namespaces/default/pods/web/log
    /apis/apps/v1/deployments?watch=1

Source: "Kubernetes API Concepts", resource URIs and verbs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_VERBS = {
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
    "GET": "get",
    "HEAD": "get",
}
_NAMESPACE_SUBRESOURCES = ("status", "finalize")


@dataclass(frozen=True, slots=True)
class Route:
    """What a request wants. `resource` is empty for anything that isn't a resource (`path` says
    what); then `verb` is the method in lower case."""

    verb: str
    path: str
    group: str = ""
    version: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    """What follows the subresource, for proxies."""

    @property
    def is_resource(self) -> bool:
        return bool(self.resource)


def parse(method: str, path: str, query: Mapping[str, str]) -> Route:
    """The route of a request."""
    parts = [part for part in path.split("/") if part]
    other = Route(method.lower(), path)
    match parts:
        case ["api", version, *rest] if rest:
            group = ""
        case ["apis", group, version, *rest] if rest:
            pass
        case _:
            return other
    watching = rest[0] == "watch" and len(rest) > 1
    if watching:
        rest = rest[1:]
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        if len(rest) > 2 and rest[2] not in _NAMESPACE_SUBRESOURCES:
            rest = rest[2:]
    resource, name, subresource = (*rest[:3], "", "", "")[:3]
    verb = _VERBS.get(method, "")
    if resource == "namespaces" and name:
        namespace = name
    if not name:
        if verb == "get":
            verb = "watch" if _true(query.get("watch")) else "list"
        elif verb == "delete":
            verb = "deletecollection"
    elif verb == "get" and not subresource and _true(query.get("watch")):
        verb = "watch"
    if watching:
        verb = "watch"
    return Route(
        verb, path, group, version, resource, namespace, name, subresource, "/".join(rest[3:])
    )


def _true(value: str | None) -> bool:
    """A boolean parameter: given without a value it is true."""
    return value is not None and value.lower() not in ("0", "f", "false")

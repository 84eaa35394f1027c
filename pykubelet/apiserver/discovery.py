"""Which groups, versions and resources there are, for clients that ask: the old documents, one for
each group-version, and the aggregated one that says it all at once.

Source: API concepts, "Discovery API".
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from pykubelet.apiserver.front.messages import Request, Response
from pykubelet.apiserver.resources.registry import Registry, Resource, Subresource

Json = dict[str, Any]

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_ANYWHERE = [{"clientCIDR": "0.0.0.0/0", "serverAddress": ""}]


class Discovery:
    """Answers for the registry as it is; `forget` when it has changed."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._made: dict[str, tuple[bytes, str]] = {}

    def forget(self) -> None:
        self._made.clear()

    def answer(self, request: Request) -> Response | None:
        """The answer to a discovery request; None if it isn't one, or names what isn't there."""
        aggregated = "APIGroupDiscoveryList" in request.headers.get("accept", "")
        match request.path.strip("/").split("/"):
            case ["api"]:
                if aggregated:
                    return self._reply(request, "/api+", self._aggregated_core, _AGGREGATED)
                return self._reply(request, "/api", _versions)
            case ["apis"]:
                if aggregated:
                    return self._reply(request, "/apis+", self._aggregated_groups, _AGGREGATED)
                return self._reply(request, "/apis", self._group_list)
            case ["apis", group] if group in self._registry.groups():
                return self._reply(request, f"/apis/{group}", lambda: self._group(group, True))
            case ["api", version] if version in self._registry.groups()[""]:
                return self._reply(request, "/api/v1", lambda: self._resources("", version))
            case ["apis", group, version] if version in self._registry.groups().get(group, ()):
                return self._reply(
                    request, f"/apis/{group}/{version}", lambda: self._resources(group, version)
                )
        return None

    def _reply(
        self, request: Request, key: str, make: Any, kind: str = "application/json"
    ) -> Response:
        if key not in self._made:
            body = orjson.dumps(make()) + b"\n"
            tag = '"' + hashlib.sha512(body).hexdigest().upper() + '"'
            self._made[key] = body, tag
        body, tag = self._made[key]
        headers = (("ETag", tag), ("Vary", "Accept"))
        if request.headers.get("if-none-match") == tag:
            return Response(304, b"", "", headers)
        return Response(200, body, kind, headers)

    def _group_list(self) -> Json:
        groups = [self._group(name, False) for name in self._registry.groups() if name]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def _group(self, name: str, alone: bool) -> Json:
        versions = [
            {"groupVersion": f"{name}/{version}", "version": version}
            for version in self._registry.groups()[name]
        ]
        made = {"name": name, "versions": versions, "preferredVersion": versions[0]}
        return {"kind": "APIGroup", "apiVersion": "v1", **made} if alone else made

    def _resources(self, group: str, version: str) -> Json:
        listed: list[Json] = []
        for one in self._of(group, version):
            listed.append(_resource(one))
            listed += [_subresource(one, below) for below in one.subresources]
        listed.sort(key=lambda entry: entry["name"])
        group_version = f"{group}/{version}" if group else version
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": group_version,
            "resources": listed,
        }

    def _of(self, group: str, version: str) -> list[Resource]:
        return [one for one in self._registry if (one.group, one.version) == (group, version)]

    def _aggregated_core(self) -> Json:
        return self._aggregated([""])

    def _aggregated_groups(self) -> Json:
        return self._aggregated([name for name in self._registry.groups() if name])

    def _aggregated(self, groups: list[str]) -> Json:
        items = []
        for group in groups:
            versions = [
                {
                    "version": version,
                    "resources": [_aggregated_resource(one) for one in self._of(group, version)],
                    "freshness": "Current",
                }
                for version in self._registry.groups()[group]
            ]
            metadata = {"name": group} if group else {}
            items.append({"metadata": metadata, "versions": versions})
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": "apidiscovery.k8s.io/v2",
            "metadata": {},
            "items": items,
        }


def _versions() -> Json:
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": _ANYWHERE}


def _resource(one: Resource) -> Json:
    made: Json = {
        "name": one.plural,
        "singularName": one.singular,
        "namespaced": one.namespaced,
        "kind": one.kind,
        "verbs": sorted(one.verbs),
    }
    if one.short_names:
        made["shortNames"] = list(one.short_names)
    if one.categories:
        made["categories"] = list(one.categories)
    if one.stored:
        text = f"{one.group}/{one.version}/{one.kind}".encode()
        made["storageVersionHash"] = hashlib.sha256(text).hexdigest()[:11] + "="
    return made


def _subresource(one: Resource, below: Subresource) -> Json:
    made: Json = {
        "name": f"{one.plural}/{below.name}",
        "singularName": "",
        "namespaced": one.namespaced,
        "kind": below.kind,
        "verbs": sorted(below.verbs),
    }
    if below.group_version:
        group, _, version = below.group_version.rpartition("/")
        made |= {"group": group, "version": version}
    return made


def _aggregated_resource(one: Resource) -> Json:
    made: Json = {
        "resource": one.plural,
        "responseKind": _kind(one.group_version, one.kind),
        "scope": "Namespaced" if one.namespaced else "Cluster",
        "singularResource": one.singular,
        "verbs": sorted(one.verbs),
    }
    if one.short_names:
        made["shortNames"] = list(one.short_names)
    if one.categories:
        made["categories"] = list(one.categories)
    if one.subresources:
        made["subresources"] = [
            {
                "subresource": below.name,
                "responseKind": _kind(below.group_version or one.group_version, below.kind),
                "verbs": sorted(below.verbs),
            }
            for below in sorted(one.subresources, key=lambda below: below.name)
        ]
    return made


def _kind(group_version: str, kind: str) -> Json:
    group, _, version = group_version.rpartition("/")
    return {"group": group, "version": version, "kind": kind}

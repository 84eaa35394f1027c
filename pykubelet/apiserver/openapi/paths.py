"""The paths of each resource, with what can be asked there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pykubelet.apiserver.openapi.schemas import Schemas
from pykubelet.apiserver.resources.registry import Resource, Subresource
from pykubelet.objects import schema

Json = dict[str, Any]

_PATCHES = (
    "application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)  # fmt: skip
_BODIES = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
_LIST = (
    ("allowWatchBookmarks", "boolean"), ("continue", "string"), ("fieldSelector", "string"),
    ("labelSelector", "string"), ("limit", "integer"), ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"), ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"), ("watch", "boolean"),
)  # fmt: skip
_WRITE = (("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"))
_DELETE = (
    ("dryRun", "string"), ("gracePeriodSeconds", "integer"), ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
)  # fmt: skip
_PARAMETERS: dict[str, tuple[tuple[str, str], ...]] = {
    "get": (),
    "list": _LIST,
    "create": _WRITE,
    "update": _WRITE,
    "patch": (*_WRITE, ("force", "boolean")),
    "delete": _DELETE,
    "deletecollection": (*_DELETE, *_LIST),
    "connect": (),
}
_METHODS = {
    "get": "get", "list": "get", "create": "post", "update": "put", "patch": "patch",
    "delete": "delete", "deletecollection": "delete",
}  # fmt: skip
_ACTIONS = {"create": "post", "update": "put"}


def paths_of(resource: Resource, schemas: Schemas, version3: bool) -> Iterator[tuple[str, Json]]:
    """(path, path item) pairs."""
    root = f"/apis/{resource.group_version}" if resource.group else f"/api/{resource.version}"
    where = f"{root}/namespaces/{{namespace}}" if resource.namespaced else root
    make = _Maker(resource, schemas, version3)
    collection = [v for v in ("list", "create", "deletecollection") if v in resource.verbs]
    if collection:
        yield f"{where}/{resource.plural}", make.item(collection, resource.namespaced, False)
    if resource.namespaced and "list" in resource.verbs:
        yield f"{root}/{resource.plural}", make.item(["list"], False, False)
    single = [v for v in ("get", "update", "patch", "delete") if v in resource.verbs]
    if single and resource.stored:
        yield (
            f"{where}/{resource.plural}/{{name}}",
            make.item(single, resource.namespaced, True),
        )
    for below in resource.subresources:
        verbs = [verb for verb in below.verbs if verb in _METHODS]
        yield (
            f"{where}/{resource.plural}/{{name}}/{below.name}",
            make.item(verbs, resource.namespaced, True, below),
        )


class _Maker:
    def __init__(self, resource: Resource, schemas: Schemas, version3: bool) -> None:
        self._resource = resource
        self._schemas = schemas
        self._version3 = version3

    def item(
        self, verbs: Sequence[str], namespaced: bool, named: bool, below: Subresource | None = None
    ) -> Json:
        made: Json = {_METHODS[verb]: self._operation(verb, namespaced, below) for verb in verbs}
        made["parameters"] = [
            self._parameter(name, "string", "path")
            for name, wanted in (("name", named), ("namespace", namespaced))
            if wanted
        ]
        return made

    def _operation(self, verb: str, namespaced: bool, below: Subresource | None) -> Json:
        resource = self._resource
        group_version, kind = resource.group_version, resource.kind
        if below is not None:
            group_version = below.group_version or group_version
            kind = below.kind or kind
        group, _, version = group_version.rpartition("/")
        type_name = schema.kind_type(group_version, kind)
        answer = f"{resource.type_name}List" if verb == "list" else type_name
        operation: Json = {
            "description": f"{verb} {kind}",
            "operationId": self._operation_id(verb, namespaced, below),
            "tags": [self._tag()],
            "parameters": [self._parameter(*one, "query") for one in _PARAMETERS[verb]],
            "x-kubernetes-action": _ACTIONS.get(verb, verb),
            "x-kubernetes-group-version-kind": {"group": group, "kind": kind, "version": version},
        }
        ok = "201" if verb == "create" else "200"
        if self._version3:
            operation["responses"] = {ok: self._content(answer, _BODIES, "OK"),
                                      "401": {"description": "Unauthorized"}}  # fmt: skip
            if verb in ("create", "update"):
                operation["requestBody"] = self._content(type_name, ("*/*",))
            elif verb == "patch":
                operation["requestBody"] = self._content("meta/v1.Patch", _PATCHES)
        else:
            operation["responses"] = {ok: {"description": "OK", **self._schema(answer)},
                                      "401": {"description": "Unauthorized"}}  # fmt: skip
            operation["produces"] = list(_BODIES)
            operation["schemes"] = ["https"]
            if verb in ("create", "update", "patch"):
                operation["consumes"] = list(_PATCHES if verb == "patch" else ("*/*",))
                body = {"name": "body", "in": "body", "required": True}
                name = "meta/v1.Patch" if verb == "patch" else type_name
                operation["parameters"].append({**body, **self._schema(name)})
        return operation

    def _content(self, type_name: str | None, kinds: tuple[str, ...], about: str = "") -> Json:
        made: Json = {"content": {kind: self._schema(type_name) for kind in kinds}}
        return {"description": about, **made} if about else made

    def _schema(self, type_name: str | None) -> Json:
        if type_name == "meta/v1.Patch":
            return {"schema": {"type": "object", "description": "A patch."}}
        custom = self._resource.custom is not None
        if custom and type_name in (None, "List"):
            reference = self._schemas.custom(self._resource)
            return {"schema": {"$ref": reference["$ref"] + (type_name or "")}}
        if not type_name:
            return {"schema": {"type": "string"}}
        return {"schema": self._schemas.reference(type_name)}

    def _parameter(self, name: str, kind: str, where: str) -> Json:
        made: Json = {"name": name, "in": where}
        if where == "path":
            made["required"] = True
        if self._version3:
            return {**made, "schema": {"type": kind, "uniqueItems": True}}
        return {**made, "type": kind, "uniqueItems": True}

    def _tag(self) -> str:
        group = self._resource.group.partition(".")[0] or "core"
        return f"{group}_{self._resource.version}"

    def _operation_id(self, verb: str, namespaced: bool, below: Subresource | None) -> str:
        resource = self._resource
        words = {"get": "read", "update": "replace", "deletecollection": "deleteCollection"}
        tag = "".join(part.capitalize() for part in self._tag().split("_"))
        middle = "Namespaced" if namespaced else ""
        tail = below.name.capitalize() if below else ""
        every = "ForAllNamespaces" if resource.namespaced and not namespaced else ""
        return f"{words.get(verb, verb)}{tag}{middle}{resource.kind}{tail}{every}"

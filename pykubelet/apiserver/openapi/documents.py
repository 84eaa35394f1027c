"""The OpenAPI documents: version 3, one for each group-version, and version 2, one for all.

Each is made when it is first asked for, kept as bytes, and told apart by a hash, so that clients
can keep it for ever. Source: API concepts, "OpenAPI interface definition".
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from pykubelet.apiserver.front.messages import Request, Response
from pykubelet.apiserver.openapi import protobuf
from pykubelet.apiserver.openapi.paths import paths_of
from pykubelet.apiserver.openapi.schemas import Schemas
from pykubelet.apiserver.resources.registry import Registry, Resource
from pykubelet.version import KUBERNETES_VERSION

Json = dict[str, Any]

_ROOT = "/openapi/v3"
_BEARER = {
    "BearerToken": {
        "description": "Bearer Token authentication",
        "type": "apiKey",
        "name": "authorization",
        "in": "header",
    }
}


class Documents:
    """Answers for the registry as it is; `forget` when it has changed."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._made: dict[tuple[str, str], tuple[bytes, str]] = {}

    def forget(self) -> None:
        self._made.clear()

    def answer(self, request: Request) -> Response | None:
        """The answer to a request for a document; None if it isn't one."""
        path = request.path.rstrip("/")
        if path == "/openapi/v2":
            if protobuf.wanted(request.headers.get("accept", "")):
                return self._reply(request, path, protobuf.MEDIA_TYPE)
            return self._reply(request, path)
        if path == _ROOT:
            listed = {
                name: {"serverRelativeURL": f"{_ROOT}/{name}?hash={self._hash(name)}"}
                for name in self._names()
            }
            return Response(body=orjson.dumps({"paths": listed}))
        name = path.removeprefix(f"{_ROOT}/")
        if name != path and name in self._names():
            return self._reply(request, name)
        return None

    def _names(self) -> dict[str, list[Resource]]:
        found: dict[str, list[Resource]] = {}
        for one in self._registry:
            name = f"apis/{one.group_version}" if one.group else f"api/{one.version}"
            found.setdefault(name, []).append(one)
        return found

    def _hash(self, name: str) -> str:
        """Known without making the document: what is in it follows from these."""
        text = repr([KUBERNETES_VERSION, self._names()[name]]).encode()  # custom schemas included
        return hashlib.sha512(text).hexdigest().upper()

    def _reply(self, request: Request, name: str, kind: str = "application/json") -> Response:
        if (name, kind) not in self._made:
            made = self._version2() if name == "/openapi/v2" else self._version3(name)
            body = protobuf.encode(made) if kind == protobuf.MEDIA_TYPE else orjson.dumps(made)
            self._made[name, kind] = body, f'"{hashlib.sha512(body).hexdigest().upper()}"'
        body, tag = self._made[name, kind]
        headers: tuple[tuple[str, str], ...] = (("ETag", tag), ("Vary", "Accept-Encoding"))
        if "hash" in request.query:
            headers = (*headers, ("Cache-Control", "public, immutable"))
        if request.headers.get("if-none-match") == tag:
            return Response(304, b"", "", headers)
        return Response(200, body, kind, headers)

    def _version3(self, name: str) -> Json:
        schemas = Schemas(version3=True)
        paths = _paths(self._names()[name], schemas, True)
        return {
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
            "paths": paths,
            "components": {"schemas": schemas.found, "securitySchemes": _BEARER},
        }

    def _version2(self) -> Json:
        schemas = Schemas(version3=False)
        paths = _paths(list(self._registry), schemas, False)
        return {
            "swagger": "2.0",
            "info": {"title": "Kubernetes", "version": KUBERNETES_VERSION},
            "paths": paths,
            "definitions": schemas.found,
            "securityDefinitions": _BEARER,
            "security": [{"BearerToken": []}],
        }


def _paths(resources: list[Resource], schemas: Schemas, version3: bool) -> Json:
    paths: Json = {}
    for one in resources:
        if one.custom is not None:
            schemas.custom(one)
            paths.update(paths_of(one, schemas, version3))
            continue
        if not one.type_name:
            continue
        paths.update(paths_of(one, schemas, version3))
        kind = {"group": one.group, "kind": one.kind, "version": one.version}
        schemas.mark(one.type_name, [kind])
        if one.stored:
            listed = {**kind, "kind": f"{one.kind}List"}
            schemas.mark(f"{one.type_name}List", [listed])
    return paths

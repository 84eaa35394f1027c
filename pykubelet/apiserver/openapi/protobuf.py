"""The OpenAPI 2 document in protobuf, which kubectl asks for where version 3 has no answer.

From the JSON tree of `documents`, with everything that clients read of it: definitions with their
extensions, paths with their parameters. Values of any shape travel as YAML text, of which JSON is
one kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson

from pykubelet.objects.wire import messages

Json = dict[str, Any]

#: Clients ask for it with an `@` before the version, which no media type may have in an answer.
MEDIA_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_METHODS = ("get", "put", "post", "delete", "patch")


def wanted(accept: str) -> bool:
    """Whether a client asks for this form."""
    return "proto-openapi.spec.v2" in accept


def encode(document: Json) -> bytes:
    """The bytes of a version 2 document."""
    made = _table()["Document"](
        swagger=document["swagger"],
        info=document["info"],
        paths={"path": [_named(p, _path(item)) for p, item in document["paths"].items()]},
        definitions={
            "additional_properties": [
                _named(name, _schema(s)) for name, s in document["definitions"].items()
            ]
        },
    )
    return bytes(made.SerializeToString())


@cache
def _table() -> messages.Table:
    return messages.load(__package__, "openapi_v2.schema")


def _named(name: str, value: Json) -> Json:
    return {"name": name, "value": value}


def _any(value: Any) -> Json:
    return {"yaml": orjson.dumps(value).decode() + "\n"}


def _extensions(tree: Mapping[str, Any]) -> list[Json]:
    return [_named(k, _any(v)) for k, v in tree.items() if k.startswith("x-")]


def _schema(tree: Mapping[str, Any]) -> Json:
    made: Json = {"vendor_extension": _extensions(tree)}
    for key, field in (("$ref", "_ref"), ("format", "format"), ("description", "description")):
        if tree.get(key):
            made[field] = tree[key]
    if tree.get("required"):
        made["required"] = tree["required"]
    if tree.get("type"):
        kinds = tree["type"]
        made["type"] = {"value": kinds if isinstance(kinds, list) else [kinds]}
    if "default" in tree:
        made["default"] = _any(tree["default"])
    if tree.get("enum"):
        made["enum"] = [_any(value) for value in tree["enum"]]
    if "items" in tree:
        made["items"] = {"schema": [_schema(tree["items"])]}
    if tree.get("properties"):
        named = [_named(name, _schema(one)) for name, one in tree["properties"].items()]
        made["properties"] = {"additional_properties": named}
    more = tree.get("additionalProperties")
    if isinstance(more, bool):
        made["additional_properties"] = {"boolean": more}
    elif more is not None:
        made["additional_properties"] = {"schema": _schema(more)}
    return made


def _path(item: Mapping[str, Any]) -> Json:
    made: Json = {m: _operation(item[m]) for m in _METHODS if m in item}
    made["parameters"] = [_parameter(p) for p in item.get("parameters") or ()]
    return made


def _operation(tree: Mapping[str, Any]) -> Json:
    return {
        "tags": tree.get("tags") or [],
        "description": tree.get("description") or "",
        "operation_id": tree.get("operationId") or "",
        "consumes": tree.get("consumes") or [],
        "produces": tree.get("produces") or [],
        "schemes": tree.get("schemes") or [],
        "parameters": [_parameter(p) for p in tree.get("parameters") or ()],
        "responses": {
            "response_code": [
                _named(code, {"response": _response(r)})
                for code, r in (tree.get("responses") or {}).items()
            ]
        },
        "vendor_extension": _extensions(tree),
    }


def _response(tree: Mapping[str, Any]) -> Json:
    made: Json = {"description": tree.get("description") or ""}
    if "schema" in tree:
        made["schema"] = {"schema": _schema(tree["schema"])}
    return made


def _parameter(tree: Mapping[str, Any]) -> Json:
    made: Json = {"name": tree["name"], "in": tree["in"], "required": bool(tree.get("required")),
                  "description": tree.get("description") or ""}  # fmt: skip
    if tree["in"] == "body":
        body = {**made, "schema": _schema(tree.get("schema") or {})}
        return {"parameter": {"body_parameter": body}}
    made |= {"type": tree.get("type") or "string", "unique_items": bool(tree.get("uniqueItems"))}
    kind = "path_parameter_sub_schema" if tree["in"] == "path" else "query_parameter_sub_schema"
    return {"parameter": {"non_body_parameter": {kind: made}}}

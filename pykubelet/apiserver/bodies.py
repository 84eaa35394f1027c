"""Request bodies into objects: which format, which fields nobody knows, which are wrong."""

from __future__ import annotations

import json
from typing import Any

import orjson

from pykubelet.apiserver import status
from pykubelet.apiserver.calls import Call
from pykubelet.apiserver.extensions.objects import decode_custom
from pykubelet.errors import Invalid
from pykubelet.objects import documents
from pykubelet.objects.fields import FieldError, written
from pykubelet.objects.schema.decoding import decode

Json = dict[str, Any]

JSON, YAML = "application/json", "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
_READABLE = (JSON, YAML, PROTOBUF)
_MOST_WARNINGS = 20


def media_type(call: Call) -> str:
    return call.request.headers.get("content-type", JSON).partition(";")[0].strip().lower() or JSON


def tree_of(call: Call) -> Json:
    """The body as a tree, whatever its format."""
    kind = media_type(call)
    body = call.request.body
    if not body:
        return {}
    if kind == PROTOBUF:
        return _from_protobuf(body)
    if kind in ("*/*", JSON) or kind.endswith("+json"):
        try:
            tree = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise status.bad_request(f"the body of the request is not JSON: {error}") from None
        if call.option("fieldValidation") in ("Strict", "Warn"):
            _duplicates(call, body)
    elif kind == YAML or kind.endswith("yaml"):
        try:
            found = documents.read(body, "body")
        except Invalid as error:
            raise status.bad_request(f"error converting YAML to JSON: {error}") from None
        if len(found) != 1:
            raise status.bad_request("the body of the request must hold one object")
        tree = found[0].object
    else:
        raise status.unsupported_media_type(_READABLE)
    if not isinstance(tree, dict):
        raise status.bad_request("the body of the request is not an object")
    return tree


def _from_protobuf(body: bytes) -> Json:
    from pykubelet.objects import schema
    from pykubelet.objects.wire import objects

    try:
        api_version, kind, message = objects.open_envelope(body)
        type_name = schema.kind_type(api_version, kind)
        if type_name is None and kind == "DeleteOptions":
            type_name = "meta/v1.DeleteOptions"  # which every group has as its own
        if type_name is None:
            raise Invalid("no such kind", found=f"{kind} of {api_version}")
        tree = objects.decode(type_name, message)
    except (Invalid, UnicodeDecodeError, ValueError, OverflowError) as error:
        raise status.bad_request(f"the body of the request is not protobuf: {error}") from None
    return {"kind": kind, "apiVersion": api_version, **tree}


def typed(call: Call, tree: Json, type_name: str, kind: str) -> Json:
    """A tree as an object of a type: in canonical form, with what is unknown left out.

    Refused where the shape is wrong and, with `fieldValidation=Strict`, where a field is unknown;
    else a warning tells of it.
    """
    if type_name:
        made, findings = decode(type_name, tree)
    elif call.resource.custom is not None:
        made, findings = decode_custom(tree, call.resource.custom)
    else:
        return tree
    if findings.wrong:
        version = call.resource.group_version
        raise status.bad_request(
            f'{kind} in version "{version}" cannot be handled as a {kind}: '
            + "; ".join(map(str, findings.wrong[:5]))
        )
    _unknown(call, findings.unknown)
    return made


def object_of(call: Call) -> Json:
    """The object in the body, of the resource's own kind."""
    resource = call.resource
    tree = tree_of(call)
    check_kind(call, tree, resource.group_version, resource.kind)
    made = typed(call, tree, resource.type_name, resource.kind)
    return {**made, "kind": resource.kind, "apiVersion": resource.group_version}


def check_kind(call: Call, tree: Json, api_version: str, kind: str) -> None:
    """An object must be what the URL says; one that doesn't say is taken for it."""
    said = tree.get("apiVersion") or api_version, tree.get("kind") or kind
    if said != (api_version, kind):
        raise status.bad_request(
            f"the object provided is unrecognized (must be of type {kind}): "
            f'got apiVersion "{said[0]}", kind "{said[1]}", expected apiVersion "{api_version}"'
        )


def _unknown(call: Call, unknown: list[FieldError]) -> None:
    if unknown:
        _strictly(call, [f'unknown field "{written(error.path)}"' for error in unknown])


def _duplicates(call: Call, body: bytes) -> None:
    twice: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> Json:
        made = dict(items)
        if len(made) != len(items):
            seen: set[str] = set()
            for key, _ in items:
                if key in seen:
                    twice.append(f'duplicate field "{key}"')
                seen.add(key)
        return made

    json.loads(body, object_pairs_hook=pairs)
    if twice:
        _strictly(call, twice)


def _strictly(call: Call, complaints: list[str]) -> None:
    match call.option("fieldValidation"):
        case "Ignore":
            return
        case "Strict":
            raise status.bad_request(
                f'{call.resource.kind} in version "{call.resource.version}" cannot be handled '
                f"as a {call.resource.kind}: strict decoding error: {', '.join(complaints)}"
            )
    call.warnings += complaints[:_MOST_WARNINGS]

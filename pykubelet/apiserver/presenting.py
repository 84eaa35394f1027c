"""Objects, lists and events in the form that the client accepts.

JSON is the native form and costs nothing: the bytes are there. YAML, the Table that kubectl prints
and the metadata alone are made from it. Source: API concepts, "Alternate representations".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import yaml

from pykubelet.apiserver import status
from pykubelet.apiserver.cache.collection import Change
from pykubelet.apiserver.cache.items import Item
from pykubelet.apiserver.calls import Call
from pykubelet.apiserver.front.messages import Response
from pykubelet.apiserver.printing.columns import layout_for

Json = dict[str, Any]

_JSON, _YAML = "application/json", "application/yaml"
_PROTOBUF = "application/vnd.kubernetes.protobuf"
_TYPES = (_JSON, _YAML, _PROTOBUF)
_META = "meta.k8s.io/v1"
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def negotiate(accept: str, has_protobuf: bool = True) -> tuple[str, str]:
    """(media type, transformation) from an Accept header: the first that can be had. Custom
    resources have no protobuf."""
    if not accept:
        return _JSON, ""
    for one in accept.split(","):
        kind, *parameters = (part.strip() for part in one.split(";"))
        given = dict(p.partition("=")[::2] for p in parameters)
        if kind in ("*/*", "application/*"):
            kind = _JSON
        if kind not in _TYPES or (kind == _PROTOBUF and not has_protobuf):
            continue
        wanted = given.get("as", "")
        if not wanted:
            return kind, ""
        known = wanted in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")
        if known and given.get("g") == "meta.k8s.io" and given.get("v") == "v1":
            return kind, wanted.removesuffix("List")
    raise status.not_acceptable(_TYPES)


def _negotiated(call: Call) -> tuple[str, str]:
    return negotiate(call.request.headers.get("accept", ""), bool(call.resource.type_name))


def one(call: Call, item: Item, code: int = 200) -> Response:
    """One object."""
    kind, wanted = _negotiated(call)
    match wanted:
        case "":
            body = item.body + b"\n"
        case "Table":
            body = _table(call, [item], {"resourceVersion": str(item.revision)})
        case _:
            body = orjson.dumps(_metadata_only(item.tree())) + b"\n"
    return _response(call, code, body, kind)


def tree(call: Call, made: Json, code: int = 200) -> Response:
    """An object that isn't stored: a Status, the answer to a review."""
    kind, _ = _negotiated(call)
    return _response(call, code, orjson.dumps(made) + b"\n", kind)


def many(call: Call, found: Any) -> Response:
    """A list: `verbs.reading.Found`."""
    kind, wanted = _negotiated(call)
    metadata: Json = {"resourceVersion": str(found.revision)}
    if found.proceed:
        metadata["continue"] = found.proceed
        if found.remaining is not None:
            metadata["remainingItemCount"] = found.remaining
    if wanted == "Table":
        return _response(call, 200, _table(call, found.items, metadata), kind)
    resource = call.resource
    if wanted:
        listed = [_metadata_only(item.tree()) for item in found.items]
        made = {"kind": "PartialObjectMetadataList", "apiVersion": _META, "metadata": metadata,
                "items": listed}  # fmt: skip
        return _response(call, 200, orjson.dumps(made) + b"\n", kind)
    head = b'{"kind":"%bList","apiVersion":"%b","metadata":%b,"items":[' % (
        resource.kind.encode(),
        resource.group_version.encode(),
        orjson.dumps(metadata),
    )
    if not found.items:
        body = head + b"]}\n"
    elif resource.type_name:
        # The heads are left out: the tails begin after the brace that each item needs.
        body = b"".join((head, b"{", b",{".join([i.tail for i in found.items]), b"]}\n"))
    else:
        body = b"".join((head, b",".join([i.body for i in found.items]), b"]}\n"))
    return _response(call, 200, body, kind)


class Events:
    """How a watch writes its events."""

    content_type = _JSON

    def initial(self, item: Item) -> bytes:
        return b'{"type":"ADDED","object":%b%b}\n' % (item.head, item.tail)

    def change(self, kind: str, change: Change) -> bytes:
        return change.frame(kind)

    def bookmark(self, revision: int, annotations: Mapping[str, str]) -> bytes:
        made = self._empty(revision, annotations)
        return orjson.dumps({"type": "BOOKMARK", "object": made}) + b"\n"

    def _empty(self, revision: int, annotations: Mapping[str, str]) -> Json:
        metadata: Json = {"resourceVersion": str(revision)}
        if annotations:
            metadata["annotations"] = dict(annotations)
        return {"kind": self._kind, "apiVersion": self._api_version, "metadata": metadata}

    def __init__(self, call: Call) -> None:
        self._call = call
        self._kind = call.resource.kind
        self._api_version = call.resource.group_version


class _Transformed(Events):
    """Events whose objects are tables of one row, or metadata alone."""

    def __init__(self, call: Call, wanted: str) -> None:
        super().__init__(call)
        self._wanted = wanted
        self._first = True
        if wanted != "Table":
            self._kind, self._api_version = "PartialObjectMetadata", _META

    def initial(self, item: Item) -> bytes:
        return self._event("ADDED", item, item.revision)

    def change(self, kind: str, change: Change) -> bytes:
        item = change.after or change.before
        assert item is not None
        return self._event(kind, item, change.revision)

    def _event(self, kind: str, item: Item, revision: int) -> bytes:
        if self._wanted == "Table":
            metadata = {"resourceVersion": str(revision)}
            body = _table(self._call, [item], metadata, self._first)
            self._first = False  # the columns are told once
        else:
            made = _metadata_only(item.tree())
            made["metadata"]["resourceVersion"] = str(revision)
            body = orjson.dumps(made)
        return b'{"type":"%b","object":%b}\n' % (kind.encode(), body.rstrip())


class _Protobuf(Events):
    """Events in protobuf, each after its length in four bytes."""

    content_type = f"{_PROTOBUF};stream=watch"

    def __init__(self, call: Call, wanted: str) -> None:
        super().__init__(call)
        self._inner = _Transformed(call, wanted) if wanted else Events(call)

    def initial(self, item: Item) -> bytes:
        return _framed(self._inner.initial(item))

    def change(self, kind: str, change: Change) -> bytes:
        return _framed(self._inner.change(kind, change))

    def bookmark(self, revision: int, annotations: Mapping[str, str]) -> bytes:
        return _framed(self._inner.bookmark(revision, annotations))


def _framed(frame: bytes) -> bytes:
    from pykubelet.objects.wire.primitives import block

    event = orjson.loads(frame)
    inside = block(1, _in_protobuf(event["object"]))
    message = block(1, event["type"].encode()) + block(2, inside)
    return len(message).to_bytes(4, "big") + message


def _in_protobuf(made: Json) -> bytes:
    """An object, or list of them, of a built-in type in its envelope."""
    from pykubelet.objects import schema
    from pykubelet.objects.wire import objects

    api_version, kind = made["apiVersion"], made["kind"]
    type_name = schema.kind_type(api_version, kind)
    if type_name is None:
        raise status.not_acceptable((_JSON,))
    return objects.envelope(api_version, kind, objects.encode(type_name, made))


def events(call: Call) -> Events:
    """The writer of a watch's events."""
    kind, wanted = _negotiated(call)
    if kind == _YAML:
        raise status.not_acceptable((_JSON, _PROTOBUF))
    if kind == _PROTOBUF:
        return _Protobuf(call, wanted)
    return _Transformed(call, wanted) if wanted else Events(call)


def _table(call: Call, items: Any, metadata: Json, with_columns: bool = True) -> bytes:
    custom = call.resource.custom
    layout = layout_for(call.resource.kind, custom.columns if custom is not None else None)
    include = call.option("includeObject") or "Metadata"
    now = call.parts.clock.wall()
    rows = []
    for item in items:
        obj = item.tree()
        row: Json = {"cells": [item.name, *layout.row(obj, now)]}
        if include == "Object":
            row["object"] = obj
        elif include == "Metadata":
            row["object"] = _metadata_only(obj)
        rows.append(row)
    made = {
        "kind": "Table",
        "apiVersion": _META,
        "metadata": metadata,
        "columnDefinitions": layout.definitions() if with_columns else [],
        "rows": rows,
    }
    return orjson.dumps(made) + b"\n"


def _metadata_only(obj: Json) -> Json:
    return {"kind": "PartialObjectMetadata", "apiVersion": _META, "metadata": obj["metadata"]}


def _response(call: Call, code: int, body: bytes, kind: str) -> Response:
    if kind == _PROTOBUF:
        body = _in_protobuf(orjson.loads(body))
    elif kind == _YAML:
        body = yaml.dump(orjson.loads(body), Dumper=_Dumper, allow_unicode=True).encode()
    headers = tuple(("Warning", f'299 - "{_quoted(text)}"') for text in call.warnings)
    return Response(code, body, kind, headers)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def plain(made: Json) -> bytes:
    """JSON for what has no alternate representations."""
    return orjson.dumps(made, option=orjson.OPT_INDENT_2)

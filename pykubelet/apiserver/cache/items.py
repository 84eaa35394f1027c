"""One object as the cache holds it: its bytes, and what selectors need to know.

A parsed pod takes five times the memory of its JSON, so the bytes are what is kept, made once when
the object is written and reused for every answer. They are kept without their head (`kind` and
`apiVersion`), since lists leave that out of their items. The store keeps an object without its
resourceVersion, which only exists once it is written; it is put in here, at a place that the fixed
order of keys makes certain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

Json = dict[str, Any]
Fields = Mapping[str, str]

_UNSTAMPED = b'"resourceVersion":""'
_METADATA_ORDER = ("name", "generateName", "namespace", "selfLink", "uid", "resourceVersion")


def encode(obj: Json) -> bytes:
    """An object as the store keeps it: `kind` and `apiVersion` first, then metadata with the names
    and an empty resourceVersion, then the rest as it is."""
    given = obj.get("metadata") or {}
    metadata: Json = {}
    for key in _METADATA_ORDER:
        if key == "resourceVersion":
            metadata[key] = ""
        elif given.get(key):
            metadata[key] = given[key]
    metadata.update({k: v for k, v in given.items() if k not in _METADATA_ORDER})
    ordered = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": metadata}
    ordered.update({k: v for k, v in obj.items() if k not in ordered})
    return orjson.dumps(ordered)


def stamp(value: bytes, revision: int) -> bytes:
    """The same with its resourceVersion."""
    return value.replace(_UNSTAMPED, b'"resourceVersion":"%d"' % revision, 1)


def head_of(kind: str, api_version: str) -> bytes:
    """How the bytes of every object of a kind begin, up to `metadata`."""
    return b'{"kind":%b,"apiVersion":%b,' % (orjson.dumps(kind), orjson.dumps(api_version))


class Item:
    """An object at one revision. `tail` is its JSON from `"metadata"` on, the closing brace
    included; `key` is `namespace/name`, or `name`."""

    __slots__ = ("fields", "head", "key", "labels", "revision", "tail")

    def __init__(
        self, key: str, revision: int, head: bytes, tail: bytes, labels: Fields, fields: Fields
    ) -> None:
        self.key = key
        self.revision = revision
        self.head = head
        self.tail = tail
        self.labels = labels
        self.fields = fields

    @property
    def body(self) -> bytes:
        """The whole object as JSON."""
        return self.head + self.tail

    def tree(self) -> Json:
        """A tree of it that is the caller's own."""
        return orjson.loads(self.head + self.tail)

    @property
    def namespace(self) -> str:
        return self.key.rpartition("/")[0]

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]


FieldsOf = Callable[[Json], Fields]
_NONE: Fields = {}


def item(key: str, value: bytes, revision: int, head: bytes, fields_of: FieldsOf | None) -> Item:
    """An item of what the store holds."""
    stamped = stamp(value, revision)
    tree = orjson.loads(stamped)
    labels = tree["metadata"].get("labels") or _NONE
    fields = fields_of(tree) if fields_of else _NONE
    if stamped.startswith(head):
        return Item(key, revision, head, stamped[len(head) :], labels, fields)
    # Stored by another version of the API, or another server: only the head can differ.
    rest = {k: v for k, v in tree.items() if k not in ("kind", "apiVersion")}
    return Item(key, revision, head, orjson.dumps(rest)[1:], labels, fields)

"""Leaves out what a structural schema doesn't know, and fills in its defaults."""

from __future__ import annotations

import copy
from typing import Any

from pykubelet.objects.fields import Path

Json = dict[str, Any]

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"
_HEAD = ("apiVersion", "kind", "metadata")


def prune(tree: Any, schema: Json, path: Path = ()) -> tuple[Any, list[Path]]:
    """The tree without unknown fields, and where they were. Below the root, `apiVersion`, `kind`
    and `metadata` of the object itself are always known."""
    gone: list[Path] = []
    return _prune(tree, schema, path, gone, root=not path), gone


def _prune(tree: Any, schema: Json, path: Path, gone: list[Path], root: bool) -> Any:
    if isinstance(tree, dict):
        properties = schema.get("properties") or {}
        others = schema.get("additionalProperties")
        embedded = root or schema.get(EMBEDDED)
        made: Json = {}
        for key, value in tree.items():
            here = (*path, key)
            if embedded and key in _HEAD:
                made[key] = value
            elif key in properties:
                made[key] = _prune(value, properties[key], here, gone, False)
            elif isinstance(others, dict):
                made[key] = _prune(value, others, here, gone, False)
            elif schema.get(PRESERVE) or others is True:
                made[key] = value
            else:
                gone.append(here)
        return made
    if isinstance(tree, list):
        items = schema.get("items")
        if isinstance(items, dict):
            return [_prune(one, items, (*path, n), gone, False) for n, one in enumerate(tree)]
    return tree


def default(tree: Any, schema: Json) -> Any:
    """The tree with the defaults of its schema. A null where none is allowed counts as absent."""
    if isinstance(tree, dict):
        properties = schema.get("properties") or {}
        others = schema.get("additionalProperties")
        made: Json = {}
        for key, value in tree.items():
            known = properties.get(key)
            if known is None:
                made[key] = default(value, others) if isinstance(others, dict) else value
            elif value is not None or known.get("nullable") or "default" not in known:
                made[key] = default(value, known)
        for key, known in properties.items():
            if key not in made and "default" in known:
                made[key] = default(copy.deepcopy(known["default"]), known)
        return made
    if isinstance(tree, list):
        items = schema.get("items")
        if isinstance(items, dict):
            return [default(one, items) for one in tree]
    return tree

"""JSON patch (RFC 6902), with JSON pointers (RFC 6901)."""

from __future__ import annotations

import copy
from typing import Any

from pykubelet.errors import Invalid

_MOST_OPERATIONS = 10_000
_EXPECTED = {"add": "value", "replace": "value", "test": "value", "move": "from", "copy": "from",
             "remove": "path"}  # fmt: skip


def apply(tree: Any, patch: Any) -> Any:
    """The patched tree. Invalid if the patch is none, doesn't fit, or a `test` fails."""
    if not isinstance(patch, list):
        raise Invalid("not a JSON patch", expected="a list of operations")
    if len(patch) > _MOST_OPERATIONS:
        raise Invalid(
            "the patch is too long", expected=f"at most {_MOST_OPERATIONS} operations",
            found=str(len(patch)),
        )  # fmt: skip
    holder = {"": copy.deepcopy(tree)}
    for operation in patch:
        _apply_one(holder, operation)
    return holder[""]


def _apply_one(holder: dict[str, Any], operation: Any) -> None:
    name = operation.get("op") if isinstance(operation, dict) else None
    if name not in _EXPECTED or not isinstance(operation.get("path"), str):
        raise Invalid(
            "not an operation", expected="op (add, remove, replace, move, copy, test) and path",
            found=repr(operation),
        )  # fmt: skip
    if _EXPECTED[name] not in operation:
        raise Invalid(f"{name} operation without {_EXPECTED[name]!r}")
    path = operation["path"]
    match name:
        case "add":
            _add(holder, path, copy.deepcopy(operation["value"]))
        case "remove":
            _remove(holder, path)
        case "replace":
            _get(holder, path)
            _set(holder, path, copy.deepcopy(operation["value"]))
        case "move":
            if path.startswith(operation["from"] + "/"):
                raise Invalid("can't move a value into itself", found=path)
            _add(holder, path, _remove(holder, operation["from"]))
        case "copy":
            _add(holder, path, copy.deepcopy(_get(holder, operation["from"])))
        case "test":
            if not _same(_get(holder, path), operation["value"]):
                raise Invalid(f"testing value {path} failed")


def _steps(path: str) -> list[str]:
    if path and not path.startswith("/"):
        raise Invalid("not a JSON pointer", expected="a path that starts with /", found=path)
    parts = path.split("/")[1:]
    return ["", *(part.replace("~1", "/").replace("~0", "~") for part in parts)]


def _parent(holder: Any, path: str) -> tuple[Any, str]:
    steps = _steps(path)
    at = holder
    for step in steps[:-1]:
        at = _child(at, step, path)
    return at, steps[-1]


def _child(at: Any, step: str, path: str) -> Any:
    if isinstance(at, dict) and step in at:
        return at[step]
    if isinstance(at, list):
        return at[_index(step, len(at) - 1, path)]
    raise Invalid("no such value", where=path, found=f"nothing at {step!r}")


def _index(step: str, most: int, path: str) -> int:
    if not step.isdigit() or (len(step) > 1 and step[0] == "0") or int(step) > most:
        raise Invalid("no such item", where=path, expected=f"an index up to {most}", found=step)
    return int(step)


def _get(holder: Any, path: str) -> Any:
    at, last = _parent(holder, path)
    return _child(at, last, path)


def _set(holder: Any, path: str, value: Any) -> None:
    at, last = _parent(holder, path)
    at[_index(last, len(at) - 1, path) if isinstance(at, list) else last] = value


def _add(holder: Any, path: str, value: Any) -> None:
    at, last = _parent(holder, path)
    if isinstance(at, list):
        at.insert(len(at) if last == "-" else _index(last, len(at), path), value)
    elif isinstance(at, dict):
        at[last] = value
    else:
        raise Invalid("can't add there", where=path, expected="a mapping or list above it")


def _remove(holder: Any, path: str) -> Any:
    at, last = _parent(holder, path)
    value = _child(at, last, path)
    del at[_index(last, len(at) - 1, path) if isinstance(at, list) else last]
    return value


def _same(a: Any, b: Any) -> bool:
    """Equality of JSON: true is not 1."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)

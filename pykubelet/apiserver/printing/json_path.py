"""The small part of JSONPath that printer columns and scale use: `.spec.a`, `.list[0]`,
`.list[*].a`, `.conditions[?(@.type=="Ready")].status`, `.metadata.labels.a\\.b`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_STEP = re.compile(
    r"\.(?P<name>(?:[^.\[\]\\]|\\.)+)"
    r"|\[(?P<index>-?\d+|\*)\]"
    r"|\[['\"](?P<quoted>[^'\"]+)['\"]\]"
    r"|\[\?\(@\.(?P<key>[\w.]+)\s*==\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)')\)\]"
)


def find(tree: Any, path: str) -> list[Any]:
    """All values at a path."""
    at = [tree]
    for kind, first, second in _steps(path.strip("{}")):
        at = [found for one in at for found in _step(one, kind, first, second)]
    return at


def first(tree: Any, path: str) -> Any:
    """The first value at a path, or None."""
    found = find(tree, path)
    return found[0] if found else None


def put(tree: Any, path: str, value: Any) -> Any:
    """A new tree with the value at a path of names, which may not be there yet."""
    steps = [name for kind, name, _ in _steps(path) if kind == "name"]

    def within(at: Any, left: list[str]) -> Any:
        if not left:
            return value
        below = at if isinstance(at, dict) else {}
        return {**below, left[0]: within(below.get(left[0]), left[1:])}

    return within(tree, steps)


def _step(one: Any, kind: str, first: str, second: str) -> list[Any]:
    match kind:
        case "name" if isinstance(one, dict) and first in one:
            return [one[first]]
        case "index" if isinstance(one, list):
            if first == "*":
                return one
            return one[int(first) :][:1]
        case "index" if isinstance(one, dict) and first == "*":
            return list(one.values())
        case "where" if isinstance(one, list):
            return [item for item in one if isinstance(item, dict) and item.get(first) == second]
    return []


@lru_cache(maxsize=512)
def _steps(path: str) -> tuple[tuple[str, str, str], ...]:
    made = []
    for match in _STEP.finditer(path):
        if match["name"] is not None:
            made.append(("name", re.sub(r"\\(.)", r"\1", match["name"]), ""))
        elif match["quoted"] is not None:
            made.append(("name", match["quoted"], ""))
        elif match["index"] is not None:
            made.append(("index", match["index"], ""))
        else:
            value = match["double"] if match["double"] is not None else match["single"]
            made.append(("where", match["key"], value or ""))
    return tuple(made)

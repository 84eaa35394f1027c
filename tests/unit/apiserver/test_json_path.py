"""The JSONPath of printer columns."""

from __future__ import annotations

from typing import Any

import pytest

from pykubelet.apiserver.printing.json_path import find, put

TREE: dict[str, Any] = {
    "spec": {"a": 1, "list": [{"n": 1}, {"n": 2}], "map": {"x": 1, "y": 2}},
    "metadata": {"labels": {"a.b/c": "v"}},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "X", "status": "no"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.a", [1]),
        ("{.spec.a}", [1]),
        (".spec.none", []),
        (".spec.list[1].n", [2]),
        (".spec.list[-1].n", [2]),
        (".spec.list[*].n", [1, 2]),
        (".spec.map.*", []),
        (".spec.map[*]", [1, 2]),
        (r".metadata.labels.a\.b/c", ["v"]),
        (".metadata.labels['a.b/c']", ["v"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type == 'X')].status", ["no"]),
        (".spec.list[9].n", []),
    ],
)
def test_find(path: str, found: list[Any]) -> None:
    assert find(TREE, path) == found


def test_put_makes_what_is_missing_and_leaves_the_rest() -> None:
    assert put({"spec": {"a": 1}}, ".spec.b.c", 2) == {"spec": {"a": 1, "b": {"c": 2}}}
    assert put({}, ".spec.replicas", 3) == {"spec": {"replicas": 3}}

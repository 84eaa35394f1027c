"""Objects by structural schemas: pruned, defaulted, checked."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pykubelet.objects.structural.pruning import default, prune
from pykubelet.objects.structural.shapes import StructuralShape
from pykubelet.objects.structural.validating import validate

Json = dict[str, Any]


def of(**properties: Json) -> Json:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("schema", "tree", "pruned", "gone"),
    [
        (of(a={"type": "integer"}), {"a": 1, "b": 2}, {"a": 1}, [("b",)]),
        (of(a=of(b={})), {"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, [("a", "c")]),
        (of(a={"items": of(b={})}), {"a": [{"b": 1}, {"c": 1}]}, {"a": [{"b": 1}, {}]},
         [("a", 1, "c")]),
        (of(a={"additionalProperties": of(b={})}), {"a": {"x": {"b": 1, "c": 1}}},
         {"a": {"x": {"b": 1}}}, [("a", "x", "c")]),
        (of(a={"x-kubernetes-preserve-unknown-fields": True, **of(b=of())}),
         {"a": {"z": 1, "b": {"y": 1}}}, {"a": {"z": 1, "b": {}}}, [("a", "b", "y")]),
        (of(a={"x-kubernetes-embedded-resource": True, **of()}),
         {"a": {"kind": "X", "apiVersion": "v1", "metadata": {"name": "n"}, "spec": 1}},
         {"a": {"kind": "X", "apiVersion": "v1", "metadata": {"name": "n"}}}, [("a", "spec")]),
        (of(), {"kind": "X", "metadata": {"any": 1}, "b": 1}, {"kind": "X", "metadata": {"any": 1}},
         [("b",)]),
    ],
)  # fmt: skip
def test_pruning(schema: Json, tree: Json, pruned: Json, gone: list[Any]) -> None:
    before = copy.deepcopy(tree)
    assert prune(tree, schema) == (pruned, gone)
    assert tree == before


@pytest.mark.parametrize(
    ("schema", "tree", "filled"),
    [
        (of(a={"default": 1}), {}, {"a": 1}),
        (of(a={"default": 1}), {"a": 2}, {"a": 2}),
        (of(a={"default": 1}), {"a": None}, {"a": 1}),
        (of(a={"default": 1, "nullable": True}), {"a": None}, {"a": None}),
        (of(a=of(b={"default": 1})), {}, {}),
        (of(a={"default": {}, **of(b={"default": 1})}), {}, {"a": {"b": 1}}),
        (of(a={"items": of(b={"default": 1})}), {"a": [{}, {"b": 2}]},
         {"a": [{"b": 1}, {"b": 2}]}),
        (of(a={"additionalProperties": of(b={"default": 1})}), {"a": {"x": {}}},
         {"a": {"x": {"b": 1}}}),
    ],
)  # fmt: skip
def test_defaulting(schema: Json, tree: Json, filled: Json) -> None:
    assert default(tree, schema) == filled


def test_defaults_are_not_shared_between_objects() -> None:
    schema = of(a={"default": {"list": []}})
    default({}, schema)["a"]["list"].append(1)
    assert default({}, schema) == {"a": {"list": []}}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "string"}, ["", "a"], [1, None, True, [], {}]),
        ({"type": "integer"}, [1, -1, 2.0], ["1", 1.5, True, None]),
        ({"type": "number"}, [1, 1.5], ["1", True]),
        ({"type": "boolean"}, [True], [1, "true"]),
        ({"type": "string", "nullable": True}, [None, "a"], [1]),
        ({"x-kubernetes-int-or-string": True}, [1, "a"], [True, [], None]),
        ({"enum": ["a", "b"]}, ["a"], ["c", 1]),
        ({"minLength": 2, "maxLength": 3}, ["ab"], ["a", "abcd"]),
        ({"pattern": "^a+$"}, ["aa"], ["ab"]),
        ({"minimum": 1, "maximum": 3}, [1, 3], [0, 4]),
        ({"minimum": 1, "exclusiveMinimum": True}, [2], [1]),
        ({"multipleOf": 2}, [4], [3]),
        ({"type": "array", "minItems": 1, "maxItems": 2}, [[1]], [[], [1, 2, 3]]),
        ({"type": "array", "x-kubernetes-list-type": "set"}, [[1, 2]], [[1, 1]]),
        ({"type": "object", "required": ["a"]}, [{"a": 1}], [{}]),
        ({"type": "object", "maxProperties": 1}, [{"a": 1}], [{"a": 1, "b": 1}]),
        ({"additionalProperties": {"type": "string"}}, [{"x": "y"}], [{"x": 1}]),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, ["a", 1], [True]),
        ({"oneOf": [{"minimum": 1}, {"minimum": 3}]}, [2], [0, 4]),
        ({"not": {"enum": ["a"]}}, ["b"], ["a"]),
        ({"allOf": [{"minimum": 1}, {"maximum": 2}]}, [1], [3]),
    ],
)
def test_checking(schema: Json, good: list[Any], bad: list[Any]) -> None:
    assert [tree for tree in good if list(validate(tree, schema))] == []
    assert [tree for tree in bad if not list(validate(tree, schema))] == []


def test_shapes_tell_lists_apart() -> None:
    items = of(name={}, n={"default": 5})
    schema = of(
        parts={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "n"],
               "items": items},
        plain={"type": "array"},
        whole={"x-kubernetes-map-type": "atomic"},
    )  # fmt: skip
    shape = StructuralShape(schema, root=True)
    parts = shape.child("parts")
    assert parts.list_type == "map"
    assert parts.keys == ("name", "n")
    assert parts.key_default("n") == 5
    assert shape.child("plain").list_type == "atomic"
    assert shape.child("whole").atomic
    assert shape.child("metadata").child("finalizers").list_type == "set"

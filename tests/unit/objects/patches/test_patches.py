"""JSON patch, merge patch, strategic merge patch."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pykubelet.errors import Invalid
from pykubelet.objects.patches import json_patch, merge, strategic


@pytest.mark.parametrize(
    ("tree", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": {"b": 1}}, {"a": {"c": 2, "b": None}}, {"a": {"c": 2}}),
        ({"a": [1]}, {"a": [2]}, {"a": [2]}),
        ({}, {"a": {"b": None, "c": {"d": 1}}}, {"a": {"c": {"d": 1}}}),
        ({"a": 1}, [1], [1]),
    ],
)
def test_merge(tree: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy(tree)
    assert merge.apply(tree, patch) == result
    assert tree == before


@pytest.mark.parametrize(
    ("tree", "patch", "result"),
    [
        ({"a": 1}, [{"op": "add", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
        ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
        ({"a": 1, "b": 2}, [{"op": "remove", "path": "/a"}], {"b": 2}),
        ({"a/b": 1, "c~d": 2}, [{"op": "remove", "path": "/a~1b"},
                                {"op": "replace", "path": "/c~0d", "value": 3}], {"c~d": 3}),
        ({"a": {"b": 1}}, [{"op": "move", "from": "/a/b", "path": "/c"}], {"a": {}, "c": 1}),
        ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
        ({"a": 1}, [{"op": "test", "path": "/a", "value": 1}], {"a": 1}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": 5}], 5),
    ],
)  # fmt: skip
def test_json_patch(tree: Any, patch: Any, result: Any) -> None:
    assert json_patch.apply(tree, patch) == result


@pytest.mark.parametrize(
    "patch",
    [
        {}, [{}], [{"op": "jump", "path": "/a"}], [{"op": "remove", "path": "/x"}],
        [{"op": "add", "path": "/a"}], [{"op": "add", "path": "/x/y", "value": 1}],
        [{"op": "test", "path": "/a", "value": True}],
        [{"op": "replace", "path": "/x", "value": 1}],
        [{"op": "add", "path": "a", "value": 1}], [{"op": "add", "path": "/l/9", "value": 1}],
        [{"op": "move", "from": "/l", "path": "/l/0"}], [{"op": "remove", "path": "/l/01"}],
    ],
)  # fmt: skip
def test_a_json_patch_that_does_not_fit_is_refused(patch: Any) -> None:
    with pytest.raises(Invalid):
        json_patch.apply({"a": 1, "l": [1, 2]}, patch)


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(containers), **spec}}


@pytest.mark.parametrize(
    ("tree", "patch", "result"),
    [
        (pod({"name": "a", "image": "1"}, {"name": "b", "image": "1"}),
         pod({"name": "b", "image": "2"}, {"name": "c", "image": "3"}),
         pod({"name": "a", "image": "1"}, {"name": "b", "image": "2"},
             {"name": "c", "image": "3"})),
        (pod({"name": "a"}, {"name": "b"}), pod({"name": "a", "$patch": "delete"}),
         pod({"name": "b"})),
        (pod({"name": "a", "command": ["x"]}), pod({"name": "a", "command": ["y"]}),
         pod({"name": "a", "command": ["y"]})),
        (pod({"name": "a"}, nodeSelector={"x": "1", "y": "2"}),
         {"spec": {"nodeSelector": {"x": None, "z": "3"}}},
         pod({"name": "a"}, nodeSelector={"y": "2", "z": "3"})),
        (pod({"name": "a"}, nodeSelector={"x": "1"}),
         {"spec": {"nodeSelector": {"$patch": "replace", "z": "3"}}},
         pod({"name": "a"}, nodeSelector={"z": "3"})),
        ({"metadata": {"finalizers": ["a", "b"]}}, {"metadata": {"finalizers": ["c"],
         "$deleteFromPrimitiveList/finalizers": ["a"]}}, {"metadata": {"finalizers": ["b", "c"]}}),
        (pod({"name": "a"}, {"name": "b"}, {"name": "c"}),
         {"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}},
         pod({"name": "c"}, {"name": "a"}, {"name": "b"})),
        (pod(volumes=[{"name": "v", "emptyDir": {}}]),
         {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"],
                                "hostPath": {"path": "/"}}]}},
         pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}])),
        (pod({"name": "a", "env": [{"name": "X", "value": "1"}]}),
         pod({"name": "a", "env": [{"name": "Y", "value": "2"}]}),
         pod({"name": "a", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]})),
        ({}, {"metadata": {"labels": {"a": "b", "c": None}}}, {"metadata": {"labels": {"a": "b"}}}),
    ],
)  # fmt: skip
def test_strategic(tree: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy(tree)
    assert strategic.apply(tree, patch, "core/v1.Pod") == result
    assert tree == before


def test_an_item_without_its_merge_key_is_refused() -> None:
    with pytest.raises(Invalid):
        strategic.apply(pod({"name": "a"}), pod({"image": "x"}), "core/v1.Pod")

"""Manifests and bodies become trees; what is wrong with them is told with its line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pykubelet.errors import Invalid
from pykubelet.objects import documents

POD = """\
# a comment
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web, tier: front}
spec:
  containers:
  - name: one
    image: busybox
  - name: two
    ports:
      - containerPort: 80
"""


def one(text: str) -> dict[str, Any]:
    (document,) = documents.read(text, "pod.yaml")
    return document.object


def refusal(text: str | bytes) -> str:
    with pytest.raises(Invalid) as caught:
        documents.read(text, "pod.yaml")
    return str(caught.value)


def test_several_documents_in_one_file() -> None:
    found = documents.read(f"---\n{POD}---\n---\n# nothing\n---\nkind: ConfigMap\n", "pods.yaml")
    assert [d.object["kind"] for d in found] == ["Pod", "ConfigMap"]
    assert found[1].where(("kind",)) == "pods.yaml:19"


def test_json_one_object_or_several() -> None:
    text = '{"a": 1}\n {"b":\n [1.0, 2e3]}'
    found = documents.read(text, "x.json")
    assert [d.object for d in found] == [{"a": 1}, {"b": [1.0, 2000.0]}]
    assert found[1].line(("b", 0)) == 3


def test_empty_input_is_no_document() -> None:
    assert documents.read("", "x") == documents.read("# only\n---\n", "x") == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("kind",), 3),
        (("metadata", "labels", "tier"), 6),
        (("spec", "containers", 0), 9),
        (("spec", "containers", 0, "image"), 10),
        (("spec", "containers", 1, "name"), 11),
        (("spec", "containers", 1, "ports", 0, "containerPort"), 13),
        (("spec", "containers", 1, "image"), 11),
        (("spec", "containers", 7, "image"), 8),
        (("status",), 2),
        ((), 2),
    ],
)
def test_everything_has_a_line(path: documents.Path, line: int) -> None:
    (document,) = documents.read(POD, "pod.yaml")
    assert document.line(path) == line


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", True),
        ("Off", False),
        ("y", True),
        ("~", None),
        ("", None),
        ("'yes'", "yes"),
        ("2001-12-14", "2001-12-14"),
        ("2001-12-14T21:59:43Z", "2001-12-14T21:59:43Z"),
        ("1:30", "1:30"),
        ("0777", 511),
        ("0o17", 15),
        ("08", 8),
        ("0x1F", 31),
        ("-0b11", -3),
        ("1_000", 1000),
        ("1e3", 1000),
        ("1.5", 1.5),
        ("+12", 12),
        (".", "."),
        ("1.2.3", "1.2.3"),
        ("100m", "100m"),
        ("99999999999999999999", 1e20),
        ("!!str 12", "12"),
        ("!!int '12'", 12),
        ("! 12", "12"),
        ("!!binary aGVsbG8=", "hello"),
    ],
)
def test_scalars_mean_what_upstream_reads(text: str, value: object) -> None:
    made = one(f"key: {text}\nother: x")["key"]
    assert made == value
    assert type(made) is type(value)


def test_keys_become_text() -> None:
    assert one("1: a\nyes: b\n1.5: c") == {"1": "a", "true": "b", "1.5": "c"}


def test_anchors_and_merge_keys_are_followed() -> None:
    text = "base: &b {x: 1, z: 1}\nuse:\n  z: 2\n  <<: *b\nmany:\n  <<: [{x: 5}, *b]\nsame: *b\n"
    made = one(text)
    assert made["use"] == {"x": 1, "z": 2}
    assert made["many"] == {"x": 5, "z": 1}
    assert made["same"] == {"x": 1, "z": 1}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3", "pod.yaml:3: duplicate key; expected each key once; found 'a'"),
        ('{"a": 1,\n"a": 2}', "pod.yaml:2: duplicate key"),
        ("a: 1\n1: 2\n'1': 3", "pod.yaml:3: duplicate key"),
        ("- a\n- b", "pod.yaml:1: not an object; expected a mapping (key: value); found a list"),
        ("\nhello", "pod.yaml:2: not an object"),
        ("a:\n  b: 1\n c: 2", "pod.yaml:3: not YAML"),
        ("a: [1, 2", "pod.yaml:1: not YAML"),
        ('{"a": 1', "pod.yaml:1: not YAML"),
        ("a: \tx: y\n\t- z", "not YAML"),
        ("a: *nowhere", "pod.yaml:1: unknown alias"),
        ("a: &a [*a]", "pod.yaml:1: unknown alias; expected an anchor that came before; "
         "found *a inside itself"),
        ("a: .inf", "pod.yaml:1: no such value"),
        ("a: !!int x", "pod.yaml:1: no such value"),
        ("a: !thing x", "pod.yaml:1: no such value"),
        ("a: !thing {}", "pod.yaml:1: unknown tag"),
        ("? [a]\n: b", "pod.yaml:1: not a key; expected text; found a list"),
        ("a: \x07", "not YAML"),
        ("<<: 5", "pod.yaml:1: nothing to merge"),
        ("a: " + "[" * 101 + "]" * 101, "pod.yaml:1: nested too deep"),
        ("[" * 100_000, "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
        ('{"a":' * 150 + "1" + "}" * 150, "nested too deep"),
        ('{"a": NaN, "a": 1}', "duplicate"),
        ("!!python/object:os.system x", "no such value"),
    ],
)  # fmt: skip
def test_a_refusal_says_where_and_what(text: str, says: str) -> None:
    assert says in refusal(text)


def test_bytes_that_are_not_utf8_are_named() -> None:
    assert refusal(b"a: 1\nb: \xff") == ("pod.yaml:2: not text; expected UTF-8; found byte 0xff")


def test_aliases_cannot_blow_up() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "aliases stand for too much" in refusal("\n".join(lines))
    fat = f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 1000)}]"
    assert "aliases stand for too much" in refusal(fat)


def test_surrogates_in_json_do_not_get_through() -> None:
    with pytest.raises(Invalid):
        documents.read('{"a": "\\ud800"}', "x.json")


TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1)
    | st.text(st.characters(exclude_categories=("Cs", "Cc"))),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(st.characters(min_codepoint=32, max_codepoint=126)), inner,
                      max_size=3),
    max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(st.text("abc<", max_size=4), TREES, max_size=4))
@settings(max_examples=200)
def test_json_reads_back_the_same_both_ways(tree: dict[str, Any]) -> None:
    if "<<" in tree:
        return
    assert [d.object for d in documents.read(json.dumps(tree, ensure_ascii=False), "x")] == [tree]
    assert [d.object for d in documents.read(json.dumps(tree, indent=1), "x")] == [tree]


@given(st.text() | st.binary())
@settings(max_examples=300)
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    try:
        for document in documents.read(text, "x"):
            document.line(("a", 0))
            json.dumps(document.object)
    except Invalid:
        pass

"""Selectors in text and as objects."""

from __future__ import annotations

from typing import Any

import pytest

from pykubelet.errors import Invalid
from pykubelet.objects import selectors

WEB = {"app": "web", "tier": "front", "n": "5"}


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier!=back", True),
        ("app = web , tier", True),
        ("app!=web", False),
        ("other!=x", True),
        ("!other", True),
        ("!app", False),
        ("app in (web, api)", True),
        ("app notin (web)", False),
        ("other notin (web)", True),
        ("n>4,n<6", True),
        ("n>5", False),
        ("app=", False),
        ("app in (,web)", True),
        ("example.com/x", False),
    ],
)
def test_text(text: str, selected: bool) -> None:
    assert selectors.matches(selectors.parse_labels(text), WEB) is selected


@pytest.mark.parametrize(
    "text",
    ["=a", "a in b", "a in (b", "a,", ",a", "a b", "a=b=c", "a>x", "-a=b", "a=-b", "a!", "(a)"],
)
def test_text_that_is_no_selector(text: str) -> None:
    with pytest.raises(Invalid):
        selectors.parse_labels(text)


@pytest.mark.parametrize(
    ("given", "selected"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_objects(given: dict[str, Any] | None, selected: bool) -> None:
    assert selectors.matches(selectors.from_object(given), WEB) is selected


def test_fields() -> None:
    assert selectors.parse_fields("spec.nodeName=a,status.phase!=Failed,x==a\\,b") == (
        ("spec.nodeName", True, "a"),
        ("status.phase", False, "Failed"),
        ("x", True, "a,b"),
    )
    with pytest.raises(Invalid):
        selectors.parse_fields("nonsense")


def test_node_selectors_match_any_term_and_an_empty_term_matches_nothing() -> None:
    ssd = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    named = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    match = selectors.node_selector_matches
    assert match({"nodeSelectorTerms": [ssd, named]}, {}, "n1")
    assert not match({"nodeSelectorTerms": [ssd, named]}, {}, "n2")
    assert not match({"nodeSelectorTerms": [{}]}, {}, "n1")


def test_tolerations() -> None:
    taint = {"key": "a", "value": "b", "effect": "NoExecute"}
    for toleration in (
        {"operator": "Exists"},
        {"key": "a", "operator": "Exists"},
        {"key": "a", "value": "b"},
        {"key": "a", "value": "b", "effect": "NoExecute"},
    ):
        assert selectors.tolerated(taint, [toleration])
    for toleration in (
        {"key": "b", "operator": "Exists"},
        {"key": "a"},
        {"key": "a", "value": "b", "effect": "NoSchedule"},
    ):
        assert not selectors.tolerated(taint, [toleration])

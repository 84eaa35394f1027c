"""What controllers remember and compare: expectations, revisions, conditions, amounts, names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.client.resources import STATEFUL_SETS
from pykubelet.controllers import hashes, reporting, revisions
from pykubelet.controllers.amounts import scaled
from pykubelet.controllers.expectations import PATIENCE, Expectations
from tests.unit.controllers.simulation import template

Json = dict[str, Any]


# -- expectations --------------------------------------------------------------------------------


def test_what_was_made_is_waited_for_until_the_store_is_as_new() -> None:
    known = Expectations()
    known.made("a", "7", 0)
    known.made("a", "5", 0)
    assert not known.met("a", 6, {}, 1)
    assert known.met("b", 0, {}, 1)
    assert known.met("a", 7, {}, 1)
    assert known.met("a", 0, {}, 1), "once met, it is forgotten"


def test_what_was_taken_is_waited_for_until_it_goes_or_is_gone() -> None:
    known = Expectations()
    known.taken("a", "x", 0)
    assert not known.met("a", 0, {"x": False}, 1)
    assert known.met("a", 0, {"x": True}, 1)
    known.taken("a", "y", 0)
    assert known.met("a", 0, {}, 1)


def test_nothing_is_waited_for_for_ever() -> None:
    known = Expectations()
    known.made("a", "7", 0)
    known.taken("a", "x", 0)
    assert not known.met("a", 0, {"x": False}, PATIENCE)
    assert known.met("a", 0, {"x": False}, PATIENCE + 1)


# -- revisions -----------------------------------------------------------------------------------


def owner(image: str) -> Json:
    return {
        "metadata": {"name": "db", "namespace": "default", "uid": "s"},
        "spec": {"template": template("db", image), "revisionHistoryLimit": 1},
    }


def revision(image: str, number: int) -> Json:
    made = revisions.plan(owner(image), STATEFUL_SETS, []).present
    return {**made, "revision": number}


def test_a_new_template_gets_the_next_number() -> None:
    found = revisions.plan(owner("db:3"), STATEFUL_SETS, [revision("db:1", 1), revision("db:2", 2)])
    assert (found.create, found.present["revision"]) == (True, 3)


def test_the_present_template_needs_nothing() -> None:
    found = revisions.plan(owner("db:2"), STATEFUL_SETS, [revision("db:1", 1), revision("db:2", 2)])
    assert (found.create, found.renumber, found.present["revision"]) == (False, False, 2)


def test_going_back_gives_the_old_one_a_new_number() -> None:
    known = [revision("db:1", 1), revision("db:2", 2)]
    found = revisions.plan(owner("db:1"), STATEFUL_SETS, known)
    assert (found.renumber, found.present["revision"]) == (True, 3)
    assert found.present["metadata"]["name"] == known[0]["metadata"]["name"]


def test_the_data_is_what_kubectl_applies_to_go_back() -> None:
    made = revision("db:1", 1)
    assert made["data"]["spec"]["template"]["$patch"] == "replace"
    assert revisions.template_of(made) == template("db", "db:1")


def test_the_oldest_idle_revisions_are_cleared_away() -> None:
    known = [revision(f"db:{n}", n) for n in (3, 1, 2)]
    gone = revisions.to_clear_away(owner("db:3"), known, {known[0]["metadata"]["name"]})
    assert [one["revision"] for one in gone] == [1]


# -- conditions ----------------------------------------------------------------------------------


def test_the_time_of_a_transition_stays_while_the_status_does() -> None:
    first = reporting.condition("Ready", True, "A", "", 1000)
    again = reporting.condition("Ready", True, "B", "", 2000)
    other = reporting.condition("Ready", False, "C", "", 3000)
    (kept,) = reporting.with_condition([first], again)
    assert (kept["reason"], kept["lastTransitionTime"]) == ("B", first["lastTransitionTime"])
    (turned,) = reporting.with_condition([first], other)
    assert turned["lastTransitionTime"] == other["lastTransitionTime"]


def test_a_zero_and_nothing_are_the_same() -> None:
    assert reporting.same({"a": 0, "b": {"c": []}, "d": None}, {})
    assert not reporting.same({"a": 1}, {"a": 2})


# -- amounts and names ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "total", "up", "expected"),
    [(3, 10, True, 3), ("25%", 10, True, 3), ("25%", 10, False, 2), (None, 5, True, 0),
     ("0%", 9, True, 0), ("100%", 7, False, 7)],
)  # fmt: skip
def test_percentages(value: int | str | None, total: int, up: bool, expected: int) -> None:
    assert scaled(value, total, up=up) == expected


def test_the_hash_is_fnv_1a() -> None:
    assert hashes.fnv1a(b"") == 0x811C9DC5
    assert hashes.fnv1a(b"a") == 0xE40C292C
    assert hashes.fnv1a(b"foobar") == 0xBF9CF968


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 9)), st.integers(1, 5))
def test_short_names_are_names_and_a_collision_changes_them(tree: Any, collisions: int) -> None:
    name = hashes.short(tree)
    assert name
    assert set(name) <= set("bcdfghjklmnpqrstvwxz2456789")
    assert name == hashes.short(dict(reversed(list(tree.items()))))

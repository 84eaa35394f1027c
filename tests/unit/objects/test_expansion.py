"""`$(NAME)`, by value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.objects.expansion import expand

VALUES = {"A": "1", "B": "$(A)", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("$(A)", "1"),
        ("$(A)$(A)", "11"),
        ("$(B)", "$(A)"),  # once only
        ("[$(EMPTY)]", "[]"),
        ("$(NOBODY)", "$(NOBODY)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$$$$(A)", "$$(A)"),
        ("$A $ $", "$A $ $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("$(A$(A))", "$(A$(A))"),
        ("$$", "$"),
    ],
)
def test_references_and_what_only_looks_like_one(text: str, expanded: str) -> None:
    assert expand(text, VALUES) == expanded


def test_a_callable_answers_for_every_name() -> None:
    assert expand("$(x)-$(y)", str.upper) == "X-Y"


@given(st.text("$()AB "))
def test_escaping_every_dollar_gives_the_text_back(text: str) -> None:
    assert expand(text.replace("$", "$$"), VALUES) == text

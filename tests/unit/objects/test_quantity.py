"""Quantities mean and are spelled what upstream's parser says."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.errors import Invalid
from pykubelet.objects import quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("100m", Fraction(1, 10)),
        ("1.5Gi", 3 * 2**29),
        ("12e6", 12_000_000),
        ("1E", 10**18),
        ("1E3", 1000),
        ("-5", -5),
        ("+.5", Fraction(1, 2)),
        ("1.", 1),
        ("0.1n", Fraction(1, 10**9)),
        ("9999999999E", 2**63 - 1),
        ("1e-100", Fraction(1, 10**9)),
        (3, 3),
        (0.5, Fraction(1, 2)),
    ],
)
def test_a_quantity_is_an_exact_number(text: object, number: object) -> None:
    assert quantity.parse(text) == number


@pytest.mark.parametrize(
    "text",
    ["", ".", "1.1.M", "1+1.0M", "0.1mi", "aoeu", ".5i", "1i", "-3.01e-", " 1", "1 ", "1e", "1K",
     "1 Gi", "٣", True, None, [], "1" * 1000, "Ki", "--1", "1Mi2"],
)  # fmt: skip
def test_what_upstream_refuses_is_refused(text: object) -> None:
    with pytest.raises(Invalid):
        quantity.parse(text)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("0.5", "500m"),
        ("1000m", "1"),
        ("1024Ki", "1Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1.25Ki", "1280"),
        ("1500", "1500"),
        ("100000", "100k"),
        ("1e3", "1e3"),
        ("100e1", "1e3"),
        ("12345e-3", "12345e-3"),
        ("0.0000000001", "1n"),
        ("00.10", "100m"),
        ("-1024", "-1024"),
        ("0Gi", "0"),
        (2, "2"),
    ],
)
def test_the_canonical_spelling_keeps_the_family(written: object, canonical: str) -> None:
    assert quantity.canonical(written) == canonical


def test_rounding_goes_away_from_zero() -> None:
    assert quantity.to_int(quantity.parse("1m")) == 1
    assert quantity.to_int(quantity.parse("-1500m")) == -2
    assert quantity.to_milli(quantity.parse("1u")) == 1
    assert quantity.to_milli(quantity.parse("250m")) == 250


def test_sums_and_order_ignore_the_spelling() -> None:
    assert quantity.compare("1Gi", "1G") == 1
    assert quantity.compare("1000m", "1") == 0
    assert quantity.add("1Gi", "512Mi") == "1536Mi"
    assert quantity.add("100m", "0.9") == "1"


@given(
    st.integers(-(10**12), 10**12),
    st.sampled_from(["", "n", "u", "m", "k", "M", "Ki", "Mi", "Gi", "e3", "E-2"]),
)
def test_the_canonical_spelling_means_the_same_and_is_stable(n: int, suffix: str) -> None:
    once = quantity.canonical(f"{n}{suffix}")
    assert quantity.parse(once) == quantity.parse(f"{n}{suffix}")
    assert quantity.canonical(once) == once

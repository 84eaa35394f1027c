"""The allocator: who gets which address, by value."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.errors import Invalid
from pykubelet.network.ipam import Exhausted, Range, allocate, parse_range_sets
from pykubelet.network.messages import Address


def sets(*ranges: Any) -> tuple[tuple[Range, ...], ...]:
    return parse_range_sets({"ranges": [r if isinstance(r, list) else [r] for r in ranges]})


def ip(text: str) -> Address:
    return ipaddress.ip_address(text)


def first(*ranges: Any, taken: set[Address] | None = None, **how: Any) -> list[str]:
    return [str(a.address) for a in allocate(sets(*ranges), taken or set(), **how)]


def test_the_first_pod_gets_the_first_address_behind_the_gateway() -> None:
    assert first({"subnet": "10.1.2.0/24"}) == ["10.1.2.2/24"]


def test_each_range_set_gives_one_address_so_two_families_make_a_dual_stack_pod() -> None:
    assert first({"subnet": "10.1.2.0/24"}, {"subnet": "fd00::/64"}) == [
        "10.1.2.2/24",
        "fd00::2/64",
    ]


def test_addresses_are_handed_out_in_turn_so_that_a_freed_one_rests() -> None:
    assert first({"subnet": "10.1.2.0/24"}, after=[ip("10.1.2.9")]) == ["10.1.2.10/24"]


def test_behind_the_end_the_search_begins_anew() -> None:
    assert first({"subnet": "10.1.2.0/24"}, after=[ip("10.1.2.254")]) == ["10.1.2.2/24"]


def test_network_broadcast_and_gateway_are_nobodys() -> None:
    members = sets({"subnet": "10.1.2.0/29"})
    taken: set[Address] = set()
    while True:
        try:
            taken.add(allocate(members, taken)[0].address.ip)
        except Exhausted:
            break
    assert taken == {ip(f"10.1.2.{n}") for n in (2, 3, 4, 5, 6)}


def test_a_gateway_in_the_middle_is_stepped_over() -> None:
    spec = {"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.10", "gateway": "10.1.2.10"}
    assert first(spec) == ["10.1.2.11/24"]


def test_a_full_range_hands_over_to_the_next_of_its_set() -> None:
    small = {"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.5", "rangeEnd": "10.1.2.6"}
    full = {ip("10.1.2.5"), ip("10.1.2.6")}
    assert first([small, {"subnet": "10.9.0.0/24"}], taken=full) == ["10.9.0.2/24"]


def test_a_wanted_address_is_given_and_the_rest_allocated() -> None:
    got = first({"subnet": "10.1.2.0/24"}, {"subnet": "fd00::/64"}, wanted=[ip("fd00::77")])
    assert got == ["10.1.2.2/24", "fd00::77/64"]


@pytest.mark.parametrize(
    ("wanted", "why"),
    [("10.1.2.7", "in use"), ("10.1.2.1", "gateway"), ("10.8.8.8", "of no range")],
)
def test_a_wanted_address_that_cant_be_had_is_refused_with_the_reason(
    wanted: str, why: str
) -> None:
    with pytest.raises(Invalid, match=why):
        first({"subnet": "10.1.2.0/24"}, taken={ip("10.1.2.7")}, wanted=[ip(wanted)])


@pytest.mark.parametrize(
    ("ranges", "why"),
    [
        ([[{"subnet": "10.1.2.3/24"}]], "host bits"),
        ([[{"subnet": "10.1.2.0/31"}]], "too small"),
        ([[{"subnet": "nonsense"}]], "subnet"),
        ([[{"subnet": "10.1.2.0/24", "rangeStart": "10.1.3.1"}]], "outside"),
        ([[{"subnet": "10.1.2.0/24", "rangeStart": "10.1.2.9", "rangeEnd": "10.1.2.8"}]], "before"),
        ([[{"subnet": "10.1.2.0/24"}, {"subnet": "fd00::/64"}]], "IPv4 and IPv6"),
        ([[{"subnet": "10.1.0.0/16"}], [{"subnet": "10.1.2.0/24"}]], "overlap"),
        ([], "no address range"),
        ([[]], "not a list of ranges"),
        ("10.1.2.0/24", "not a list"),
    ],
)
def test_a_range_that_cant_work_is_refused_with_its_place(ranges: Any, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        parse_range_sets({"ranges": ranges})


def test_the_old_single_range_form_is_read() -> None:
    assert str(parse_range_sets({"subnet": "10.1.2.0/24"})[0][0].gateway) == "10.1.2.1"


prefixes = st.integers(0, 2**16 - 1).map(lambda n: f"10.{n >> 8}.{n & 255}.0/28")


@given(prefixes, st.sets(st.integers(0, 15)), st.one_of(st.none(), st.integers(0, 15)))
def test_what_is_given_is_free_and_inside_and_nothing_free_is_withheld(
    subnet: str, used: set[int], last: int | None
) -> None:
    base = ipaddress.ip_network(subnet).network_address
    taken = {base + n for n in used}
    usable = {base + n for n in range(2, 15)}
    after = [] if last is None else [base + last]
    try:
        got = allocate(sets({"subnet": subnet}), taken, after=after)[0].address
    except Exhausted:
        assert usable <= taken
        return
    assert got.ip in usable - taken
    assert got.network == ipaddress.ip_network(subnet)


@given(st.integers(1, 40))
def test_a_huge_range_is_never_walked(pods: int) -> None:
    members = sets({"subnet": "fd00::/64"})
    taken: set[Address] = set()
    for _ in range(pods):
        taken.add(allocate(members, taken)[0].address.ip)
    assert len(taken) == pods

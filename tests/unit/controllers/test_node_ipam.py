"""Ranges of pod addresses: one for each node, none twice."""

from __future__ import annotations

import ipaddress
from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from pykubelet.controllers.node_ipam import Network, free_range


def test_the_first_free_range_is_given() -> None:
    cluster = ip_network("10.244.0.0/16")
    taken = [ip_network("10.244.0.0/24"), ip_network("10.244.2.0/24")]
    assert free_range(cluster, 24, taken) == ip_network("10.244.1.0/24")


def test_a_range_taken_by_somebody_larger_is_stepped_over() -> None:
    taken = [ip_network("10.244.0.0/20")]
    assert free_range(ip_network("10.244.0.0/16"), 24, taken) == ip_network("10.244.16.0/24")


def test_a_full_cluster_has_none_left() -> None:
    cluster = ip_network("10.244.0.0/23")
    assert free_range(cluster, 24, list(cluster.subnets(new_prefix=24))) is None


def test_the_other_family_is_in_nobodys_way() -> None:
    taken = [ip_network("fd00::/64")]
    assert free_range(ip_network("10.0.0.0/16"), 24, taken) == ip_network("10.0.0.0/24")
    assert free_range(ip_network("fd00::/48"), 64, taken) == ip_network("fd00:0:0:1::/64")


@given(st.sets(st.integers(0, 15)), st.integers(22, 28))
def test_no_address_is_given_twice(numbers: set[int], mask: int) -> None:
    cluster = ip_network("10.0.0.0/20")
    taken: list[Network] = [
        ipaddress.IPv4Network((int(cluster.network_address) + 256 * n, 24)) for n in numbers
    ]
    found = free_range(cluster, mask, taken)
    if found is None:
        return
    assert all(not found.overlaps(other) for other in taken)
    assert found.subnet_of(cluster)  # type: ignore[arg-type]

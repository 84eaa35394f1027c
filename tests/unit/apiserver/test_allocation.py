"""What a Service gets, and what an update of one keeps, by values; reservations in a real store."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pykubelet.apiserver.allocation.fields import carry_over, settle_families
from pykubelet.apiserver.allocation.ports import NodePorts
from pykubelet.apiserver.storage.sqlite import SqliteStore
from pykubelet.errors import Invalid

Json = dict[str, Any]
BOTH = ["IPv4", "IPv6"]


@pytest.mark.parametrize(
    ("spec", "served", "families", "policy"),
    [
        ({}, ["IPv4"], ["IPv4"], "SingleStack"),
        ({"ipFamilyPolicy": "PreferDualStack"}, ["IPv4"], ["IPv4"], "PreferDualStack"),
        ({"ipFamilyPolicy": "PreferDualStack"}, BOTH, BOTH, "PreferDualStack"),
        ({"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6"]}, BOTH, ["IPv6", "IPv4"],
         "RequireDualStack"),
        ({"clusterIPs": ["fd00::1"]}, BOTH, ["IPv6"], "SingleStack"),
        ({"clusterIP": "None", "clusterIPs": ["None"]}, ["IPv4"], BOTH, "RequireDualStack"),
        ({"clusterIP": "None", "selector": {"a": "b"}}, ["IPv4"], ["IPv4"], "SingleStack"),
    ],
)  # fmt: skip
def test_families_follow_from_what_is_asked_and_what_is_served(
    spec: Json, served: list[str], families: list[str], policy: str
) -> None:
    assert settle_families(spec, served) == ""
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (families, policy)


def test_two_families_can_not_be_had_where_one_is_served() -> None:
    said = settle_families({"ipFamilyPolicy": "RequireDualStack"}, ["IPv4"])
    assert said == "ipFamilyPolicy: this cluster is not configured for dual-stack services"


def test_a_client_that_sends_what_it_once_created_loses_nothing() -> None:
    old = {"type": "NodePort", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
           "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30001}]}  # fmt: skip
    new: Json = {"type": "NodePort", "ports": [{"port": 80, "protocol": "TCP"}]}
    carry_over(new, old)
    assert new == old


def test_another_type_sheds_what_it_has_not() -> None:
    old = {"type": "LoadBalancer", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
           "externalTrafficPolicy": "Local", "healthCheckNodePort": 30002,
           "allocateLoadBalancerNodePorts": True,
           "ports": [{"port": 80, "protocol": "TCP", "nodePort": 30001}]}  # fmt: skip
    new = {**old, "type": "ClusterIP", "ports": [dict(old["ports"][0])]}
    carry_over(new, old)
    assert new == {"type": "ClusterIP", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"],
                   "ports": [{"port": 80, "protocol": "TCP"}]}  # fmt: skip
    gone = {**new, "type": "ExternalName"}
    carry_over(gone, new)
    assert "clusterIP" not in gone


def test_a_node_port_is_given_once_whoever_asks_at_once(tmp_path: Path) -> None:
    async def ask() -> None:
        store = SqliteStore.open(tmp_path / "store.db")
        try:
            ports = NodePorts(30000, 30019)
            given = await asyncio.gather(*(ports.choose(store) for _ in range(18)))
            assert len(set(given)) == 18
            with pytest.raises(Invalid, match="already allocated"):
                await ports.reserve(store, given[0])
            with pytest.raises(Invalid, match="not in the valid range"):
                await ports.reserve(store, 80)
            await ports.release(store, given)
            assert await ports.reserved(store) == set()
            again = NodePorts(30000, 30001)
            assert {await again.choose(store), await again.choose(store)} == {30000, 30001}
            with pytest.raises(Invalid, match="range is full"):
                await again.choose(store)
        finally:
            await store.close()

    asyncio.run(ask())

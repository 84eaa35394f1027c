"""Capacity, reservations and what is left for pods."""

from __future__ import annotations

from pykubelet.kubelet.node.amounts import Amounts, allocatable, reserved, resource_list

GI = 1 << 30
WHOLE = Amounts(cpu_milli=4000, memory=16 * GI, ephemeral_storage=100 * GI, pods=110, pids=32768)


def test_pods_get_the_node_less_reservations_and_less_what_it_evicts_for() -> None:
    found = allocatable(
        WHOLE,
        reserved({"cpu": "500m", "memory": "1Gi", "pid": "768"}),
        reserved({"cpu": "250m", "ephemeral-storage": "10Gi"}),
        hard_eviction={"memory.available": "100Mi", "nodefs.available": "10%"},
    )
    assert found.cpu_milli == 3250
    assert found.memory == 15 * GI - (100 << 20)
    assert found.ephemeral_storage == 80 * GI
    assert (found.pods, found.pids) == (110, 32000)


def test_nothing_reserved_leaves_everything() -> None:
    assert allocatable(WHOLE) == WHOLE


def test_memory_set_aside_as_huge_pages_is_not_given_away_twice() -> None:
    whole = Amounts(memory=16 * GI, hugepages={2 << 20: GI, 1 << 30: 2 * GI})
    assert allocatable(whole).memory == 13 * GI


def test_reserving_more_than_there_is_leaves_nothing_rather_than_less() -> None:
    found = allocatable(WHOLE, reserved({"cpu": "8", "memory": "64Gi"}))
    assert (found.cpu_milli, found.memory) == (0, 0)


def test_a_resource_list_is_spelled_as_people_expect() -> None:
    listed = resource_list(
        Amounts(1900, 16 * GI, 100 * GI + 1, 110, hugepages={2 << 20: 0, 1 << 30: 2 * GI})
    )
    assert listed == {
        "cpu": "1900m",
        "memory": "16777216Ki",
        "ephemeral-storage": "107374182401",
        "pods": "110",
        "hugepages-2Mi": "0",
        "hugepages-1Gi": "2Gi",
    }
    assert resource_list(Amounts(2000))["cpu"] == "2"

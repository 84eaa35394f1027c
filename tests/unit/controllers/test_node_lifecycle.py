"""Silent nodes: what is said of them, which taints follow, which pods go and when."""

from __future__ import annotations

from typing import Any

import pytest

from pykubelet.controllers.node_lifecycle import (
    NOT_READY,
    RATE,
    SLOW_RATE,
    UNREACHABLE,
    evict_after,
    eviction_rate,
    silent_conditions,
    wanted_taints,
)

Json = dict[str, Any]
NOW = "2026-11-21T00:00:00Z"


def node(taints: list[Json] | None = None, unschedulable: bool = False, **conditions: str) -> Json:
    found = [{"type": kind, "status": status} for kind, status in conditions.items()]
    spec = {"taints": taints or [], "unschedulable": unschedulable}
    return {"metadata": {"name": "n"}, "spec": spec, "status": {"conditions": found}}


def test_a_silent_node_is_unknown_in_every_respect() -> None:
    made = silent_conditions(node(Ready="True", MemoryPressure="False"), NOW)
    assert {c["type"]: c["status"] for c in made} == dict.fromkeys(
        ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure"), "Unknown"
    )
    assert made[0]["reason"] == "NodeStatusUnknown"
    assert made[2]["reason"] == "NodeStatusNeverUpdated"


def test_what_is_unknown_already_is_not_said_again() -> None:
    unknown = dict.fromkeys(("Ready", "MemoryPressure", "DiskPressure", "PIDPressure"), "Unknown")
    assert silent_conditions(node(**unknown), NOW) == []


@pytest.mark.parametrize(
    ("conditions", "keys"),
    [
        ({"Ready": "True"}, []),
        ({"Ready": "False"}, [NOT_READY, NOT_READY]),
        ({"Ready": "Unknown"}, [UNREACHABLE, UNREACHABLE]),
        ({"Ready": "True", "DiskPressure": "True"}, ["node.kubernetes.io/disk-pressure"]),
    ],
)
def test_taints_follow_from_conditions(conditions: dict[str, str], keys: list[str]) -> None:
    assert [t["key"] for t in wanted_taints(node(**conditions), NOW)] == keys


def test_taints_of_others_stay_and_ours_go_with_their_cause() -> None:
    theirs = {"key": "dedicated", "effect": "NoSchedule", "value": "db"}
    ours = {"key": NOT_READY, "effect": "NoExecute"}
    assert wanted_taints(node([theirs, ours], Ready="True"), NOW) == [theirs]


def test_a_taint_keeps_the_time_at_which_it_came() -> None:
    old = {"key": NOT_READY, "effect": "NoExecute", "timeAdded": "2026-11-20T00:00:00Z"}
    assert old in wanted_taints(node([old], Ready="False"), NOW)


def test_a_cordoned_node_is_tainted() -> None:
    (taint,) = wanted_taints(node(unschedulable=True, Ready="True"), NOW)
    assert taint == {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


TAINT = {"key": UNREACHABLE, "effect": "NoExecute"}


@pytest.mark.parametrize(
    ("tolerations", "after"),
    [
        ([], 0.0),
        ([{"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute"}], None),
        ([{"key": UNREACHABLE, "operator": "Exists", "tolerationSeconds": 300}], 300.0),
        ([{"operator": "Exists", "tolerationSeconds": -5}], 0.0),
    ],
)
def test_a_pod_goes_when_its_tolerations_end(tolerations: list[Json], after: float | None) -> None:
    assert evict_after({"spec": {"tolerations": tolerations}}, [TAINT]) == after


@pytest.mark.parametrize(
    ("silent", "total", "rate"),
    [(1, 3, RATE), (1, 1, RATE), (3, 3, 0.0), (3, 5, 0.0), (40, 60, SLOW_RATE), (20, 60, RATE)],
)
def test_when_most_of_a_zone_is_silent_evictions_slow_down(
    silent: int, total: int, rate: float
) -> None:
    assert eviction_rate(silent, total) == rate

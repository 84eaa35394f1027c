"""Who ends when, before the host goes down."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from pykubelet.kubelet.config import Configuration
from pykubelet.kubelet.daemon.logind import announcements, listening
from pykubelet.kubelet.shutdown import Class, classes, grace, groups

CRITICAL = 2_000_000_000


def config(**settings: Any) -> Configuration:
    return dataclasses.replace(Configuration(), **settings)


def pod(name: str, priority: int | None = None, seconds: int = 30) -> dict[str, Any]:
    spec: dict[str, Any] = {"terminationGracePeriodSeconds": seconds}
    if priority is not None:
        spec["priority"] = priority
    return {"metadata": {"name": name}, "spec": spec}


def names(of: tuple[Class, ...], *pods: dict[str, Any]) -> list[tuple[float, list[str]]]:
    return [(g.seconds, [p["metadata"]["name"] for p in g.pods]) for g in groups(of, pods)]


def test_nobody_is_waited_for_unless_the_configuration_says_so() -> None:
    assert classes(config()) == ()


def test_critical_pods_get_the_last_part_of_the_time() -> None:
    found = classes(config(shutdown_grace_period=30.0, shutdown_grace_period_critical_pods=10.0))
    assert found == (Class(0, 20.0), Class(CRITICAL, 10.0))
    assert names(found, pod("dns", CRITICAL), pod("web"), pod("batch", -5)) == [
        (20.0, ["web", "batch"]),
        (10.0, ["dns"]),
    ]


def test_classes_of_priority_end_one_after_the_other_the_lowest_first() -> None:
    written = (
        {"priority": 1000, "shutdownGracePeriodSeconds": 20},
        {"priority": 0, "shutdownGracePeriodSeconds": 60},
        {"priority": 100_000, "shutdownGracePeriodSeconds": 10},
    )
    found = classes(config(shutdown_grace_period_by_pod_priority=written))
    assert [c.priority for c in found] == [0, 1000, 100_000]
    pods = [pod("a", 999), pod("b", 1000), pod("c", 99_999), pod("d", 10**9), pod("e", -1)]
    assert names(found, *pods) == [(60.0, ["a", "e"]), (20.0, ["b", "c"]), (10.0, ["d"])]


def test_a_group_without_pods_takes_no_time() -> None:
    found = classes(config(shutdown_grace_period=30.0, shutdown_grace_period_critical_pods=10.0))
    assert names(found, pod("dns", CRITICAL)) == [(10.0, ["dns"])]
    assert groups(found, []) == []


@pytest.mark.parametrize(("own", "groups_own", "given"), [(5, 20, 5), (60, 20, 20), (0, 20, 0)])
def test_a_pod_gets_what_it_wants_within_its_groups_time(
    own: int, groups_own: int, given: int
) -> None:
    (group,) = groups((Class(0, float(groups_own)),), [pod("web", seconds=own)])
    assert grace(group, group.pods[0]) == given


def test_what_logind_announces_is_picked_out_of_what_the_bus_says() -> None:
    def said(member: str, *data: object, kind: str = "signal") -> str:
        return json.dumps({"type": kind, "member": member, "payload": {"data": list(data)}})

    lines = [
        "Monitoring bus message stream.",
        said("NameLost", ":1.5"),
        said("PrepareForShutdown", True),
        said("PrepareForShutdown", True, kind="method_call"),
        "{broken",
        said("PrepareForShutdown", False),
        json.dumps({"type": "signal", "member": "PrepareForShutdown"}),
    ]
    assert list(announcements(lines)) == [True, False]


def test_one_child_holds_the_lock_and_listens() -> None:
    command = listening("pykubelet")
    assert command[0] == "systemd-inhibit"
    assert "--mode=delay" in command
    assert command[command.index("busctl") + 1] == "monitor"

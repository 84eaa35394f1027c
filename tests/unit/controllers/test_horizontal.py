"""HorizontalPodAutoscaler: how many replicas, how fast, and what it says; by values."""

from __future__ import annotations

from typing import Any

import pytest

from pykubelet.clock import rfc3339
from pykubelet.controllers.horizontal import behavior, replicas
from pykubelet.controllers.horizontal.behavior import Memory
from pykubelet.controllers.horizontal.decision import Decision, Reading, decide
from pykubelet.controllers.horizontal.replicas import Sample, Tolerance
from pykubelet.errors import Failed

Json = dict[str, Any]
NOW = 1_800_000_000.0


def pod(name: str, *, ready: bool = True, age: float = 1000, phase: str = "Running") -> Json:
    condition = {
        "type": "Ready",
        "status": "True" if ready else "False",
        "lastTransitionTime": rfc3339(NOW - age + 5),
    }
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
        "status": {"phase": phase, "startTime": rfc3339(NOW - age), "conditions": [condition]},
    }


def wanted(target: int, pods: list[Json], **usage: float) -> int:
    samples = {name: Sample(value, NOW) for name, value in usage.items()}
    requests = {p["metadata"]["name"]: replicas.requests_of(p, "cpu") for p in pods}
    found = replicas.for_utilization(
        pods, samples, requests, "cpu", target, len(pods), Tolerance(), NOW
    )
    return found.replicas


# -- how many ------------------------------------------------------------------------------------


def test_so_many_that_each_would_use_its_target() -> None:
    pods = [pod(n) for n in "abc"]
    assert wanted(30, pods, a=300, b=500, c=700) == 5
    assert wanted(50, pods, a=100, b=100, c=100) == 1


def test_a_little_more_or_less_changes_nothing() -> None:
    pods = [pod(n) for n in "abc"]
    assert wanted(50, pods, a=520, b=540, c=560) == 3
    assert wanted(50, pods, a=470, b=480, c=460) == 3


def test_pods_that_start_are_taken_to_use_nothing_when_scaling_up() -> None:
    pods = [pod("a"), pod("b"), pod("c", ready=False, age=20)]
    assert wanted(30, pods, a=500, b=700, c=1000) == 4
    assert wanted(30, [pod("a"), pod("b", phase="Pending")], a=400) == 2


def test_pods_without_measurement_are_taken_to_be_busy_when_scaling_down() -> None:
    pods = [pod(n) for n in "abcd"]
    assert wanted(50, pods, a=100, b=100, c=100) == 3


def test_without_any_measurement_nothing_can_be_said() -> None:
    with pytest.raises(Failed):
        wanted(50, [pod("a")])


def test_a_container_without_request_has_no_percentage() -> None:
    bare = pod("a")
    bare["spec"]["containers"][0].pop("resources")
    with pytest.raises(Failed, match="missing request for cpu"):
        replicas.requests_of(bare, "cpu")


def test_averages_need_no_request() -> None:
    pods = [pod(n) for n in "ab"]
    samples = {n: Sample(10_000) for n in "ab"}
    found = replicas.for_average(pods, samples, "", 5_000, 2, Tolerance(), NOW)
    assert (found.replicas, found.average) == (4, 10_000)


def test_a_figure_of_something_else() -> None:
    assert replicas.for_value(300, 100, 2, 2, Tolerance()).replicas == 6
    assert replicas.for_value_per_pod(1000, 100, 4, Tolerance()).replicas == 10
    assert replicas.for_value_per_pod(410, 100, 4, Tolerance()).replicas == 4


# -- how fast ------------------------------------------------------------------------------------


def limited(desired: int, current: int, memory: Memory | None = None, **given: Any) -> int:
    up, down = behavior.rules({"spec": {"behavior": given}})
    return behavior.limited(desired, current, up, down, memory or Memory(), NOW)


def test_by_default_up_by_four_or_to_the_double_whichever_is_more() -> None:
    assert limited(100, 1) == 5
    assert limited(100, 10) == 20
    assert limited(0, 10) == 0


def test_what_was_added_in_the_period_counts() -> None:
    memory = Memory(added=[(NOW - 10, 4), (NOW - 20, 50)])
    assert limited(100, 5, memory) == 5
    assert limited(1000, 60, memory) == 112


def test_policies_limit_the_way_down() -> None:
    slow = {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}
    assert limited(1, 10, scaleDown=slow) == 8
    assert limited(1, 10, scaleDown={**slow, "selectPolicy": "Disabled"}) == 10
    two = [*slow["policies"], {"type": "Percent", "value": 50, "periodSeconds": 60}]
    assert limited(1, 10, scaleDown={"policies": two}) == 5
    assert limited(1, 10, scaleDown={"policies": two, "selectPolicy": "Min"}) == 8


def test_the_way_down_waits_for_the_highest_of_the_last_minutes() -> None:
    up, down = behavior.rules({"spec": {}})
    memory = Memory(recommended=[(NOW - 400, 20), (NOW - 100, 7)])
    assert behavior.stabilized(3, 10, up, down, memory, NOW) == 7
    assert behavior.stabilized(15, 10, up, down, memory, NOW) == 15


# -- decisions -----------------------------------------------------------------------------------


def ask(current: int, *readings: Reading, least: int | None = 2, most: int = 10) -> Decision:
    spec = {"minReplicas": least, "maxReplicas": most}
    autoscaler = {"metadata": {"generation": 1}, "spec": spec}
    return decide(autoscaler, current, readings, Memory(), NOW)


def conditions(found: Decision) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in found.status["conditions"]}


def test_the_metric_that_asks_for_most_decides() -> None:
    found = ask(4, Reading("cpu", 5), Reading("memory", 7))
    assert found.size == 7
    assert "memory" in found.reason
    assert found.status["desiredReplicas"] == 7


def test_one_that_cannot_be_read_forbids_to_scale_down_but_not_up() -> None:
    broken = Reading("cpu", problem=("FailedGetResourceMetric", "no metrics API"))
    down = ask(4, Reading("memory", 2), broken)
    assert down.size is None
    assert conditions(down)["ScalingActive"] == ("False", "FailedGetResourceMetric")
    assert ask(4, Reading("memory", 6), broken).size == 6


def test_the_limits_hold_whatever_the_metrics_say() -> None:
    high = ask(6, Reading("cpu", 50))
    assert high.size == 10
    assert conditions(high)["ScalingLimited"] == ("True", "TooManyReplicas")
    assert ask(1).size == 2
    assert ask(20).size == 10


def test_a_target_scaled_to_zero_is_left_alone() -> None:
    found = ask(0, Reading("cpu", 5))
    assert found.size is None
    assert conditions(found)["ScalingActive"] == ("False", "ScalingDisabled")


def test_enough_is_enough() -> None:
    found = ask(4, Reading("cpu", 4))
    assert found.size is None
    assert conditions(found)["AbleToScale"] == ("True", "ReadyForNewScale")
    assert conditions(found)["ScalingLimited"] == ("False", "DesiredWithinRange")

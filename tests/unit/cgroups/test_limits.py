"""What a container and its pod may use, from the spec alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.kubelet.cgroups import limits
from pykubelet.kubelet.cgroups.limits import Rules

GI = 1 << 30
MI = 1 << 20
RULES = Rules(node_memory=10 * GI, page_sizes=("2MB", "1GB"))


def container(
    requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **more: Any
) -> dict[str, Any]:
    resources = {"requests": requests or {}, "limits": limits or {}}
    return {"name": "c", "resources": resources, **more}


def pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"uid": "u"}, "spec": {"containers": list(containers), **spec}}


SMALL = {"cpu": "500m", "memory": "1Gi"}
BEST_EFFORT = container()
BURSTABLE = container({"cpu": "250m", "memory": "1Gi"}, {"cpu": "1", "memory": "2Gi"})
GUARANTEED = container(SMALL, SMALL)


# -- containers ---------------------------------------------------------------------------------


def test_a_container_gets_its_request_as_shares_and_its_limits_as_bounds() -> None:
    found = limits.container_resources(pod(BURSTABLE), BURSTABLE, RULES)
    assert found["cpu_shares"] == 256
    assert (found["cpu_quota"], found["cpu_period"]) == (100_000, 100_000)
    assert found["memory_limit_in_bytes"] == 2 * GI


def test_a_limit_without_a_request_is_the_request_too() -> None:
    only_limit = container(limits={"cpu": "1"})
    assert limits.container_resources(pod(only_limit), only_limit, RULES)["cpu_shares"] == 1024


def test_no_limit_is_said_aloud_so_that_a_resize_takes_one_away() -> None:
    found = limits.container_resources(pod(BEST_EFFORT), BEST_EFFORT, RULES)
    assert found["cpu_quota"] == -1
    assert "memory_limit_in_bytes" not in found


def test_cpu_quota_can_be_switched_off_for_the_node() -> None:
    found = limits.container_resources(
        pod(BURSTABLE), BURSTABLE, replace(RULES, cpu_cfs_quota=False)
    )
    assert "cpu_quota" not in found


def test_a_container_without_limits_may_use_what_its_pod_may() -> None:
    one = pod(BEST_EFFORT, resources={"limits": {"cpu": "2", "memory": "3Gi"}})
    found = limits.container_resources(one, BEST_EFFORT, RULES)
    assert (found["cpu_quota"], found["memory_limit_in_bytes"]) == (200_000, 3 * GI)


def test_huge_pages_are_bounded_for_every_size_of_the_host() -> None:
    huge = container(limits={"hugepages-2Mi": "64Mi", "memory": "1Gi"})
    found = limits.container_resources(pod(huge), huge, RULES)
    assert found["hugepage_limits"] == [
        {"page_size": "2MB", "limit": 64 * MI},
        {"page_size": "1GB", "limit": 0},
    ]


def test_a_container_dies_of_memory_as_a_whole_on_v2_only() -> None:
    one = pod(BURSTABLE)
    assert limits.container_resources(one, BURSTABLE, RULES)["unified"]["memory.oom.group"] == "1"
    singly = replace(RULES, single_process_oom_kill=True)
    assert "memory.oom.group" not in limits.container_resources(one, BURSTABLE, singly)["unified"]
    assert "unified" not in limits.container_resources(
        one, BURSTABLE, replace(RULES, cgroup_version=1)
    )


# -- swap ---------------------------------------------------------------------------------------


def test_pods_get_no_swap_unless_the_node_is_told_so() -> None:
    """Complaint 20: a node with swap starts, and pods get none of it unless asked."""
    rules = replace(RULES, node_swap=5 * GI)
    found = limits.container_resources(pod(BURSTABLE), BURSTABLE, rules)
    assert found["unified"]["memory.swap.max"] == "0"
    old = limits.container_resources(pod(BURSTABLE), BURSTABLE, replace(rules, cgroup_version=1))
    assert old["memory_swap_limit_in_bytes"] == old["memory_limit_in_bytes"]


def test_limited_swap_is_shared_out_by_memory_request_among_burstable_pods() -> None:
    rules = replace(RULES, node_swap=5 * GI, swap_behavior="LimitedSwap")

    def swap(one: dict[str, Any], of: dict[str, Any]) -> str:
        return limits.container_resources(one, of, rules)["unified"]["memory.swap.max"]

    assert swap(pod(BURSTABLE), BURSTABLE) == str(GI // 2)  # a tenth of the memory
    assert swap(pod(GUARANTEED), GUARANTEED) == "0"
    assert swap(pod(BEST_EFFORT), BEST_EFFORT) == "0"
    assert swap(pod(BURSTABLE, priority=2_000_001_000), BURSTABLE) == "0"


def test_a_kernel_that_cannot_limit_swap_is_not_asked_to() -> None:
    found = limits.container_resources(
        pod(BURSTABLE), BURSTABLE, replace(RULES, swap_controller=False)
    )
    assert "memory.swap.max" not in found["unified"]


# -- who is killed first ------------------------------------------------------------------------


def test_guaranteed_goes_last_and_best_effort_first() -> None:
    assert limits.oom_score(pod(GUARANTEED), GUARANTEED, 10 * GI) == -997
    assert limits.oom_score(pod(BEST_EFFORT), BEST_EFFORT, 10 * GI) == 1000
    assert limits.oom_score(pod(BURSTABLE), BURSTABLE, 10 * GI) == 900


def test_a_node_critical_pod_is_spared_whatever_it_asks_for() -> None:
    critical = pod(BEST_EFFORT, priority=2_000_001_000, priorityClassName="system-node-critical")
    assert limits.oom_score(critical, BEST_EFFORT, 10 * GI) == -997


def test_a_sidecar_outlives_the_containers_it_serves() -> None:
    sidecar = container({"memory": "100Mi"}, restartPolicy="Always")
    one = pod(container({"memory": "5Gi"}), initContainers=[sidecar])
    assert limits.oom_score(one, sidecar, 10 * GI) == 500


def test_what_the_pod_reserved_beyond_its_containers_is_shared_among_them() -> None:
    first, second = container({"memory": "1Gi"}), container()
    one = pod(first, second, resources={"requests": {"memory": "3Gi"}})
    assert limits.oom_score(one, first, 10 * GI) == 800
    assert limits.oom_score(one, second, 10 * GI) == 900


@given(st.integers(0, 1 << 45), st.integers(1, 1 << 45))
def test_a_burstable_container_is_always_between_the_other_classes(request: int, node: int) -> None:
    one = container({"memory": str(request), "cpu": "1"})
    assert 3 <= limits.oom_score(pod(one), one, node) <= 999


# -- memory protection --------------------------------------------------------------------------


def test_memory_qos_is_off_by_default() -> None:
    unified = limits.container_resources(pod(BURSTABLE), BURSTABLE, RULES)["unified"]
    assert "memory.high" not in unified
    assert "memory.low" not in unified


def test_throttling_begins_between_request_and_limit() -> None:
    rules = replace(RULES, memory_throttling=0.5)
    unified = limits.container_resources(pod(BURSTABLE), BURSTABLE, rules)["unified"]
    assert unified["memory.high"] == str(GI + GI // 2)


def test_without_a_limit_throttling_counts_from_what_pods_may_have() -> None:
    rules = replace(RULES, memory_throttling=0.5, allocatable_memory=8 * GI)
    unified = limits.container_resources(pod(BEST_EFFORT), BEST_EFFORT, rules)["unified"]
    assert unified["memory.high"] == str(4 * GI)
    guaranteed = limits.container_resources(pod(GUARANTEED), GUARANTEED, rules)["unified"]
    assert "memory.high" not in guaranteed


def test_tiered_reservation_protects_hard_or_soft_by_class() -> None:
    rules = replace(RULES, memory_reservation="TieredReservation")
    assert limits.pod_limits(pod(GUARANTEED), rules).unified == {"memory.min": str(GI)}
    assert limits.pod_limits(pod(BURSTABLE), rules).unified == {"memory.low": str(GI)}
    assert limits.pod_limits(pod(BEST_EFFORT), rules).unified == {}


# -- pods ---------------------------------------------------------------------------------------


def test_a_guaranteed_pod_is_bounded_by_the_sum_of_its_containers() -> None:
    found = limits.pod_limits(pod(GUARANTEED, GUARANTEED), RULES)
    assert (found.cpu_shares, found.cpu_quota, found.memory) == (1024, 100_000, 2 * GI)


def test_a_burstable_pod_is_bounded_only_where_every_container_is() -> None:
    found = limits.pod_limits(pod(BURSTABLE, container({"cpu": "1"})), RULES)
    assert (found.cpu_quota, found.memory) == (-1, -1)
    whole = limits.pod_limits(
        pod(BURSTABLE, container(), resources={"limits": {"memory": "4Gi"}}), RULES
    )
    assert whole.memory == 4 * GI


def test_a_best_effort_pod_has_the_least_weight_and_no_bound() -> None:
    found = limits.pod_limits(pod(BEST_EFFORT), RULES)
    assert (found.cpu_shares, found.cpu_quota, found.memory) == (2, -1, -1)


def test_the_number_of_processes_is_the_nodes_decision() -> None:
    assert limits.pod_limits(pod(BEST_EFFORT), RULES).pids == -1
    assert limits.pod_limits(pod(BEST_EFFORT), replace(RULES, pod_pids_limit=100)).pids == 100


def test_the_runtimes_overhead_is_the_pods() -> None:
    one = pod(GUARANTEED, overhead={"cpu": "500m", "memory": "1Gi"})
    found = limits.pod_limits(one, RULES)
    assert (found.cpu_shares, found.memory) == (1024, 2 * GI)


@pytest.mark.parametrize(
    ("made", "critical"),
    [
        (pod(BEST_EFFORT), False),
        (pod(BEST_EFFORT, priority=1_999_999_999), False),
        (pod(BEST_EFFORT, priority=2_000_000_000), True),
        ({"metadata": {"annotations": {"kubernetes.io/config.source": "file"}}, "spec": {}}, True),
        ({"metadata": {"annotations": {"kubernetes.io/config.source": "api"}}, "spec": {}}, False),
        ({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}, "spec": {}}, True),
    ],
)
def test_static_mirror_and_system_pods_are_critical(made: dict[str, Any], critical: bool) -> None:
    assert limits.is_critical(made) is critical

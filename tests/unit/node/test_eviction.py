"""Thresholds, pressure, and who has to go."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.kubelet.cgroups.tree import PodUsage
from pykubelet.kubelet.node import eviction, figures, storage_limits
from pykubelet.kubelet.node.eviction import Observation, State, choose, decide, thresholds

MI = 1 << 20
GI = 1 << 30

HARD = thresholds({"memory.available": "100Mi", "nodefs.available": "10%"}, enforce_pods=False)
FINE = {
    "memory.available": Observation(4 * GI, 8 * GI),
    "nodefs.available": Observation(50 * GI, 100 * GI),
}
LOW_MEMORY = {**FINE, "memory.available": Observation(50 * MI, 8 * GI)}
LOW_DISK = {**FINE, "nodefs.available": Observation(5 * GI, 100 * GI)}


def pod(uid: str, memory: str = "", priority: int = 0, **spec: Any) -> dict[str, Any]:
    resources = {"requests": {"memory": memory}} if memory else {}
    return {
        "metadata": {"uid": uid},
        "spec": {
            "containers": [{"name": "c", "resources": resources}], "priority": priority, **spec
        },
    }  # fmt: skip


def using(uid: str, memory: int = 0, disk: int = 0, pids: int = 0) -> figures.Pod:
    usage = PodUsage(memory_working_set=memory, pids=pids)
    container = figures.Container("c", "id", 0, 0, usage, rootfs_used=disk, logs_used=0)
    return figures.Pod(uid, uid, "default", 0, 0, usage, containers=(container,))


# -- thresholds ---------------------------------------------------------------------------------


def test_the_hard_memory_threshold_holds_for_the_pods_group_too() -> None:
    found = {t.signal for t in thresholds({"memory.available": "100Mi"})}
    assert found == {"memory.available", "allocatableMemory.available"}


def test_zero_or_all_switches_a_threshold_off() -> None:
    assert thresholds({"memory.available": "0", "nodefs.available": "0%"}) == ()
    assert thresholds({"nodefs.available": "100%"}) == ()


def test_a_threshold_that_the_configuration_has_no_more_is_forgotten() -> None:
    strict = thresholds({"memory.available": "99%"}, enforce_pods=False)
    pressed = decide(State(), strict, FINE, 0.0)
    assert pressed.threshold == strict[0]
    relaxed = decide(pressed.state, HARD, FINE, 10.0, transition=1.0)
    assert (relaxed.threshold, relaxed.pressures) == (None, frozenset())


def test_with_enough_of_everything_nothing_is_done() -> None:
    found = decide(State(), HARD, FINE, 0.0)
    assert (found.threshold, found.pressures) == (None, frozenset())
    assert found.sentence == "no resource is short"


def test_a_hard_threshold_is_acted_upon_at_once_memory_before_disk() -> None:
    found = decide(State(), HARD, {**LOW_DISK, "memory.available": Observation(0, 1)}, 0.0)
    assert found.threshold
    assert found.threshold.signal == "memory.available"
    assert found.pressures == {"MemoryPressure", "DiskPressure"}


def test_a_signal_nobody_could_read_evicts_nobody() -> None:
    assert decide(State(), HARD, {}, 0.0).threshold is None


def test_a_soft_threshold_waits_for_its_grace_period() -> None:
    soft = thresholds({}, {"memory.available": "1Gi"}, {"memory.available": 30.0})
    low = {"memory.available": Observation(GI // 2, 8 * GI)}
    first = decide(State(), soft, low, 100.0)
    assert first.threshold is None
    assert first.pressures == {"MemoryPressure"}
    assert "grace period" in first.sentence
    assert decide(first.state, soft, low, 129.0).threshold is None
    assert decide(first.state, soft, low, 130.0).threshold == soft[0]


def test_a_grace_period_begins_anew_when_the_pressure_was_gone_in_between() -> None:
    soft = thresholds({}, {"memory.available": "1Gi"}, {"memory.available": 30.0})
    low = {"memory.available": Observation(GI // 2, 8 * GI)}
    state = decide(State(), soft, low, 100.0).state
    state = decide(state, soft, FINE, 110.0).state
    state = decide(state, soft, low, 120.0).state
    assert decide(state, soft, low, 140.0).threshold is None
    assert decide(state, soft, low, 150.0).threshold


def test_a_pressure_condition_outlasts_its_pressure_by_the_transition_period() -> None:
    state = decide(State(), HARD, LOW_MEMORY, 0.0).state
    for now, pressed in ((299.0, True), (300.0, False)):
        found = decide(state, HARD, FINE, now)
        assert bool(found.pressures) is pressed
        assert found.threshold is None


def test_reclaim_goes_on_until_the_minimum_above_the_threshold_is_reached() -> None:
    known = thresholds(
        {"memory.available": "100Mi"},
        minimum_reclaim={"memory.available": "400Mi"},
        enforce_pods=False,
    )
    state = decide(State(), known, LOW_MEMORY, 0.0).state
    little = {"memory.available": Observation(200 * MI, 8 * GI)}
    assert decide(state, known, little, 10.0).threshold == known[0]
    assert not eviction.satisfied(known, little)
    assert decide(State(), known, little, 10.0).threshold is None  # not begun, not needed


# -- who goes -----------------------------------------------------------------------------------


def chosen(pods: list[dict[str, Any]], *measured: figures.Pod, low: Any = None) -> str | None:
    observed = low or LOW_MEMORY
    signal = "memory.available" if observed is LOW_MEMORY else "nodefs.available"
    threshold = next(t for t in HARD if t.signal == signal)
    found = choose(threshold, pods, {m.uid: m for m in measured}, observed)
    return found.uid if found else None


def test_whoever_uses_more_than_it_asked_for_goes_before_whoever_does_not() -> None:
    pods = [pod("modest", "2Gi", priority=0), pod("greedy", "1Gi", priority=1000)]
    assert chosen(pods, using("modest", GI), using("greedy", GI + MI)) == "greedy"


def test_among_the_greedy_the_less_important_goes_first() -> None:
    pods = [pod("high", priority=10), pod("low", priority=1)]
    assert chosen(pods, using("high", 2 * GI), using("low", MI)) == "low"


def test_among_equals_the_one_furthest_above_its_request_goes() -> None:
    pods = [pod("a", "1Gi"), pod("b", "100Mi")]
    assert chosen(pods, using("a", 3 * GI), using("b", 2 * GI + 200 * MI)) == "b"


def test_static_and_system_pods_are_never_evicted() -> None:
    static = pod("static")
    static["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    system = pod("system", priority=2_000_000_000)
    assert chosen([static, system], using("static", GI), using("system", GI)) is None
    assert chosen([static, pod("plain")], using("static", GI), using("plain", 1)) == "plain"


def test_the_message_is_the_one_that_people_search_for() -> None:
    threshold = next(t for t in HARD if t.signal == "memory.available")
    found = choose(threshold, [pod("a", "10Mi")], {"a": using("a", 60 * MI)}, LOW_MEMORY)
    assert found
    assert found.message == (
        "The node was low on resource: memory. "
        "Threshold quantity: 102400Ki, available: 51200Ki. "
        "Container c was using 61440Ki, request is 10240Ki, has larger consumption of memory. "
    )
    assert found.grace == 1
    assert found.annotations["offending_containers"] == "c"
    assert found.annotations["starved_resource"] == "memory"


def test_a_soft_eviction_gives_the_configured_grace() -> None:
    soft = thresholds({}, {"memory.available": "1Gi"}, {"memory.available": 0.0})[0]
    found = choose(soft, [pod("a")], {"a": using("a", GI)}, LOW_MEMORY, max_grace=45)
    assert found
    assert found.grace == 45


def test_for_disk_layers_logs_and_own_volumes_count() -> None:
    pods = [pod("memory-eater"), pod("disk-eater")]
    assert (
        chosen(pods, using("memory-eater", GI), using("disk-eater", 0, GI), low=LOW_DISK)
        == "disk-eater"
    )


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(-5, 5), st.integers(0, 100)), max_size=12)
)
def test_ranking_orders_every_pod_by_excess_then_priority_then_amount(
    given_pods: list[tuple[int, int, int]],
) -> None:
    pods = [pod(str(n), str(r), p) for n, (r, p, _) in enumerate(given_pods)]
    measured = {str(n): using(str(n), u) for n, (_, _, u) in enumerate(given_pods)}
    ranked = eviction.rank("memory", pods, measured)
    assert len(ranked) == len(pods)

    def key(one: dict[str, Any]) -> tuple[bool, int, int]:
        request, priority, used = given_pods[int(one["metadata"]["uid"])]
        return (used <= request, priority, request - used)

    assert [key(p) for p in ranked] == sorted(key(p) for p in pods)


# -- who may come in ----------------------------------------------------------------------------


def test_under_memory_pressure_only_best_effort_pods_are_refused() -> None:
    pressed = frozenset({"MemoryPressure"})
    assert eviction.refusal(pod("a", "1Mi"), pressed) is None
    assert eviction.refusal(pod("a"), pressed) == "The node had condition: [MemoryPressure]. "
    tolerating = pod("a", tolerations=[{"operator": "Exists"}])
    assert eviction.refusal(tolerating, pressed) is None
    assert eviction.refusal(pod("a"), frozenset()) is None


def test_under_disk_pressure_all_are_refused_but_the_critical() -> None:
    pressed = frozenset({"DiskPressure", "MemoryPressure"})
    assert eviction.refusal(pod("a", "1Mi"), pressed)
    assert eviction.refusal(pod("a", priority=2_000_000_000), pressed) is None


# -- limits of their own ------------------------------------------------------------------------


def with_volume(used: int, limit: str) -> tuple[dict[str, Any], figures.Pod]:
    one = pod("a", volumes=[{"name": "cache", "emptyDir": {"sizeLimit": limit}}])
    seen = figures.Pod("a", "a", "d", 0, 0, volumes=(figures.Volume("cache", used),))
    return one, seen


@pytest.mark.parametrize(("used", "evicted"), [(10 * MI, False), (10 * MI + 1, True)])
def test_an_empty_dir_beyond_its_size_evicts_its_pod(used: int, evicted: bool) -> None:
    one, seen = with_volume(used, "10Mi")
    found = storage_limits.over_limit([one], {"a": seen})
    assert bool(found) is evicted
    if found:
        assert found[0].message == 'Usage of EmptyDir volume "cache" exceeds the limit "10Mi". '


def test_a_container_beyond_its_storage_limit_evicts_its_pod() -> None:
    one = pod("a")
    one["spec"]["containers"] += [{"name": "d", "resources": {}}]
    one["spec"]["containers"][0]["resources"] = {"limits": {"ephemeral-storage": "1Mi"}}
    one["spec"]["resources"] = {}
    assert storage_limits.watched(one)
    found = storage_limits.over_limit([one], {"a": using("a", disk=2 * MI)})
    assert "storage" in found[0].message
    assert not storage_limits.over_limit([one], {"a": using("a", disk=MI)})


def test_a_pod_without_storage_limits_is_not_even_measured() -> None:
    assert not storage_limits.watched(pod("a"))
    assert storage_limits.watched(with_volume(0, "1Mi")[0])

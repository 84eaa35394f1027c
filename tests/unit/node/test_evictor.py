"""The loop around eviction: reclaim first, then one pod, and no second before the first is gone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pykubelet.kubelet.cgroups.tree import PodUsage
from pykubelet.kubelet.node import eviction, figures
from pykubelet.kubelet.node.eviction import Eviction, Observation, thresholds
from pykubelet.kubelet.node.evictor import Evictor, Rules

GI = 1 << 30


class Time:
    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


class World:
    """A node in numbers: what pods use is what is missing from `free`."""

    def __init__(self, **memory: int) -> None:
        self.memory = dict(memory)
        self.disk_garbage = 0
        self.capacity = 10 * GI
        self.evicted: list[Eviction] = []
        self.reclaimed: list[str] = []
        self.measured = 0
        self.limits: dict[str, str] = {}

    def observe(self) -> dict[str, Observation]:
        return {
            "memory.available": Observation(
                self.capacity - sum(self.memory.values()), self.capacity
            ),
            "nodefs.available": Observation(self.capacity - self.disk_garbage, self.capacity),
        }

    def active_pods(self) -> Iterable[dict[str, Any]]:
        for uid in self.memory:
            volume = {"name": "v", "emptyDir": {"sizeLimit": self.limits.get(uid)}}
            spec = {"containers": [{"name": "c"}], "volumes": [volume]}
            yield {"metadata": {"uid": uid}, "spec": spec}

    def measure(self, pods: Iterable[dict[str, Any]]) -> Mapping[str, figures.Pod]:
        self.measured += 1
        return {
            uid: figures.Pod(
                uid, uid, "d", 0, 0, PodUsage(memory_working_set=self.memory[uid]),
                volumes=(figures.Volume("v", 2),),
            )
            for uid in (pod["metadata"]["uid"] for pod in pods)
        }  # fmt: skip

    def reclaim(self, resource: str) -> None:
        self.reclaimed.append(resource)
        self.disk_garbage = min(self.disk_garbage, GI)

    def evict(self, pod: Eviction) -> None:
        self.evicted.append(pod)


def evictor(world: World, clock: Time, **settings: Any) -> Evictor:
    known = thresholds({"memory.available": "1Gi", "nodefs.available": "1Gi"}, enforce_pods=False)
    return Evictor(world, world.observe, Rules(known, **settings), clock=clock)


def test_a_quiet_node_measures_no_pod() -> None:
    world = World(a=GI, b=GI)
    found = evictor(world, Time())
    assert found.turn() == []
    assert world.measured == 0
    assert found.pressures == frozenset()


def test_one_pod_goes_and_the_next_waits_until_it_is_gone() -> None:
    world, clock = World(small=GI, large=6 * GI, middle=3 * GI), Time()
    found = evictor(world, clock)
    assert [e.uid for e in found.turn()] == ["large"]
    clock.now = 10.0
    assert found.turn() == []  # still ending
    assert found.pressures == {"MemoryPressure"}
    del world.memory["large"]
    world.memory["middle"] = 9 * GI
    clock.now = 20.0
    assert [e.uid for e in found.turn()] == ["middle"]
    assert found.evictions == {"memory.available": 2}


def test_a_pod_that_does_not_end_holds_up_the_others_only_for_a_while() -> None:
    world, clock = World(stuck=6 * GI, other=4 * GI), Time()
    found = evictor(world, clock)
    found.turn()
    clock.now = 40.0
    assert [e.uid for e in found.turn()] == ["other"]


def test_a_full_disk_is_swept_before_any_pod_is_touched() -> None:
    world = World(a=GI)
    world.disk_garbage = world.capacity
    assert evictor(world, Time()).turn() == []
    assert world.reclaimed == ["ephemeral-storage"]
    assert world.evicted == []


def test_when_sweeping_was_not_enough_a_pod_goes() -> None:
    world = World(a=GI)
    world.disk_garbage = world.capacity
    world.reclaim = lambda resource: None  # type: ignore[method-assign]
    assert [e.signal for e in evictor(world, Time()).turn()] == ["nodefs.available"]


def test_storage_limits_are_looked_at_once_a_minute_and_only_where_there_are_any() -> None:
    world, clock = World(a=GI, b=GI), Time()
    found = evictor(world, clock)
    found.turn()
    assert world.measured == 0
    world.limits["b"] = "1"
    assert [e.signal for e in found.turn()] == ["emptydirfs.limit"]
    world.limits["a"] = "3"
    clock.now = 59.0
    found.turn()
    assert world.measured == 1
    clock.now = 60.0
    found.turn()
    assert world.measured == 2


def test_a_change_of_pressure_is_told_once() -> None:
    world, clock, told = World(a=10 * GI), Time(), []
    found = Evictor(
        world,
        world.observe,
        Rules(thresholds({"memory.available": "1Gi"}, enforce_pods=False)),
        clock=clock,
        on_change=told.append,
    )
    for clock.now in (0.0, 10.0, 20.0):
        found.turn()
    world.memory.clear()
    for clock.now in (30.0, 319.0, 321.0):
        found.turn()
    assert told == [frozenset({"MemoryPressure"}), frozenset()]


def test_admission_and_eviction_speak_of_the_same_pressure() -> None:
    world = World(a=10 * GI)
    found = evictor(world, Time())
    found.turn()
    best_effort = {"metadata": {}, "spec": {"containers": [{"name": "c"}]}}
    assert eviction.refusal(best_effort, found.pressures)

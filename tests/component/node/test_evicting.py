"""Eviction from the kernel's figures to the pod's end, on a real containerd."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from pykubelet.kubelet.cgroups.tree import NodeReservations
from pykubelet.kubelet.node import figures
from pykubelet.kubelet.node.eviction import Eviction, thresholds
from pykubelet.kubelet.node.evictor import Evictor, Rules
from pykubelet.kubelet.node.gathering import Gathering
from pykubelet.kubelet.node.pressure import Observer
from tests.component.node.lab import Lab
from tests.support.waiting import until

pytestmark = pytest.mark.root

MI = 1 << 20
EATS = "head -c {size}m /dev/zero | tail; sleep 1000"


class Agent:
    """As much of an agent as an evictor needs: its pods, and a way to end one."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.pods: dict[str, dict[str, Any]] = {}
        self.evicted: list[Eviction] = []
        self.reclaimed: list[str] = []
        self.gathering = Gathering(
            "one", lab.runtime, lab.cgroups, root_dir=str(lab.home), logs_dir=str(lab.logs)
        )

    def start(self, uid: str, *command: str, **more: Any) -> None:
        self.pods[uid] = self.lab.start(uid, *command, **more)

    def active_pods(self) -> Iterable[dict[str, Any]]:
        return list(self.pods.values())

    def measure(self, pods: Iterable[dict[str, Any]]) -> Mapping[str, figures.Pod]:
        return self.gathering.pods(pods)

    def reclaim(self, resource: str) -> None:
        self.reclaimed.append(resource)

    def evict(self, pod: Eviction) -> None:
        self.evicted.append(pod)
        self.lab.remove(pod.uid)
        del self.pods[pod.uid]


@pytest.fixture
def agent(lab: Lab) -> Iterator[Agent]:
    made = Agent(lab)
    yield made
    for uid in list(made.pods):
        lab.remove(uid)


def evictor(agent: Agent, hard: Mapping[str, str]) -> Evictor:
    observer = Observer(str(agent.lab.home), agent.lab.cgroups)
    return Evictor(agent, observer.observe, Rules(thresholds(hard)))


def test_when_pods_fill_their_memory_the_one_beyond_its_request_goes(
    lab: Lab, agent: Agent
) -> None:
    lab.cgroups.ensure_tree(NodeReservations(2000, 256 * MI))
    agent.start("modest", "sleep", "1000", resources={"requests": {"memory": "100Mi"}})
    agent.start("greedy", "sh", "-c", EATS.format(size=90))
    found = evictor(agent, {"memory.available": "180Mi"})
    found.rules = replace(
        found.rules,
        thresholds=tuple(t for t in found.rules.thresholds if t.signal.startswith("alloc")),
    )
    until(found.turn, "a pod is evicted", timeout=30)
    assert [e.uid for e in agent.evicted] == ["greedy"]
    message = agent.evicted[0].message
    assert message.startswith("The node was low on resource: memory. Threshold quantity: 184320Ki")
    assert "Container c was using" in message
    assert found.pressures == {"MemoryPressure"}
    assert found.turn() == []
    assert "modest" in agent.pods
    lab.cgroups.ensure_tree(NodeReservations(2000, 8 << 30))


def test_a_container_that_writes_beyond_its_storage_limit_is_evicted(agent: Agent) -> None:
    script = "dd if=/dev/zero of=/tmp/f bs=1M count=5 2>/dev/null; sync; sleep 1000"
    limit = {"limits": {"ephemeral-storage": "2Mi"}}
    agent.start("writer", "sh", "-c", script, resources=limit)

    def written() -> bool:
        return agent.measure([agent.pods["writer"]])["writer"].disk > 4 * MI

    until(written, "the runtime has counted what was written", timeout=30)
    evicted = evictor(agent, {}).turn()
    assert [e.signal for e in evicted] == ["ephemeralpodfs.limit"]
    assert "ephemeral local storage usage exceeds" in evicted[0].message


def test_a_full_disk_is_swept_first_and_static_pods_stay_whatever_happens(agent: Agent) -> None:
    agent.start("static")
    agent.pods["static"]["metadata"]["annotations"] = {"kubernetes.io/config.source": "file"}
    found = evictor(agent, {"nodefs.available": "99.9%"})  # as good as full
    assert found.turn() == []
    assert agent.reclaimed == ["ephemeral-storage"]
    assert found.pressures == {"DiskPressure"}
    assert agent.evicted == []

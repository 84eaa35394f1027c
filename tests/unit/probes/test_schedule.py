"""Which probe is due when, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pykubelet.kubelet.probes.schedule import ProbeResult, RunningContainer, Schedule, Task
from pykubelet.kubelet.probes.state import Kind, Outcome

Json = dict[str, Any]

OK, BAD = Outcome.SUCCESS, Outcome.FAILURE


def pod(*containers: Json, **spec: Any) -> Json:
    return {
        "metadata": {"uid": "u1", "name": "web", "namespace": "default"},
        "spec": {"containers": list(containers), **spec},
    }


def container(name: str = "web", **probes: Json) -> Json:
    return {"name": name, **{f"{kind}Probe": {"exec": {}, **p} for kind, p in probes.items()}}


class World:
    """Virtual time, and answers by a rule: from (kind, container name, time) to an outcome."""

    def __init__(self, rule: Callable[[str, str, float], Outcome], jitter: float = 0.0) -> None:
        self.now = 1000.0
        self.rule = rule
        self.schedule = Schedule(self.now, lambda: jitter)
        self.asked: list[tuple[str, float]] = []
        self.changes: list[float] = []

    def sync(
        self,
        pod: Json,
        started: float = 0.0,
        stopping: bool = False,
        id: str = "c1",
        known: bool = False,
    ) -> list[Task]:
        """All of the pod's containers run since `started` seconds after the world began; `known` to
        have been started and ready before that."""
        names = [c["name"] for c in (*pod["spec"].get("initContainers", ()),
                                     *pod["spec"]["containers"])]  # fmt: skip
        running = {
            name: (RunningContainer(f"{id}-{name}", 0, known, known), 1000.0 + started)
            for name in names
        }
        return self.schedule.sync(pod, running, "10.0.0.1", stopping, self.now)

    def run(self, until: float) -> None:
        """Play until so many seconds after the world began; an answer takes no time."""
        while (due := self.schedule.next_due()) is not None and due <= 1000.0 + until:
            self.now = max(self.now, due)
            for task in self.schedule.take_due(self.now):
                kind = task.spec.kind.value
                self.asked.append((kind, self.now - 1000))
                outcome = self.rule(kind, task.container, self.now - 1000)
                if self.schedule.answered(task, outcome, "out", self.now):
                    self.changes.append(self.now - 1000)
        self.now = 1000.0 + until

    def result(self, name: str = "web") -> ProbeResult:
        return self.schedule.results("u1")[name]

    def times(self, kind: str) -> list[float]:
        return [at for of, at in self.asked if of == kind]


def always(outcome: Outcome) -> Callable[[str, str, float], Outcome]:
    return lambda kind, name, at: outcome


def test_a_container_without_probes_is_well_and_costs_no_entry() -> None:
    world = World(always(BAD))
    world.sync(pod(container()))
    assert world.result() == ProbeResult(True, True, True)
    assert world.schedule.next_due() is None


def test_before_its_first_answer_a_container_is_live_and_not_ready() -> None:
    world = World(always(OK))
    world.sync(pod(container(liveness={}, readiness={})))
    assert world.result() == ProbeResult(started=True, ready=False, live=True)


def test_before_its_startup_probe_passes_a_container_is_not_started() -> None:
    world = World(always(OK))
    world.sync(pod(container(startup={})))
    assert world.result() == ProbeResult(started=False, ready=False, live=True)
    world.run(0)
    assert world.result() == ProbeResult(started=True, ready=True, live=True)


def test_the_first_answer_is_asked_for_at_once_and_then_every_period() -> None:
    world = World(always(OK))
    world.sync(pod(container(readiness={"periodSeconds": 5})))
    world.run(16)
    assert world.times("readiness") == [0, 5, 10, 15]
    assert world.changes == [0]


def test_the_initial_delay_counts_from_the_containers_start() -> None:
    world = World(always(OK))
    world.sync(pod(container(liveness={"initialDelaySeconds": 30})), started=2)
    world.run(45)
    assert world.times("liveness") == [32, 42]


def test_other_probes_wait_for_the_startup_probe() -> None:
    world = World(lambda kind, name, at: OK if kind != "startup" or at >= 20 else BAD)
    world.sync(
        pod(container(startup={"failureThreshold": 30}, liveness={}, readiness={})),
    )
    world.run(35)
    assert world.times("startup") == [0, 10, 20]
    assert world.times("liveness") == [20, 30]
    assert world.times("readiness") == [20, 30]
    assert world.result() == ProbeResult(True, True, True)


def test_a_failed_liveness_probe_asks_for_the_kill_once_and_holds_until_a_new_container() -> None:
    world = World(always(BAD))
    web = pod(container(liveness={"terminationGracePeriodSeconds": 7}))
    world.sync(web)
    world.run(100)
    assert world.times("liveness") == [0, 10, 20]
    assert world.result() == ProbeResult(
        True, True, False, "Liveness probe failed: out", "liveness", 7
    )
    assert world.changes == [20]
    world.rule = always(OK)
    world.sync(web, started=100, id="c2")
    assert world.result() == ProbeResult(True, True, True)
    world.run(105)
    assert world.times("liveness")[-1] == 100


def test_a_failed_startup_probe_is_named_as_the_cause() -> None:
    world = World(always(BAD))
    world.sync(pod(container(startup={"failureThreshold": 1}, liveness={})))
    world.run(50)
    assert world.result().failed_probe == "startup"
    assert not world.result().live
    assert world.times("liveness") == []


def test_readiness_that_is_lost_says_why_and_comes_back() -> None:
    world = World(lambda kind, name, at: BAD if 10 <= at < 50 else OK)
    world.sync(pod(container(readiness={})))
    world.run(35)
    assert world.result() == ProbeResult(True, False, True, "Readiness probe failed: out")
    world.run(55)
    assert world.result() == ProbeResult(True, True, True)
    assert world.changes == [0, 30, 50]


def test_a_terminating_pod_is_asked_for_readiness_only() -> None:
    world = World(always(OK))
    web = pod(container(liveness={}, readiness={}))
    world.sync(web)
    world.run(15)
    world.rule = always(BAD)
    world.sync(web, stopping=True)
    world.run(100)
    assert max(world.times("liveness")) == 10
    assert max(world.times("readiness")) == 100
    assert world.result() == ProbeResult(True, False, True, "Readiness probe failed: out")


def test_a_container_that_stopped_running_is_asked_no_more() -> None:
    world = World(always(OK))
    web = pod(container(readiness={}))
    world.sync(web)
    world.run(5)
    dropped = world.schedule.sync(web, {}, "", False, world.now)
    assert [task.spec.kind for task in dropped] == [Kind.READINESS]
    assert world.schedule.results("u1") == {}
    assert world.schedule.next_due() is None


def test_an_answer_that_comes_after_its_container_is_gone_changes_nothing() -> None:
    world = World(always(OK))
    world.sync(pod(container(readiness={})))
    (task,) = world.schedule.take_due(world.now)
    world.schedule.forget("u1")
    assert world.schedule.answered(task, OK, "", world.now) is False
    assert world.schedule.next_due() is None


def test_looking_again_moves_no_due_time_and_never_asks_twice_at_once() -> None:
    world = World(always(OK))
    web = pod(container(readiness={}))
    world.sync(web)
    (task,) = world.schedule.take_due(world.now)
    world.sync(web)
    assert world.schedule.next_due() is None
    world.schedule.answered(task, OK, "", world.now + 3)
    world.sync(web)
    assert world.schedule.next_due() == 1010


def test_an_answer_slower_than_its_period_is_followed_by_the_next_at_once() -> None:
    world = World(always(OK))
    world.sync(pod(container(readiness={"periodSeconds": 1})))
    (task,) = world.schedule.take_due(world.now)
    world.schedule.answered(task, OK, "", world.now + 5)
    assert world.schedule.next_due() == 1005


def test_a_pods_address_may_come_later() -> None:
    world = World(always(OK))
    web = pod(container(readiness={}))
    running = {"web": (RunningContainer("c", 0), 1000.0)}
    world.schedule.sync(web, running, "", False, world.now)
    world.schedule.sync(web, running, "10.9.9.9", False, world.now)
    (task,) = world.schedule.take_due(world.now)
    assert task.target.ip == "10.9.9.9"


def test_sidecars_are_probed_and_plain_init_containers_are_not() -> None:
    world = World(always(OK))
    sidecar = {**container("side", readiness={}), "restartPolicy": "Always"}
    world.sync(pod(container(), initContainers=[sidecar, container("init", readiness={})]))
    world.run(0)
    assert set(world.schedule.results("u1")) == {"side", "web"}
    assert world.result("side").ready


def test_after_an_agents_restart_adopted_containers_begin_spread_over_their_period() -> None:
    world = World(always(OK), jitter=0.5)
    web = pod(container(readiness={"periodSeconds": 20}))
    world.sync(web, started=-500)
    world.run(50)
    assert world.times("readiness") == [10, 30, 50]


def test_a_new_container_is_asked_at_once_even_right_after_the_agents_start() -> None:
    world = World(always(OK), jitter=0.5)
    world.sync(pod(container(readiness={})), started=0)
    world.run(1)
    assert world.times("readiness") == [0]


def test_an_adopted_container_stays_started_and_ready_until_a_probe_says_otherwise() -> None:
    """Complaint 13: a restart of the agent means to adopt, not to begin again."""
    world = World(always(BAD), jitter=0.5)
    web = pod(container(startup={}, readiness={"failureThreshold": 1}))
    world.sync(web, started=-500, known=True)
    assert world.result() == ProbeResult(True, True, True)
    world.run(10)
    assert world.times("startup") == []
    assert world.result().ready is False

"""Thousands of pods' lives in virtual time: whatever goes wrong, what must never happen never does,
and when the trouble is over everything comes to rest where it belongs."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pykubelet.errors import Failed
from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.pods.snapshot import Verdict
from pykubelet.kubelet.runtime.model import ContainerState
from tests.unit.pods.simulation import Behaviour, SimNode, Trouble

Json = dict[str, Any]

#: When the trouble ends, and how long it may take to come to rest: the longest back-off and some.
CALM, REST = 60.0, 800.0

lives = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)


def container(name: str, **more: Any) -> Json:
    return {"name": name, "image": "image:1", **more}


def random_pod(random: Random, uid: str, name: str) -> Json:
    inits: list[Json] = []
    for number in range(random.choice([0, 0, 1, 2, 3])):
        sidecar = {"restartPolicy": "Always"} if random.random() < 0.5 else {}
        inits.append(container(f"init{number}", **sidecar))
    for each in inits:
        if "restartPolicy" in each and random.random() < 0.5:
            each["startupProbe"] = {"exec": {"command": ["true"]}}
    made = container
    regular = [made(f"main{number}") for number in range(random.choice([1, 1, 2, 3]))]
    if random.random() < 0.3:
        regular[0]["livenessProbe"] = {"exec": {"command": ["true"]}}
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": uid,
            "annotations": {spec.CONFIG_SOURCE: "file"},
        },
        "spec": {
            "restartPolicy": random.choice(["Always", "Always", "OnFailure", "Never"]),
            "terminationGracePeriodSeconds": random.choice([0, 1, 5, 30]),
            "initContainers": inits,
            "containers": regular,
        },
    }


class Fate:
    """Decides, from a seed, what containers do and which calls go wrong until the calm."""

    def __init__(self, random: Random, node: SimNode, rate: float) -> None:
        self.random, self.node, self.rate = random, node, rate

    def behave(self, pod: Json, name: str) -> Behaviour:
        random, calm = self.random, self.node.time.now >= CALM
        stops_in = random.choice([0.01, 0.5, 3.0, 100.0])
        kind, declared = next((k, c) for k, c in spec.containers(pod) if c["name"] == name)
        starts_up_in = random.uniform(0, 3) if "startupProbe" in declared else 0.0
        task = kind is spec.Kind.INIT or (
            kind is spec.Kind.REGULAR and spec.restart_policy(pod) != "Always"
        )
        if task:
            code = 0 if calm or random.random() < 0.7 else random.choice([1, 137])
            return Behaviour(random.uniform(0.01, 8), code, stops_in)
        if calm:
            return Behaviour(stops_in=stops_in, starts_up_in=starts_up_in)
        sick = random.uniform(1, 20) if "livenessProbe" in declared else None
        crashes = random.uniform(0.05, 30) if random.random() < 0.4 else None
        return Behaviour(crashes, random.choice([0, 1]), stops_in, sick, starts_up_in)

    def trouble(self, call: str) -> Trouble | None:
        if self.node.time.now >= CALM or self.random.random() > self.rate:
            return None
        if self.random.random() < 0.5:
            return Trouble(error=Failed(f"{call} failed"))
        late = self.random.choice([None, 0.0, 1.0, 5.0])
        return Trouble(hangs=self.random.choice([0.5, 2.0]), late=late)


def node_of(seed: int, rate: float, pods: int = 1) -> tuple[SimNode, list[Json], Fate]:
    random = Random(seed)
    node = SimNode(random)
    fate = Fate(random, node, rate)
    made = [random_pod(random, f"uid-{n}", f"pod-{n}") for n in range(pods)]
    by_uid = {spec.uid(p): p for p in made}
    everything = {c["name"]: p for p in made for _, c in spec.containers(p)}
    node.runtime.behave = lambda name, attempt: fate.behave(everything[name], name)
    node.runtime.trouble = fate.trouble
    node.relist_every(60.0)
    assert by_uid
    return node, made, fate


def at_rest(node: SimNode, pod: Json) -> str:
    """Empty where the pod is where it belongs, else what is wrong."""
    uid = spec.uid(pod)
    status = node.status(uid)
    phase = status.get("phase")
    policy = spec.restart_policy(pod)
    found = node.runtime.now(uid).get(uid)
    running = sorted(c.name for c in node.runtime.running(uid))
    sidecars = sorted(c["name"] for c in spec.init_containers(pod) if spec.is_sidecar(c))
    regular = sorted(c["name"] for c in spec.regular_containers(pod))
    if policy == "Always":
        if phase != "Running" or running != sorted(sidecars + regular):
            return f"{phase}, {running} run"
        ready = next(c for c in status["conditions"] if c["type"] == "Ready")
        return "" if ready["status"] == "True" else f"not ready: {ready}"
    if phase not in ("Succeeded", "Failed") or running:
        return f"{phase}, {running} run"
    if policy == "OnFailure" and phase != "Succeeded":
        return "Failed although everything succeeded in the end"
    if found and any(b.ready for b in found.sandboxes):
        return "its sandbox is still there"
    return ""


def check(node: SimNode) -> None:
    assert node.rules.violations == []


@lives
@given(st.integers(0, 2**32))
def test_a_pod_comes_to_rest_after_any_trouble(seed: int) -> None:
    node, (pod,), _ = node_of(seed, rate=0.15)
    node.want(pod)
    node.time.run(CALM + REST)
    check(node)
    assert at_rest(node, pod) == "", node.manager.records()[0].decision


@lives
@given(st.integers(0, 2**32))
def test_an_agent_killed_at_any_moment_goes_on_where_it_was(seed: int) -> None:
    node, (pod,), fate = node_of(seed, rate=0.05)
    node.want(pod)
    for _ in range(4):
        node.time.run(node.time.now + fate.random.uniform(0.001, 6.0))
        node.restart_agent()
    node.time.run(CALM + REST)
    check(node)
    assert at_rest(node, pod) == "", node.manager.records()[0].decision


@lives
@given(st.integers(0, 2**32))
def test_a_pod_that_nobody_wants_is_gone_whenever_it_was_taken_away(seed: int) -> None:
    node, (pod,), fate = node_of(seed, rate=0.1)
    node.want(pod)
    node.time.run(fate.random.uniform(0.0, 20.0))
    node.want()
    if fate.random.random() < 0.3:
        node.time.run(node.time.now + fate.random.uniform(0.0, 3.0))
        node.restart_agent()
    node.time.run(CALM + REST)
    check(node)
    assert node.runtime.now() == {}
    assert node.manager.records() == []
    assert node.memory.kept == {}


@lives
@given(st.integers(0, 2**32))
def test_edits_come_true_one_after_the_other_however_quick(seed: int) -> None:
    """Complaint: an edited static pod starts before the old one is gone; edited twice it sticks."""
    node, (pod,), fate = node_of(seed, rate=0.08)
    node.want(pod)
    last = pod
    for number in range(fate.random.choice([1, 2, 4])):
        node.time.run(node.time.now + fate.random.uniform(0.0, 10.0))
        uid = fate.random.choice(["uid-0", f"uid-{number + 1}"])
        changes = {"image": f"image:{number}", "env": [{"name": "N", "value": str(number)}]}
        edited = [{**c, **changes} for c in pod["spec"]["containers"]]
        last = {
            "metadata": {**pod["metadata"], "uid": uid},
            "spec": {**pod["spec"], "containers": edited},
        }
        node.want(last)
    node.time.run(CALM + REST)
    check(node)
    assert at_rest(node, last) == "", node.manager.records()[0].decision
    assert set(node.runtime.now()) == {spec.uid(last)}
    assert node.manager.pod(spec.uid(last))["spec"] == last["spec"]  # type: ignore[index]


@lives
@given(st.integers(0, 2**32))
def test_a_lost_sandbox_and_a_silent_runtime_are_got_over(seed: int) -> None:
    node, (pod,), fate = node_of(seed, rate=0.05)
    node.want(pod)
    for _ in range(3):
        node.time.run(node.time.now + fate.random.uniform(0.1, 10.0))
        if fate.random.random() < 0.5:
            for id in list(node.runtime.sandboxes):
                node.runtime.lose_sandbox(id)
        else:
            node.runtime.down = True
            node.time.run(node.time.now + fate.random.uniform(0.1, 15.0))
            node.runtime.down = False
    node.time.run(CALM + REST)
    check(node)
    assert at_rest(node, pod) == "", node.manager.records()[0].decision


def service(**more: Any) -> Json:
    pod = random_pod(Random(1), "uid-0", "web")
    pod["spec"] = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 5,
        "containers": [container("main")],
        **more,
    }
    return pod


def test_a_quiet_pod_costs_no_turns() -> None:
    node = SimNode(Random(1))
    node.want(service())
    node.time.run(10.0)
    before = sum(node.rules.turns.values())
    node.time.run(10_000.0)
    assert sum(node.rules.turns.values()) == before


def test_a_healthy_container_survives_any_number_of_agents() -> None:
    """Complaint: static pods are killed when the agent is upgraded."""
    node = SimNode(Random(1))
    node.want(service())
    node.time.run(5.0)
    before = dict(node.runtime.containers)
    assert len(before) == 1
    for _ in range(10):
        node.restart_agent()
        node.time.run(node.time.now + 5.0)
        assert node.status("uid-0")["phase"] == "Running"
    assert node.runtime.containers == before


def test_readiness_outlives_the_agent() -> None:
    node = SimNode(Random(1))
    node.want(service())
    node.time.run(5.0)
    before = node.status("uid-0")
    node.restart_agent()
    node.time.run(5.5)
    assert node.status("uid-0") == before


def test_a_crash_loop_waits_10_20_40_seconds() -> None:
    node = SimNode(Random(1))
    starts: list[float] = []

    def crash(name: str, attempt: int) -> Behaviour:
        starts.append(node.time.now)
        return Behaviour(lives=0.5, code=1)

    node.runtime.behave = crash
    node.want(service())
    node.time.run(100.0)
    waits = [round(b - a) for a, b in pairwise(starts)]
    assert waits == [1, 11, 21, 41]
    waiting = node.status("uid-0")["containerStatuses"][0]["state"]["waiting"]
    assert waiting["reason"] == "CrashLoopBackOff"
    assert waiting["message"].startswith("back-off 1m20s restarting failed container=main pod=web_")


def test_a_pod_that_ran_to_its_end_never_runs_again() -> None:
    """Neither when its dead containers are collected, nor after a restart of the agent."""
    node = SimNode(Random(1))
    node.runtime.behave = lambda name, attempt: Behaviour(lives=1.0, code=3)
    node.want(service(restartPolicy="Never"))
    node.time.run(20.0)
    before = node.status("uid-0")
    assert before["phase"] == "Failed"
    assert before["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    node.runtime.containers.clear()
    node.runtime.sandboxes.clear()
    node.manager.turns.task(node.manager.relist)
    node.time.run(40.0)
    node.restart_agent()
    node.time.run(80.0)
    for key in ("phase", "containerStatuses"):
        assert node.status("uid-0")[key] == before[key]
    assert node.runtime.now() == {}


def test_an_end_can_be_hastened() -> None:
    node = SimNode(Random(1))
    node.runtime.behave = lambda name, attempt: Behaviour(stops_in=1000.0)
    node.want(service(terminationGracePeriodSeconds=30))
    node.time.run(5.0)
    node.want()
    node.time.run(7.0)
    assert node.runtime.running("uid-0")
    node.manager.end("uid-0", Verdict("Evicted", "low on memory", grace=1))
    node.time.run(9.0)
    assert not node.runtime.running("uid-0")
    node.time.run(20.0)
    assert node.runtime.now() == {}


def test_a_start_that_hangs_on_one_pod_leaves_the_others_alone() -> None:
    """Complaint: one hanging pod makes the node NotReady."""
    node = SimNode(Random(1))
    hung = service()
    others = [
        {**hung, "metadata": {**hung["metadata"], "uid": f"u{n}", "name": f"p{n}"}}
        for n in range(5)
    ]
    first = iter([Trouble(hangs=10_000.0, late=None)])
    node.runtime.trouble = lambda call: next(first, None) if call == "RunPodSandbox" else None
    node.want(hung)
    node.time.run(1.0)
    node.want(hung, *others)
    node.time.run(10.0)
    assert all(node.status(f"u{n}")["phase"] == "Running" for n in range(5))
    assert node.status("uid-0")["phase"] == "Pending"


@pytest.mark.parametrize("state", [ContainerState.CREATED, ContainerState.UNKNOWN])
def test_a_container_left_half_made_is_replaced_or_ended(state: ContainerState) -> None:
    from dataclasses import replace

    node = SimNode(Random(1))
    node.want(service())
    node.time.run(5.0)
    (id,) = node.runtime.containers
    node.runtime.containers[id] = replace(node.runtime.containers[id], state=state)
    node.want()
    node.time.run(60.0)
    assert node.runtime.now() == {} or state is ContainerState.UNKNOWN

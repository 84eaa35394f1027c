"""What is said of a pod: phase, conditions, containers' states, in upstream's words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pykubelet.clock import rfc3339
from pykubelet.kubelet.pods.container_status import Facts
from pykubelet.kubelet.pods.snapshot import Failure, Snapshot, StartContainer, Verdict
from pykubelet.kubelet.pods.status import compose
from pykubelet.kubelet.probes.schedule import ProbeResult
from pykubelet.kubelet.runtime.model import Container
from tests.unit.pods.values import (
    CREATED,
    EXITED,
    NOW,
    WALL,
    busy,
    declared,
    made,
    pod,
    sandbox,
    snap,
)

Json = dict[str, Any]

INIT = declared("init")
SIDECAR = declared("proxy", restartPolicy="Always")
FACTS = Facts(host_ips=("192.0.2.1",))


def said(s: Snapshot, previous: Json | None = None, facts: Facts = FACTS) -> Json:
    return compose(s, facts, previous or {})


def condition(status: Json, kind: str) -> Json:
    return next(c for c in status["conditions"] if c["type"] == kind)


def state(status: Json, name: str = "main") -> Json:
    lists = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    return next(c for each in lists for c in status.get(each) or () if c["name"] == name)


# -- phase --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "found", "phase"),
    [
        ("Always", [], "Pending"),
        ("Always", [("main", "running")], "Pending"),  # the second has not started
        ("Always", [("main", "running"), ("b", "running")], "Running"),
        ("Always", [("main", 1), ("b", "running")], "Running"),
        ("Always", [("main", 1), ("b", 0)], "Running"),
        ("OnFailure", [("main", 0), ("b", 1)], "Running"),
        ("OnFailure", [("main", 0), ("b", 0)], "Succeeded"),
        ("Never", [("main", 0), ("b", 1)], "Failed"),
        ("Never", [("main", 0), ("b", 0)], "Succeeded"),
        ("Never", [("main", 0), ("b", "running")], "Running"),
        ("Never", [("main", 0)], "Pending"),
    ],
)
def test_the_phase_follows_the_containers(policy: str, found: list[Any], phase: str) -> None:
    it = pod(declared(), declared("b"), restartPolicy=policy)
    containers: list[Container] = [
        made(name) if how == "running" else made(name, EXITED, how) for name, how in found
    ]
    assert said(snap(it, sandbox(), *containers))["phase"] == phase


@pytest.mark.parametrize(
    ("policy", "found", "phase"),
    [
        ("Always", [made("init")], "Pending"),
        ("Always", [made("init", EXITED, 1)], "Pending"),
        ("Never", [made("init", EXITED, 1)], "Failed"),
        ("Always", [made("init", EXITED, 0)], "Pending"),
        ("Always", [made("init", EXITED, 0), made()], "Running"),
    ],
)
def test_init_containers_hold_it_pending(policy: str, found: list[Container], phase: str) -> None:
    it = pod(init=(INIT,), restartPolicy=policy)
    assert said(snap(it, sandbox(), *found))["phase"] == phase


def test_a_terminal_phase_is_said_when_nothing_runs_any_more() -> None:
    it = pod(init=(SIDECAR,), restartPolicy="Never")
    s = snap(it, sandbox(), made("proxy"), made("main", EXITED), ended="Succeeded")
    assert said(s)["phase"] == "Running"
    s = snap(it, sandbox(), made("proxy", EXITED, 137), made("main", EXITED), ended="Succeeded")
    assert said(s)["phase"] == "Succeeded"
    s = snap(pod(), sandbox(), made(), verdict=Verdict("Evicted", "low on memory"))
    assert (said(s)["phase"], said(s)["reason"]) == ("Running", "Evicted")
    s = snap(pod(), sandbox(), made("main", EXITED), verdict=Verdict("Evicted", "low on memory"))
    assert said(s)["phase"] == "Failed"


def test_nothing_comes_back_from_a_terminal_phase() -> None:
    previous = {"phase": "Failed", "reason": "DeadlineExceeded", "message": "too long"}
    status = said(snap(pod(), sandbox(), made()), previous)
    assert (status["phase"], status["reason"], status["message"]) == tuple(previous.values())


def test_of_a_refused_pod_only_the_refusal_is_said() -> None:
    s = snap(pod(), verdict=Verdict("NodeAffinity", "no such node"), active_since=None)
    assert said(s) == {
        "qosClass": "BestEffort",
        "phase": "Failed",
        "reason": "NodeAffinity",
        "message": "no such node",
    }


# -- conditions ---------------------------------------------------------------------------------


def test_the_conditions_of_a_pod_that_is_well() -> None:
    status = said(snap(pod(init=(INIT,)), sandbox(), made("init", EXITED), made()))
    assert [(c["type"], c["status"]) for c in status["conditions"]] == [
        ("PodReadyToStartContainers", "True"),
        ("Initialized", "True"),
        ("Ready", "True"),
        ("ContainersReady", "True"),
        ("PodScheduled", "True"),
    ]
    assert all(c["lastTransitionTime"] == rfc3339(WALL) for c in status["conditions"])


def test_a_transition_time_stays_until_the_value_changes() -> None:
    s = snap(pod(), sandbox(), made())
    first = said(s)
    later = said(replace(s, wall=WALL + 60), first)
    assert later == first
    unready = {"main": ProbeResult(True, False, True)}
    third = said(replace(s, wall=WALL + 90, health=unready), later)
    assert condition(third, "Ready")["lastTransitionTime"] == rfc3339(WALL + 90)
    assert condition(third, "PodScheduled")["lastTransitionTime"] == rfc3339(WALL)


def test_what_is_not_ready_is_named() -> None:
    it = pod(declared("a"), declared("b"), init=(INIT,))
    status = said(snap(it, sandbox(), made("init")))
    initialized = condition(status, "Initialized")
    assert initialized["reason"] == "ContainersNotInitialized"
    assert initialized["message"] == "containers with incomplete status: [init]"
    for kind in ("Ready", "ContainersReady"):
        assert condition(status, kind)["reason"] == "ContainersNotReady"
        assert condition(status, kind)["message"] == "containers with unready status: [a b]"


@pytest.mark.parametrize(
    ("code", "reason", "initialized"), [(0, "PodCompleted", "PodCompleted"), (1, "PodFailed", None)]
)
def test_the_conditions_of_a_pod_at_its_end(
    code: int, reason: str, initialized: str | None
) -> None:
    status = said(snap(pod(restartPolicy="Never"), sandbox(), made("main", EXITED, code)))
    assert condition(status, "Ready")["reason"] == reason
    assert condition(status, "ContainersReady")["reason"] == reason
    assert condition(status, "Initialized").get("reason") == initialized


def test_readiness_gates_are_others_conditions() -> None:
    it = pod(readinessGates=[{"conditionType": "up"}, {"conditionType": "paid"}])
    it["status"] = {"conditions": [{"type": "paid", "status": "False"}]}
    ready = condition(said(snap(it, sandbox(), made())), "Ready")
    assert ready["reason"] == "ReadinessGatesNotReady"
    assert 'corresponding condition of pod readiness gate "up" does not exist.' in ready["message"]
    assert 'readiness gate "paid" is not "True", but False' in ready["message"]
    it["status"]["conditions"] = [{"type": t, "status": "True"} for t in ("up", "paid")]
    status = said(snap(it, sandbox(), made()))
    assert condition(status, "Ready")["status"] == "True"
    assert condition(status, "up")["status"] == "True", "they are kept"


def test_addresses_are_the_sandboxes_or_the_hosts() -> None:
    status = said(snap(pod(), sandbox(), made()))
    assert (status["podIP"], status["hostIP"]) == ("10.0.0.5", "192.0.2.1")
    assert said(snap(pod(hostNetwork=True), sandbox(), made()))["podIP"] == "192.0.2.1"
    assert "podIP" not in said(snap(pod()))
    assert "podIP" not in said(snap(pod(), sandbox(ready=False), released=True))


# -- containers ---------------------------------------------------------------------------------


def test_what_a_container_waits_for() -> None:
    assert state(said(snap(pod())))["state"] == {"waiting": {"reason": "ContainerCreating"}}
    it = pod(init=(INIT,))
    assert state(said(snap(it)))["state"] == {"waiting": {"reason": "PodInitializing"}}
    failures = {"StartContainer:main": Failure("ErrImagePull", "no such image", NOW + 1)}
    waiting = state(said(snap(pod(), sandbox(), failures=failures)))["state"]["waiting"]
    assert waiting == {"reason": "ErrImagePull", "message": "no such image"}


def test_a_crash_loop_is_named_once_what_failed_has_been_shown() -> None:
    s = snap(
        pod(),
        sandbox(),
        made("main", EXITED, 128),
        restart_at={"main": NOW + 10},
        failures={"StartContainer:main": Failure("RunContainerError", "no such file", NOW + 1)},
    )
    facts = replace(FACTS, backoff={"main": 80.0})
    assert state(said(s, facts=facts))["state"]["waiting"]["reason"] == "RunContainerError"
    status = state(said(replace(s, now=NOW + 1), facts=facts))
    assert status["state"]["waiting"] == {
        "reason": "CrashLoopBackOff",
        "message": "back-off 1m20s restarting failed container=main pod=web_default(u)",
    }
    assert status["lastState"]["terminated"]["exitCode"] == 128


def test_a_pod_that_ends_backs_off_no_more() -> None:
    s = snap(pod(), sandbox(), made("main", EXITED, 1), restart_at={"main": NOW + 10})
    assert "waiting" in state(said(s))["state"]
    for ending in (replace(s, wanted=False), replace(s, verdict=Verdict("Evicted", "x"))):
        assert "terminated" in state(said(ending))["state"]


def test_the_last_attempt_is_told_beside_the_one_that_runs() -> None:
    s = snap(pod(), sandbox(), made("main", EXITED, 3, reason="OOMKilled"), made("main", attempt=1))
    status = state(said(s, facts=replace(FACTS, messages={"main-0": "farewell"})))
    assert status["restartCount"] == 1
    assert status["containerID"] == "containerd://main-1"
    assert "running" in status["state"]
    assert status["lastState"]["terminated"] == {
        "exitCode": 3,
        "reason": "OOMKilled",
        "message": "farewell",
        "startedAt": rfc3339(WALL),
        "finishedAt": rfc3339(WALL),
        "containerID": "containerd://main-0",
    }


def test_a_container_that_was_not_asked_yet_is_not_ready() -> None:
    probe = {"exec": {"command": ["x"]}}
    status = state(said(snap(pod(declared(readinessProbe=probe)), sandbox(), made())))
    assert (status["started"], status["ready"]) == (True, False)
    status = state(said(snap(pod(declared(startupProbe=probe)), sandbox(), made())))
    assert (status["started"], status["ready"]) == (False, False)


def test_a_container_runs_once_its_post_start_hook_is_over() -> None:
    hooked = pod(declared(lifecycle={"postStart": {"exec": {"command": ["x"]}}}))
    s = snap(hooked, sandbox(), made(), busy=busy(StartContainer("main", 0)))
    status = state(said(s))
    assert status["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert (status["started"], status["ready"]) == (False, False)
    assert state(said(replace(s, busy={})))["ready"] is True


def test_an_init_container_is_ready_when_it_is_done_and_a_sidecar_when_it_runs() -> None:
    it = pod(init=(INIT, SIDECAR))
    s = snap(it, sandbox(), made("init", EXITED), made("proxy"), made())
    status = said(s)
    assert (state(status, "init")["ready"], state(status, "init")["started"]) == (True, False)
    assert (state(status, "proxy")["ready"], state(status, "proxy")["started"]) == (True, True)


def test_one_that_was_only_created_waits() -> None:
    status = state(said(snap(pod(), sandbox(), made("main", CREATED))))
    assert "waiting" in status["state"]
    assert status["ready"] is False


def test_a_resize_under_way_is_a_condition() -> None:
    s = snap(pod(), sandbox(), made(), resize={"main": {"cpu"}})
    assert condition(said(s), "PodResizeInProgress")["status"] == "True"
    failed = replace(s, failures={"ResizeContainer:main": Failure("Failed", "too big", NOW + 1)})
    assert condition(said(failed), "PodResizeInProgress")["reason"] == "Error"
    done = said(replace(s, resize={}), said(s))
    assert all(c["type"] != "PodResizeInProgress" for c in done["conditions"])

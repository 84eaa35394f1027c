"""What runs before the regular containers, and beside them: order, retries, gates, ends."""

from __future__ import annotations

import pytest

from tests.support.agent import SLEEP, AgentProcess, container, pod
from tests.support.waiting import until

pytestmark = pytest.mark.root

#: A volume in which containers of a pod note what they do, in order.
DIARY = {"volumes": [{"name": "diary", "emptyDir": {}}]}


def writing(name: str, script: str, **more: object) -> dict[str, object]:
    mounts = [{"name": "diary", "mountPath": "/diary"}]
    return container(name, script, volumeMounts=mounts, **more)


def diary(agent: AgentProcess, name: str, container: str = "main") -> list[str]:
    return agent.exec(name, "cat", "/diary/all", container=container).split()


def test_init_containers_run_one_by_one_in_order_before_the_rest(agent: AgentProcess) -> None:
    agent.drop(
        "ordered.yaml",
        pod(
            "ordered",
            writing("main", f"echo main >> /diary/all; {SLEEP}"),
            initContainers=[
                writing("first", "sleep 0.3; echo first >> /diary/all"),
                writing("second", "echo second >> /diary/all"),
            ],
            **DIARY,
        ),
    )
    agent.wait_ready("ordered")
    assert diary(agent, "ordered") == ["first", "second", "main"]
    found = agent.pod("ordered")
    assert found
    for status in found["status"]["initContainerStatuses"]:
        assert status["state"]["terminated"]["reason"] == "Completed"
        assert status["ready"] is True
        assert status["started"] is False


def test_a_failing_init_container_is_tried_again_until_it_succeeds(agent: AgentProcess) -> None:
    again = "echo x >> /diary/all; test $(wc -l < /diary/all) -ge 2"
    agent.drop("again.yaml", pod("again", initContainers=[writing("init", again)], **DIARY))
    agent.wait_ready("again")
    assert agent.status("again", "init")["restartCount"] == 1


def test_an_init_container_that_fails_under_never_fails_the_pod(agent: AgentProcess) -> None:
    agent.drop(
        "failing.yaml",
        pod("failing", initContainers=[container("init", "exit 7")], restartPolicy="Never"),
    )
    found = agent.wait_for_phase("failing", "Failed")
    assert agent.status("failing", "init")["state"]["terminated"]["exitCode"] == 7
    assert agent.status("failing", "main")["state"]["waiting"]["reason"] == "PodInitializing"
    initialized = next(c for c in found["status"]["conditions"] if c["type"] == "Initialized")
    assert initialized["reason"] == "ContainersNotInitialized"
    assert initialized["message"] == "containers with incomplete status: [init]"


def test_a_sidecar_gates_what_follows_by_its_startup_probe(agent: AgentProcess) -> None:
    sidecar = writing(
        "proxy",
        f"sleep 1; echo proxy >> /diary/all; touch /tmp/up; {SLEEP}",
        restartPolicy="Always",
        startupProbe={
            "exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1,
            "failureThreshold": 30,
        },
    )  # fmt: skip
    agent.drop(
        "gated.yaml",
        pod(
            "gated",
            writing("main", f"echo main >> /diary/all; {SLEEP}"),
            initContainers=[sidecar, writing("init", "echo init >> /diary/all")],
            **DIARY,
        ),
    )
    agent.wait_ready("gated")
    assert diary(agent, "gated") == ["proxy", "init", "main"]
    assert agent.status("gated", "proxy")["started"] is True


def test_a_sidecar_that_ends_comes_back_while_the_pod_lives(agent: AgentProcess) -> None:
    sidecar = writing(
        "proxy",
        f"echo x >> /diary/all; test $(wc -l < /diary/all) -ge 2 || exit 0; {SLEEP}",
        restartPolicy="Always",
    )
    agent.drop(
        "back.yaml",
        pod("back", initContainers=[sidecar], restartPolicy="Never", **DIARY),
    )
    agent.wait_ready("back")
    until(lambda: agent.status("back", "proxy")["restartCount"] == 1, "the sidecar is back")
    assert agent.status("back", "main")["restartCount"] == 0


def test_sidecars_stop_after_the_rest_the_last_started_first(agent: AgentProcess) -> None:
    """A pod that ends of itself takes its sidecars along, and counts as succeeded."""

    def stops(name: str) -> dict[str, object]:
        script = f"trap 'echo {name} >> /diary/all; exit 0' TERM; sleep 1000 & wait"
        return writing(name, script, restartPolicy="Always")

    folder = agent.root.parent / "diary"
    folder.mkdir()
    agent.drop(
        "stopping.yaml",
        pod(
            "stopping",
            writing("main", "sleep 0.5; echo main >> /diary/all"),
            initContainers=[stops("one"), stops("two")],
            restartPolicy="Never",
            volumes=[{"name": "diary", "hostPath": {"path": str(folder)}}],
        ),
    )
    agent.wait_for_phase("stopping", "Succeeded")
    assert (folder / "all").read_text().split() == ["main", "two", "one"]

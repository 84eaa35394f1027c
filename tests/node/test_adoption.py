"""A restarted agent adopts: what is well notices nothing, what changed meanwhile is made good."""

from __future__ import annotations

import pytest

from tests.support.agent import SLEEP, AgentProcess, container, is_ready, pod
from tests.support.waiting import until

pytestmark = pytest.mark.root


def ids(agent: AgentProcess, *names: str) -> dict[str, object]:
    return {
        f"{name}/{status['name']}": (status["containerID"], status["restartCount"])
        for name in names
        if (found := agent.pod(name))
        for kind in ("initContainerStatuses", "containerStatuses")
        for status in found["status"].get(kind) or ()
    }


def test_running_pods_go_on_and_stay_ready(agent: AgentProcess) -> None:
    """Complaint: static pods are killed when the agent is upgraded; static pods do not start after
    an agent restart."""
    slow = {"exec": {"command": ["cat", "/ok"]}, "periodSeconds": 30, "initialDelaySeconds": 0}
    agent.drop(
        "adopted.yaml",
        pod("plain"),
        pod(
            "probed",
            container(script=f"touch /ok; sleep 1; {SLEEP}", readinessProbe=slow),
            initContainers=[
                container("done", "exit 0"),
                container(
                    "sidecar", f"touch /ok; {SLEEP}", restartPolicy="Always", startupProbe=slow
                ),
            ],
        ),
        pod("volumes", volumes=[{"name": "data", "emptyDir": {"medium": "Memory"}}]),
    )
    names = ("plain", "probed", "volumes")
    agent.wait_ready(*names, timeout=70)
    before = ids(agent, *names)
    assert len(before) == 5
    agent.kill()
    agent.start()
    # The first thing that is said of a pod is what was last known of it: no readiness is lost.
    until(lambda: all(agent.phase(name) for name in names), "the agent knows them")
    assert is_ready(agent.pod("probed"))
    agent.wait_ready(*names, timeout=5)
    assert ids(agent, *names) == before


def test_what_changed_while_no_agent_ran_is_made_good(agent: AgentProcess) -> None:
    agent.drop("removed.yaml", pod("removed"))
    agent.drop("edited.yaml", pod("edited"))
    agent.drop("crashed.yaml", pod("crashed"))
    agent.wait_ready("removed", "edited", "crashed")
    victim = agent.status("crashed")["containerID"].partition("://")[2]
    old = agent.pod("edited")
    agent.kill()
    agent.remove("removed.yaml")
    agent.drop("edited.yaml", pod("edited", container(env=[{"name": "NEW", "value": "1"}])))
    agent.drop("added.yaml", pod("added"))
    agent.machine.ctr("tasks", "kill", "-s", "KILL", victim)
    agent.start()
    agent.wait_gone("removed")
    agent.wait_ready("added")

    def mended() -> bool:
        now = agent.pod("edited")
        return bool(
            now
            and old
            and now["metadata"]["uid"] != old["metadata"]["uid"]
            and is_ready(now)
            and agent.status("crashed")["restartCount"] == 1
            and is_ready(agent.pod("crashed"))
        )

    until(mended, "the edited one runs as edited, the crashed one again")


def test_a_refused_edit_while_no_agent_ran_leaves_the_pod_running(agent: AgentProcess) -> None:
    """What was last accepted stays in force, over a restart of the agent, too."""
    agent.drop("kept.yaml", pod("kept"))
    agent.wait_ready("kept")
    before = ids(agent, "kept")
    agent.kill()
    agent.drop("kept.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {}\n")
    agent.start()
    until(lambda: agent.get("status")["refused"], "the file is refused")
    agent.wait_ready("kept")
    assert ids(agent, "kept") == before


def test_pods_outlive_the_runtime_and_the_agent_finds_it_again(agent: AgentProcess) -> None:
    agent.drop("outlives.yaml", pod("outlives"))
    agent.wait_ready("outlives")
    before = ids(agent, "outlives")
    agent.machine.kill_containerd()
    agent.drop("later.yaml", pod("later"))
    until(lambda: "does not answer" in agent.why("later")["next"], "it is said")
    agent.machine.start_containerd()
    agent.wait_ready("later", "outlives")
    assert ids(agent, "outlives") == before


def test_an_explicit_uid_does_not_hide_an_edit(agent: AgentProcess) -> None:
    manifest = pod("named")
    manifest["metadata"]["uid"] = "11111111-2222-3333-4444-555555555555"
    agent.drop("named.yaml", manifest)
    agent.wait_ready("named")
    before = ids(agent, "named")
    manifest["spec"]["containers"][0]["env"] = [{"name": "NEW", "value": "1"}]
    agent.drop("named.yaml", manifest)
    until(lambda: ids(agent, "named") != before and is_ready(agent.pod("named")), "it is made anew")
    assert agent.exec("named", "sh", "-c", "echo $NEW").strip() == "1"

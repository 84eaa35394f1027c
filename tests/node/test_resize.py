"""CPU and memory changed in the manifest: the same pod, the same container, other limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.agent import AgentProcess, Json, container, is_ready, pod
from tests.support.waiting import until

pytestmark = pytest.mark.root


def sized(name: str, cpu: str, memory: str, **more: object) -> Json:
    resources = {
        "requests": {"cpu": "50m", "memory": "16Mi"},
        "limits": {"cpu": cpu, "memory": memory},
    }
    return pod(name, container(resources=resources, **more))


def limits(agent: AgentProcess, name: str) -> tuple[int, int]:
    """CPU quota and memory limit, as the kernel has them for the pod's container."""
    id = agent.status(name)["containerID"].partition("://")[2]
    found = {}
    for file in ("cpu.cfs_quota_us", "memory.limit_in_bytes", "cpu.max", "memory.max"):
        for path in Path("/sys/fs/cgroup").rglob(f"{agent.machine.cgroup_root[1:]}/**/{id}/{file}"):
            found[file] = int(path.read_text().split()[0])
    values = list(found.values())
    assert len(values) == 2, found
    quota = found.get("cpu.cfs_quota_us", found.get("cpu.max", 0))
    memory = found.get("memory.limit_in_bytes", found.get("memory.max", 0))
    return quota, memory


def test_a_resize_keeps_the_container(agent: AgentProcess) -> None:
    agent.drop("sized.yaml", sized("sized", "200m", "64Mi"))
    agent.wait_ready("sized")
    before = agent.pod("sized")
    assert before
    id = agent.status("sized")["containerID"]
    assert limits(agent, "sized") == (20_000, 64 << 20)
    agent.drop("sized.yaml", sized("sized", "300m", "96Mi"))
    until(lambda: limits(agent, "sized") == (30_000, 96 << 20), "the limits are the new ones")
    now = agent.pod("sized")
    assert now
    assert now["metadata"]["uid"] == before["metadata"]["uid"]
    assert agent.status("sized")["containerID"] == id
    assert agent.status("sized")["restartCount"] == 0
    agent.kill()
    agent.start()
    agent.wait_ready("sized")
    assert limits(agent, "sized") == (30_000, 96 << 20)
    assert agent.status("sized")["containerID"] == id


def test_a_container_that_asks_for_it_is_restarted_to_be_resized(agent: AgentProcess) -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    agent.drop("policy.yaml", sized("policy", "200m", "64Mi", resizePolicy=policy))
    agent.wait_ready("policy")
    agent.drop("policy.yaml", sized("policy", "300m", "64Mi", resizePolicy=policy))
    until(lambda: limits(agent, "policy")[0] == 30_000, "its CPU is resized in place")
    assert agent.status("policy")["restartCount"] == 0
    agent.drop("policy.yaml", sized("policy", "300m", "96Mi", resizePolicy=policy))
    until(lambda: agent.status("policy")["restartCount"] == 1, "it is restarted")
    agent.wait_ready("policy")
    assert limits(agent, "policy") == (30_000, 96 << 20)


def test_an_edit_that_changes_the_qos_class_makes_a_new_pod(agent: AgentProcess) -> None:
    agent.drop("class.yaml", pod("class"))
    agent.wait_ready("class")
    before = agent.pod("class")
    agent.drop("class.yaml", sized("class", "200m", "64Mi"))

    def new() -> bool:
        now = agent.pod("class")
        uid = now["metadata"]["uid"] if now else ""
        return bool(before and uid != before["metadata"]["uid"] and is_ready(now))

    until(new, "another pod runs in its place")
    now = agent.pod("class")
    assert now
    assert now["status"]["qosClass"] == "Burstable"

"""What a node does not take, and how it says so."""

from __future__ import annotations

import pytest

from tests.support.agent import AgentProcess, container, pod

pytestmark = pytest.mark.root


def test_what_the_node_can_not_take_fails_with_the_reason(agent: AgentProcess) -> None:
    port = {"containerPort": 80, "hostPort": 18080}
    agent.drop("taken.yaml", pod("a-holder", container(ports=[port])))
    agent.wait_ready("a-holder")
    affinity = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
                ]
            }
        }
    }
    sysctl = {"sysctls": [{"name": "kernel.shmmax", "value": "1"}]}
    greedy = container(resources={"requests": {"cpu": "4000"}})
    gpu = container(resources={"limits": {"example.com/gpu": "1"}})
    agent.drop(
        "refused.yaml",
        pod("selector", nodeSelector={"disk": "ssd"}),
        pod("affinity", affinity=affinity),
        pod("greedy", greedy),
        pod("gpu", gpu),
        pod("port", container(ports=[port])),
        pod("windows", os={"name": "windows"}),
        pod("sysctl", securityContext=sysctl),
        pod("after-all", container(resources={"requests": {"cpu": "100m"}})),
    )
    expected = {
        "selector": "NodeAffinity",
        "affinity": "NodeAffinity",
        "greedy": "OutOfcpu",
        "gpu": "OutOfexample.com/gpu",
        "port": "NodePorts",
        "windows": "PodOSNotSupported",
        "sysctl": "SysctlForbidden",
    }
    for name, reason in expected.items():
        found = agent.wait_for_phase(name, "Failed")
        assert (name, found["status"]["reason"]) == (name, reason)
        assert found["status"]["message"]
    # A pod that was refused holds nothing: its neighbour finds room.
    agent.wait_ready("after-all")
    greedy_status = agent.pod("greedy")
    assert greedy_status
    assert "requested: 4000000" in greedy_status["status"]["message"]
    assert agent.why("port")["stands"] == "admission"


def test_a_safe_sysctl_is_taken_and_set(agent: AgentProcess) -> None:
    sysctl = {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]}
    agent.drop("sysctl.yaml", pod("sysctl", securityContext=sysctl))
    agent.wait_ready("sysctl")
    assert agent.exec("sysctl", "cat", "/proc/sys/net/ipv4/ip_unprivileged_port_start").strip() == (
        "0"
    )


def test_a_refused_pod_that_is_mended_runs(agent: AgentProcess) -> None:
    agent.drop("mended.yaml", pod("mended", nodeSelector={"disk": "ssd"}))
    agent.wait_for_phase("mended", "Failed")
    agent.drop("mended.yaml", pod("mended"))
    agent.wait_ready("mended")

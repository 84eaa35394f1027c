"""Complaint: one hanging pod makes the node NotReady. Here it is one pod's trouble alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.agent import AgentProcess, container, pod
from tests.support.cri_proxy import CriProxy
from tests.support.machine import Machine
from tests.support.waiting import until

pytestmark = pytest.mark.root


@pytest.fixture
def proxy(machine: Machine) -> Iterator[CriProxy]:
    socket = machine.run_dir / "proxy.sock"
    proxy = CriProxy(socket, machine.socket)
    yield proxy
    proxy.close()
    socket.unlink(missing_ok=True)


@pytest.fixture
def agent(machine: Machine, proxy: CriProxy) -> Iterator[AgentProcess]:
    agent = AgentProcess(
        machine,
        *("--container-runtime-endpoint", f"unix://{proxy.socket}"),
        *("--runtime-request-timeout", "20s"),
    )
    yield agent
    agent.stop()


def test_starts_that_hang_keep_no_other_pod_from_starting(
    agent: AgentProcess, proxy: CriProxy
) -> None:
    """More of them hang than are started at a time."""
    proxy.hangs = lambda method, request: method == "RunPodSandbox" and b"hung" in request
    agent.drop("hung.yaml", *(pod(f"hung-{number}") for number in range(9)))
    until(lambda: proxy.calls.get("RunPodSandbox", 0) >= 8, "the runtime hangs on eight")
    agent.drop("fine.yaml", pod("fine"))
    agent.wait_ready("fine", timeout=15)
    why = agent.why("hung-0")
    assert why["stands"] == "sandbox and network"
    ready = next(c for c in agent.get("node")["status"]["conditions"] if c["type"] == "Ready")
    assert ready["status"] == "True"
    proxy.release()
    agent.wait_ready(*(f"hung-{number}" for number in range(9)), timeout=60)


def test_a_pull_that_hangs_holds_up_neither_others_nor_the_pods_own_end(
    agent: AgentProcess, proxy: CriProxy
) -> None:
    proxy.hangs = lambda method, request: method == "PullImage"
    absent = {**container(), "image": "127.0.0.1:1/no/such:1"}
    agent.drop("pulling.yaml", pod("pulling", absent, container("second")))
    until(lambda: proxy.calls.get("PullImage", 0) >= 1, "the pull hangs")
    agent.drop("beside.yaml", pod("beside"))
    agent.wait_ready("beside")
    agent.remove("pulling.yaml")
    agent.wait_gone("pulling", timeout=10)
    proxy.release()


def test_a_stop_that_hangs_is_the_trouble_of_one(agent: AgentProcess, proxy: CriProxy) -> None:
    agent.drop("stuck.yaml", pod("stuck"))
    agent.drop("beside.yaml", pod("beside"))
    agent.wait_ready("stuck", "beside")
    id = agent.status("stuck")["containerID"].partition("://")[2]
    proxy.hangs = lambda method, request: method == "StopContainer" and id.encode() in request
    agent.remove("stuck.yaml")
    agent.remove("beside.yaml")
    agent.wait_gone("beside", timeout=15)
    assert "stopping main" in agent.why("stuck")["next"]
    proxy.release()
    agent.wait_gone("stuck", timeout=40)

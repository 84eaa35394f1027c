"""Whatever can be killed gets killed: nothing healthy restarts, nothing is left behind.

The agent speaks to containerd through a proxy that kills it at a chosen call, so that every step of
a pod's start and end is the last one of some agent's life.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.agent import AgentProcess, pod
from tests.support.cri_proxy import STARTING, STOPPING, CriProxy
from tests.support.machine import Machine
from tests.support.network import use_bundled_cni
from tests.support.traces import difference, snapshot
from tests.support.waiting import until

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with Machine() as machine:
        machine.load_images()
        use_bundled_cni(machine, "10.77.0.0/24", serve=False)
        yield machine


@pytest.fixture
def proxy(machine: Machine) -> Iterator[CriProxy]:
    socket = machine.run_dir / "proxy.sock"
    proxy = CriProxy(socket, machine.socket)
    yield proxy
    proxy.close()
    socket.unlink(missing_ok=True)


@pytest.fixture
def agent(machine: Machine, proxy: CriProxy) -> Iterator[AgentProcess]:
    agent = AgentProcess(machine, "--container-runtime-endpoint", f"unix://{proxy.socket}")
    yield agent
    agent.stop()


@pytest.fixture(autouse=True)
def no_pod_is_left() -> None:
    """Each test here takes its own pods away, since its agent may be dead."""


def _dies(agent: AgentProcess) -> bool:
    return agent.process is not None and agent.process.poll() is not None


def _running(machine: Machine) -> int:
    return machine.ctr("tasks", "list").count("RUNNING")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("call", STARTING)
def test_an_agent_killed_while_a_pod_starts_finishes_the_start_when_it_is_back(
    machine: Machine, agent: AgentProcess, proxy: CriProxy, call: str, moment: str
) -> None:
    """Complaint: static pods do not start after an agent restart."""
    getattr(proxy, moment)[call] = lambda request: agent.kill()
    agent.drop("web.yaml", pod("web"))
    until(lambda: _dies(agent), f"the agent was killed {moment} {call}")
    agent.start()
    agent.wait_ready("web")
    assert agent.status("web")["restartCount"] == 0
    until(lambda: _running(machine) == 2, "one sandbox and one container run")
    agent.remove("web.yaml")
    agent.wait_gone("web")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("call", STOPPING)
def test_an_agent_killed_while_a_pod_ends_finishes_the_end_when_it_is_back(
    machine: Machine, agent: AgentProcess, proxy: CriProxy, call: str, moment: str
) -> None:
    agent.drop("web.yaml", pod("web"))
    agent.wait_ready("web")
    getattr(proxy, moment)[call] = lambda request: agent.kill()
    agent.remove("web.yaml")
    until(lambda: _dies(agent), f"the agent was killed {moment} {call}")
    agent.start()
    agent.wait_gone("web")
    assert _running(machine) == 0


def test_an_agent_killed_at_rest_restarts_nothing(machine: Machine, agent: AgentProcess) -> None:
    """Complaint: static pods are killed when the agent is upgraded."""
    agent.drop("web.yaml", pod("web"))
    agent.wait_ready("web")
    before = agent.status("web")
    for _ in range(3):
        agent.kill()
        agent.start()
        agent.wait_ready("web")
    after = agent.status("web")
    assert after["containerID"] == before["containerID"]
    assert after["restartCount"] == 0
    agent.remove("web.yaml")
    agent.wait_gone("web")


def test_a_manifest_removed_while_the_agent_was_dead_takes_its_pod_away_when_it_is_back(
    agent: AgentProcess,
) -> None:
    agent.drop("web.yaml", pod("web"))
    agent.wait_ready("web")
    agent.kill()
    agent.remove("web.yaml")
    agent.start()
    agent.wait_gone("web")


def test_containerd_killed_and_back_restarts_nothing(machine: Machine, agent: AgentProcess) -> None:
    agent.drop("web.yaml", pod("web"))
    agent.wait_ready("web")
    before = agent.status("web")["containerID"]
    machine.kill_containerd()
    machine.start_containerd()
    agent.drop("other.yaml", pod("other"))
    agent.wait_ready("web", "other")
    assert agent.status("web")["containerID"] == before
    agent.remove("web.yaml")
    agent.remove("other.yaml")
    agent.wait_gone("web", "other")


def test_agent_and_containerd_killed_together_restart_nothing(
    machine: Machine, agent: AgentProcess
) -> None:
    agent.drop("web.yaml", pod("web"))
    agent.wait_ready("web")
    before = agent.status("web")["containerID"]
    agent.kill()
    machine.kill_containerd()
    agent.start(wait=False)
    machine.start_containerd()
    agent.wait_ready("web")
    assert agent.status("web")["containerID"] == before
    agent.remove("web.yaml")
    agent.wait_gone("web")


def test_a_runtime_that_hangs_on_one_pod_holds_up_no_other(
    agent: AgentProcess, proxy: CriProxy
) -> None:
    """Complaint: one hanging pod makes the node NotReady."""
    proxy.hangs = lambda method, request: method == "RunPodSandbox" and b"stuck" in request
    agent.drop("stuck.yaml", pod("stuck"))
    until(lambda: proxy.calls.get("RunPodSandbox"), "the runtime hangs")
    agent.drop("many.yaml", *(pod(f"web{n}") for n in range(10)))
    agent.wait_ready(*(f"web{n}" for n in range(10)), timeout=60)
    assert agent.get("status")["node"]["ready"]
    proxy.release()
    agent.wait_ready("stuck")
    for manifest in list(agent.manifests.iterdir()):
        manifest.unlink()
    agent.wait_gone("stuck", *(f"web{n}" for n in range(10)))


def test_a_container_that_dies_unseen_is_found_again(machine: Machine, agent: AgentProcess) -> None:
    agent.drop("web.yaml", pod("web"))
    agent.wait_ready("web")
    id = agent.status("web")["containerID"].partition("://")[2]
    machine.ctr("tasks", "kill", "-s", "KILL", id)
    until(lambda: agent.status("web")["restartCount"] == 1, "it was started again")
    agent.wait_ready("web")
    agent.remove("web.yaml")
    agent.wait_gone("web")


def test_a_sandbox_that_is_killed_is_made_anew_with_its_containers(
    machine: Machine, agent: AgentProcess
) -> None:
    agent.drop("web.yaml", pod("web"))
    agent.wait_ready("web")
    before = agent.status("web")["containerID"].partition("://")[2]
    sandbox = next(
        line.split()[0]
        for line in machine.ctr("tasks", "list").splitlines()
        if "RUNNING" in line and before not in line
    )
    machine.ctr("tasks", "kill", "-s", "KILL", sandbox)
    until(lambda: before not in agent.status("web").get("containerID", ""), "a new container runs")
    agent.wait_ready("web")
    agent.remove("web.yaml")
    agent.wait_gone("web")


def test_after_all_that_nothing_is_left(machine: Machine) -> None:
    """Complaint: uninstall leaves rules, bridges, routes, mounts; addresses leak."""
    agent = AgentProcess(machine)
    before = snapshot(machine)
    agent.drop("many.yaml", *(pod(f"web{n}") for n in range(5)))
    agent.wait_ready(*(f"web{n}" for n in range(5)))
    agent.remove("many.yaml")
    agent.wait_gone(*(f"web{n}" for n in range(5)))
    try:
        until(lambda: not difference(before, snapshot(machine)), "every trace is gone", 10)
    finally:
        agent.stop()

"""What people do to a pod through the API server: logs, exec, attach, cp, port-forward, proxy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import kubectl
from tests.support.agent import NODE, AgentProcess, container, pod
from tests.support.cluster import KUBECTL, Cluster
from tests.support.machine import Machine
from tests.support.waiting import until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(KUBECTL is None, reason=kubectl.missing()),
]

SERVES = (
    "echo hello; mkdir -p /tmp/www; echo page > /tmp/www/index.html;"
    " exec httpd -f -p 8080 -h /tmp/www"
)


@pytest.fixture(scope="module")
def cluster(machine: Machine) -> Cluster:
    return Cluster(machine)


@pytest.fixture(scope="module")
def agent(cluster: Cluster) -> Iterator[AgentProcess]:
    agent = cluster.agent()
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def talker(cluster: Cluster, agent: AgentProcess) -> str:
    """A pod that has said hello and serves a page."""
    made = pod("talker", container(script=SERVES), nodeName=NODE)
    made["metadata"]["namespace"] = "default"
    made["spec"] |= {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0}
    cluster.apply(made)
    cluster.wait_ready("talker")
    return "talker"


@pytest.fixture(autouse=True)
def no_pod_is_left() -> None:
    """The one pod stays for all the tests here, and goes with the machine."""


def test_logs_are_what_the_container_printed(cluster: Cluster, talker: str) -> None:
    until(lambda: cluster.kubectl("logs", talker) == "hello\n", "the log is there")
    assert cluster.kubectl("logs", talker, "--tail=0") == ""
    assert "hello" in cluster.kubectl("logs", talker, "--timestamps")


def test_exec_gives_output_input_and_exit_code(cluster: Cluster, talker: str) -> None:
    assert cluster.kubectl("exec", talker, "--", "echo", "from", "inside") == "from inside\n"
    assert cluster.kubectl("exec", "-i", talker, "--", "cat", input="through") == "through"
    with pytest.raises(AssertionError, match="exit code 3"):
        cluster.kubectl("exec", talker, "--", "sh", "-c", "exit 3")


def test_files_are_copied_in_and_out(cluster: Cluster, talker: str, machine: Machine) -> None:
    source = machine.home / "copied"
    source.write_text("content\n")
    cluster.kubectl("cp", str(source), f"{talker}:/tmp/in")
    assert cluster.kubectl("exec", talker, "--", "cat", "/tmp/in") == "content\n"
    back = machine.home / "back"
    cluster.kubectl("cp", f"{talker}:/tmp/in", str(back))
    assert back.read_text() == "content\n"


def test_a_port_is_forwarded(cluster: Cluster, talker: str, machine: Machine) -> None:
    assert KUBECTL
    forwarding = machine.start(
        *(KUBECTL, "--kubeconfig", str(cluster.kubeconfig), "port-forward", talker, "18080:8080"),
        log="forward",
    )
    ask = ("busybox", "wget", "-qO-", "http://127.0.0.1:18080/")
    until(lambda: machine.run(*ask, check=False) == "page\n", "the page comes through")
    forwarding.terminate()
    forwarding.wait(10)


def test_pods_and_nodes_are_reached_by_proxy(cluster: Cluster, talker: str) -> None:
    path = f"/api/v1/namespaces/default/pods/{talker}:8080/proxy/"
    assert cluster.kubectl("get", "--raw", path) == "page\n"
    assert cluster.kubectl("get", "--raw", f"/api/v1/nodes/{NODE}/proxy/healthz") == "ok"


def test_a_pod_that_has_no_node_says_so(cluster: Cluster, talker: str) -> None:
    made = pod("nowhere", schedulerName="nobody", automountServiceAccountToken=False)
    made["metadata"]["namespace"] = "default"
    cluster.apply(made)
    with pytest.raises(AssertionError, match="does not have a host assigned"):
        cluster.kubectl("logs", "nowhere")
    cluster.kubectl("delete", "pod", "nowhere")

"""The agent as a member of a cluster, before a real API server: node, lease, pods, mirrors, events,
who may use its port, and what happens while the server is away."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import kubectl
from tests.support.agent import NODE, AgentProcess, container, pod
from tests.support.cluster import KUBECTL, Cluster
from tests.support.kubelet_client import KubeletClient
from tests.support.machine import Machine
from tests.support.waiting import until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(KUBECTL is None, reason=kubectl.missing()),
]

LEASE = ("lease", NODE, "-n", "kube-node-lease")
MIRROR = f"web-{NODE}"
CONFIGURATION = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
nodeStatusUpdateFrequency: 1s
nodeStatusReportFrequency: 5m
evictionPressureTransitionPeriod: 1s
"""


@pytest.fixture(scope="module")
def cluster(machine: Machine) -> Cluster:
    return Cluster(machine)


@pytest.fixture(scope="module")
def agent(cluster: Cluster) -> Iterator[AgentProcess]:
    config = cluster.machine.home / "kubelet.yaml"
    config.write_text(CONFIGURATION)
    agent = cluster.agent("--config", str(config), "--node-labels", "shelf=3")
    yield agent
    agent.stop()


def bound(name: str, **more: Any) -> dict[str, Any]:
    """A pod that the scheduler has placed here."""
    return pod(name, nodeName=NODE, automountServiceAccountToken=False, **more)


def test_the_node_registers_itself_with_labels_addresses_and_capacity(
    cluster: Cluster, agent: AgentProcess
) -> None:
    node = cluster.get("node", NODE)
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == NODE
    assert node["metadata"]["labels"]["shelf"] == "3"
    status = node["status"]
    assert {"type": "InternalIP", "address": "127.0.0.1"} in status["addresses"]
    assert status["daemonEndpoints"]["kubeletEndpoint"]["Port"] == 10250
    assert int(status["capacity"]["pods"]) == 110
    assert status["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")


def test_its_lease_is_renewed_and_owned_by_the_node(cluster: Cluster, agent: AgentProcess) -> None:
    until(lambda: cluster.exists(*LEASE), "there is a lease")
    lease = cluster.get(*LEASE)
    assert lease["spec"]["holderIdentity"] == NODE
    assert lease["spec"]["leaseDurationSeconds"] == 40
    owner = lease["metadata"]["ownerReferences"][0]
    assert owner["uid"] == cluster.get("node", NODE)["metadata"]["uid"]
    first = lease["spec"]["renewTime"]
    until(lambda: cluster.get(*LEASE)["spec"]["renewTime"] != first, "it is renewed", 15)


def test_a_quiet_node_writes_its_lease_and_nothing_else(
    cluster: Cluster, agent: AgentProcess
) -> None:
    """Complaint: heartbeats pile up, flash wears."""
    until(lambda: not agent.pods(), "no pod moves")
    time.sleep(1.5)  # the last test's echoes
    before = cluster.get("node", NODE)["metadata"]["resourceVersion"]
    time.sleep(4)  # four looks of the agent at its node
    assert cluster.get("node", NODE)["metadata"]["resourceVersion"] == before


def test_a_node_that_is_deleted_joins_again(cluster: Cluster, agent: AgentProcess) -> None:
    first = cluster.get("node", NODE)["metadata"]["uid"]
    cluster.kubectl("delete", "node", NODE, "--wait=false")
    until(
        lambda: (
            cluster.exists("node", NODE)
            and cluster.get("node", NODE)["metadata"]["uid"] != first
            and cluster.condition("node", NODE, "Ready") == "True"
        ),
        "it is there again, and ready",
        40,
    )


def test_a_pod_that_is_bound_to_the_node_runs_and_reports(
    cluster: Cluster, agent: AgentProcess
) -> None:
    cluster.apply(bound("bound"))
    cluster.wait_ready("bound")
    status = cluster.get("pod", "bound")["status"]
    assert status["phase"] == "Running"
    assert status["podIP"].startswith("10.88.0.")
    assert status["containerStatuses"][0]["containerID"].startswith("containerd://")
    reasons = {
        e["reason"]
        for e in cluster.get("events", "--field-selector=involvedObject.name=bound")["items"]
    }
    assert {"Created", "Started"} <= reasons
    cluster.kubectl("delete", "pod", "bound", "--wait=false")
    cluster.wait_gone("pod", "bound")
    assert not agent.machine.ctr(
        "containers", "list", "-q", 'labels."io.kubernetes.pod.name"==bound'
    ).strip()


def test_its_configuration_comes_from_the_api_and_follows_it(
    cluster: Cluster, agent: AgentProcess
) -> None:
    words = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "words"}}
    reads = pod(
        "reads",
        container(
            volumeMounts=[{"name": "w", "mountPath": "/w"}],
            env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "words", "key": "a"}}}],
        ),
        nodeName=NODE,
        automountServiceAccountToken=False,
        volumes=[{"name": "w", "configMap": {"name": "words"}}],
    )
    cluster.apply(reads)
    until(lambda: "words" in cluster.kubectl("describe", "pod", "reads"), "its want is told")
    cluster.apply({**words, "data": {"a": "one"}})
    cluster.wait_ready("reads")
    seen = ("exec", "reads", "--", "cat", "/w/a")
    assert cluster.kubectl(*seen) == "one"
    assert cluster.kubectl("exec", "reads", "--", "sh", "-c", "echo $A").strip() == "one"
    cluster.apply({**words, "data": {"a": "two"}})
    until(lambda: cluster.kubectl(*seen) == "two", "the file has changed")
    cluster.kubectl("delete", "pod/reads", "configmap/words", "--wait=false")
    cluster.wait_gone("pod", "reads")


def test_a_static_pod_has_a_mirror_that_tells_of_it_and_comes_back(
    cluster: Cluster, agent: AgentProcess
) -> None:
    """Complaint: a refused mirror pod leaves a pod running unseen."""
    agent.drop("web.yaml", pod("web"))
    until(lambda: cluster.exists("pod", MIRROR), "the mirror is there")
    cluster.wait_ready(MIRROR)
    mirror = cluster.get("pod", MIRROR)
    assert mirror["metadata"]["annotations"]["kubernetes.io/config.mirror"]
    assert mirror["metadata"]["ownerReferences"][0]["kind"] == "Node"
    before = agent.status("web")["containerID"]
    assert mirror["status"]["containerStatuses"][0]["containerID"] == before
    cluster.kubectl("delete", "pod", MIRROR, "--wait=false")
    until(
        lambda: (
            cluster.exists("pod", MIRROR)
            and cluster.get("pod", MIRROR)["metadata"]["uid"] != mirror["metadata"]["uid"]
        ),
        "a deleted mirror comes back",
    )
    assert agent.status("web")["containerID"] == before, "and the pod has noticed nothing"
    agent.remove("web.yaml")
    cluster.wait_gone("pod", MIRROR)


def test_while_the_server_is_away_pods_go_on_and_static_ones_start(
    cluster: Cluster, agent: AgentProcess
) -> None:
    """Complaint: static pods do not start while the server is unreachable."""
    cluster.apply(bound("stays"))
    cluster.wait_ready("stays")
    before = cluster.get("pod", "stays")["status"]["containerStatuses"][0]["containerID"]
    cluster.stop("apiserver")
    agent.drop("web.yaml", pod("web"))
    agent.wait_ready("web")
    agent.kill()
    agent.start()
    agent.wait_ready("web")
    assert "RUNNING" in agent.machine.ctr("tasks", "list")
    cluster.start_server()
    cluster.wait_ready("stays")
    cluster.wait_ready(MIRROR)
    found = cluster.get("pod", "stays")["status"]["containerStatuses"][0]
    assert (found["containerID"], found["restartCount"]) == (before, 0)
    cluster.kubectl("delete", "pod", "stays", "--wait=false")
    cluster.wait_gone("pod", "stays")


def test_the_api_says_who_may_use_the_agents_port(
    cluster: Cluster, agent: AgentProcess, machine: Machine
) -> None:
    trusted = agent.root / "pki/kubelet.crt"
    cluster.kubectl("create", "serviceaccount", "reader")
    token = cluster.kubectl("create", "token", "reader").strip()
    reader = KubeletClient(machine, trusted, token=token)
    assert KubeletClient(machine, trusted).request("/pods")[0] == 401
    assert KubeletClient(machine, trusted, token="made-up").request("/pods")[0] == 401
    status, body = reader.request("/metrics")
    assert status == 403
    assert b"user=system:serviceaccount:default:reader" in body
    cluster.kubectl("create", "clusterrole", "metrics", "--verb=get", "--resource=nodes/metrics")
    cluster.kubectl(
        "create", "clusterrolebinding", "metrics", "--clusterrole=metrics",
        "--serviceaccount=default:reader",
    )  # fmt: skip
    # A no is believed for half a minute.
    until(lambda: reader.request("/metrics")[0] == 200, "the binding counts", 40, interval=1)
    assert reader.request("/pods")[0] == 403


def test_when_memory_is_short_a_pod_is_evicted_and_the_node_takes_no_more(
    cluster: Cluster, agent: AgentProcess, machine: Machine
) -> None:
    cluster.apply(bound("victim"))
    cluster.wait_ready("victim")
    config = machine.home / "kubelet.yaml"
    config.write_text(CONFIGURATION + 'evictionHard: {memory.available: "99%"}\n')
    agent.reload()
    try:
        until(
            lambda: cluster.get("pod", "victim")["status"].get("reason") == "Evicted",
            "it is evicted", 40,
        )  # fmt: skip
        status = cluster.get("pod", "victim")["status"]
        assert status["phase"] == "Failed"
        assert "The node was low on resource: memory" in status["message"]
        until(
            lambda: cluster.condition("node", NODE, "MemoryPressure") == "True",
            "the pressure is told",
        )
        cluster.apply(bound("late"))
        until(
            lambda: cluster.get("pod", "late")["status"].get("reason") == "Evicted",
            "a pod without requests is not taken now",
        )
    finally:
        config.write_text(CONFIGURATION)
        agent.reload()
    until(lambda: cluster.condition("node", NODE, "MemoryPressure") == "False", "it is over", 40)
    cluster.kubectl("delete", "pod", "victim", "late", "--wait=false")
    cluster.wait_gone("pod", "victim")

"""The flows that every description of Kubernetes tells, on real containers, by stock kubectl: API
server, scheduler, controllers and agent, each a process of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import kubectl
from tests.support.agent import SLEEP, AgentProcess
from tests.support.cluster import KUBECTL, Cluster
from tests.support.images import BUSYBOX
from tests.support.machine import Machine
from tests.support.waiting import until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(KUBECTL is None, reason=kubectl.missing()),
]

Json = dict[str, Any]


@pytest.fixture(scope="module")
def cluster(machine: Machine) -> Cluster:
    cluster = Cluster(machine)
    cluster.start_controllers()
    return cluster


@pytest.fixture(scope="module")
def agent(cluster: Cluster) -> Iterator[AgentProcess]:
    agent = cluster.agent()
    yield agent
    agent.stop()


def template(script: str = SLEEP, **labels: str) -> Json:
    container = {"name": "main", "image": BUSYBOX, "command": ["sh", "-c", script]}
    return {
        "metadata": {"labels": labels},
        "spec": {"terminationGracePeriodSeconds": 2, "containers": [container]},
    }


def deployment(name: str, replicas: int, version: str = "1", **spec: Any) -> Json:
    pods = template(app=name)
    pods["spec"]["containers"][0]["env"] = [{"name": "VERSION", "value": version}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": pods,
            **spec,
        },
    }


def available(cluster: Cluster, name: str) -> int:
    return int(cluster.get("deployment", name)["status"].get("availableReplicas") or 0)


def test_a_deployment_makes_pods_that_run(cluster: Cluster, agent: AgentProcess) -> None:
    cluster.apply(deployment("web", 2))
    until(lambda: available(cluster, "web") == 2, "two are available", 60)
    pods = cluster.get("pods", "-l", "app=web")["items"]
    assert {p["spec"]["nodeName"] for p in pods} == {"node-1"}
    assert all(p["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet" for p in pods)


def test_a_service_finds_the_pods_of_a_deployment(cluster: Cluster, agent: AgentProcess) -> None:
    cluster.apply(deployment("web", 2))
    until(lambda: available(cluster, "web") == 2, "two are available", 60)
    cluster.kubectl("expose", "deployment", "web", "--port=80")

    def addresses() -> set[str]:
        slices = cluster.get("endpointslices", "-l", "kubernetes.io/service-name=web")["items"]
        return {a for s in slices for e in s["endpoints"] or () for a in e["addresses"]}

    pods = cluster.get("pods", "-l", "app=web")["items"]
    until(lambda: addresses() == {p["status"]["podIP"] for p in pods}, "the slices name the pods")
    cluster.kubectl("delete", "service", "web")


def test_a_rolling_update_and_its_rollback_keep_enough_pods(
    cluster: Cluster, agent: AgentProcess
) -> None:
    limits = {"maxSurge": 1, "maxUnavailable": 0}
    rolling = {"strategy": {"type": "RollingUpdate", "rollingUpdate": limits}}
    cluster.apply(deployment("roll", 2, **rolling))
    until(lambda: available(cluster, "roll") == 2, "two are available", 60)
    cluster.apply(deployment("roll", 2, version="2", **rolling))
    seen: list[int] = []

    def rolled(version: str) -> bool:
        seen.append(available(cluster, "roll"))
        pods = cluster.get("pods", "-l", "app=roll")["items"]
        going = [p for p in pods if "deletionTimestamp" not in p["metadata"]]
        values = {p["spec"]["containers"][0]["env"][0]["value"] for p in going}
        return values == {version} and len(going) == 2 and seen[-1] == 2

    until(lambda: rolled("2"), "the new version runs", 90)
    cluster.kubectl("rollout", "undo", "deployment/roll")
    until(lambda: rolled("1"), "the old version runs again", 90)
    assert min(seen) >= 2, "never fewer than asked for"
    cluster.kubectl("delete", "deployment", "roll")
    cluster.wait_gone("pods", "-l", "app=roll", timeout=60)


def test_a_job_runs_to_its_end(cluster: Cluster, agent: AgentProcess) -> None:
    pods = template("echo done")
    pods["spec"]["restartPolicy"] = "Never"
    spec = {"completions": 2, "parallelism": 2, "template": pods}
    metadata = {"name": "work", "namespace": "default"}
    cluster.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})
    until(lambda: cluster.condition("job", "work", "Complete") == "True", "it is complete", 60)
    assert cluster.get("job", "work")["status"]["succeeded"] == 2
    cluster.kubectl("delete", "job", "work")


def test_a_daemonset_has_a_pod_on_the_node(cluster: Cluster, agent: AgentProcess) -> None:
    spec = {"selector": {"matchLabels": {"app": "each"}}, "template": template(app="each")}
    metadata = {"name": "each", "namespace": "default"}
    cluster.apply(
        {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": spec}
    )
    until(
        lambda: cluster.get("daemonset", "each")["status"].get("numberReady") == 1,
        "its pod is ready",
        60,
    )
    cluster.kubectl("delete", "daemonset", "each")


def test_a_pod_is_given_a_token_that_speaks_for_it(cluster: Cluster, agent: AgentProcess) -> None:
    cluster.apply(deployment("token", 1))
    until(lambda: available(cluster, "token") == 1, "it is available", 60)
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    found = cluster.kubectl("exec", "deployment/token", "--", "cat", f"{folder}/token")
    assert found.count(".") == 2
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
              "spec": {"token": found}}  # fmt: skip
    answer = cluster.kubectl("create", "-f", "-", "-o", "json", input=json.dumps(review))
    status = json.loads(answer)["status"]
    assert status["authenticated"]
    assert status["user"]["username"] == "system:serviceaccount:default:default"
    assert status["user"]["extra"]["authentication.kubernetes.io/pod-name"][0].startswith("token-")
    cluster.kubectl("delete", "deployment", "token")


def test_a_deleted_namespace_takes_everything_in_it_along(
    cluster: Cluster, agent: AgentProcess
) -> None:
    cluster.kubectl("create", "namespace", "short")
    made = deployment("inside", 1)
    made["metadata"]["namespace"] = "short"
    cluster.apply(made)
    until(
        lambda: cluster.get("deployment", "inside", "-n", "short")["status"].get("readyReplicas"),
        "it is ready",
        60,
    )
    cluster.kubectl("delete", "namespace", "short", "--wait=false")
    cluster.wait_gone("namespace", "short", timeout=90)
    assert "short" not in cluster.kubectl("get", "pods", "-A")


def test_a_deleted_deployment_takes_its_pods_along(cluster: Cluster, agent: AgentProcess) -> None:
    cluster.apply(deployment("web", 2))
    until(lambda: available(cluster, "web") == 2, "two are available", 60)
    cluster.kubectl("delete", "deployment", "web")
    cluster.wait_gone("pods", "-l", "app=web", timeout=60)

"""The scheduler beside a real API server: a real process each, on loopback; nodes are objects only,
since a scheduler never sees more of one."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pykubelet.cli.cluster import api_of
from pykubelet.client.api import Api
from pykubelet.client.resources import (
    EVENTS,
    LEASES,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    PRIORITY_CLASSES,
    SERVICE_ACCOUNTS,
    STORAGE_CLASSES,
)
from tests.component.apiserver.conftest import ServerUnderTest
from tests.support.scheduler import SchedulerProcess, add_node, add_pod
from tests.support.waiting import until

Json = dict[str, Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerUnderTest]:
    made = ServerUnderTest(tmp_path_factory.mktemp("apiserver"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def api(server: ServerUnderTest) -> Api:
    return api_of(server.kubeconfig, "test")


@pytest.fixture(scope="module")
def scheduler(server: ServerUnderTest, api: Api) -> Iterator[SchedulerProcess]:
    until(lambda: _exists(api, "kube-system"), "kube-system is there", timeout=20)
    made = SchedulerProcess(server.folder, server.kubeconfig, "scheduler")
    until(made.leads, "the scheduler leads", timeout=30)
    yield made
    made.stop()


def _exists(api: Api, namespace: str) -> bool:
    return any(n["metadata"]["name"] == namespace for n in api.list(NAMESPACES)[0])


@pytest.fixture
def place(api: Api, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own; its nodes go with it."""
    name = "t-" + request.node.name.replace("_", "-")[5:40].strip("-")
    api.create(NAMESPACES, {"metadata": {"name": name}})
    api.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": name}})
    yield name
    for pod in api.list(PODS, name)[0]:
        api.delete(PODS, pod["metadata"]["name"], name, grace_seconds=0)
    for node in api.list(NODES)[0]:
        api.delete(NODES, node["metadata"]["name"])
    if "scheduler" in request.fixturenames:
        process: SchedulerProcess = request.getfixturevalue("scheduler")
        until(process.knows_no_nodes, "the scheduler has seen the nodes go", timeout=15)


def node_of(api: Api, place: str, name: str) -> str:
    return str(api.get(PODS, name, place)["spec"].get("nodeName") or "")


def placed(api: Api, place: str, name: str) -> Callable[[], bool]:
    return lambda: bool(node_of(api, place, name))


def said(api: Api, place: str, name: str, reason: str) -> list[str]:
    return [
        event["message"]
        for event in api.list(EVENTS, place)[0]
        if event["involvedObject"]["name"] == name and event["reason"] == reason
    ]


def test_a_pod_gets_a_node_and_everybody_is_told(
    api: Api, scheduler: SchedulerProcess, place: str
) -> None:
    add_node(api, "a1")
    add_pod(api, place, "one")
    until(placed(api, place, "one"), "the pod has a node", timeout=15)
    pod = api.get(PODS, "one", place)
    assert pod["spec"]["nodeName"] == "a1"
    condition = next(c for c in pod["status"]["conditions"] if c["type"] == "PodScheduled")
    assert condition["status"] == "True"
    until(lambda: said(api, place, "one", "Scheduled"), "the event is there", timeout=10)
    assert said(api, place, "one", "Scheduled") == [f"Successfully assigned {place}/one to a1"]
    assert scheduler.page("/healthz") == scheduler.page("/readyz") == "ok"
    metrics = scheduler.page("/metrics")
    assert 'scheduler_schedule_attempts_total{profile="default-scheduler"' in metrics
    assert "default-scheduler" in scheduler.page("/configz")


def test_a_pod_that_fits_nowhere_says_why_and_runs_when_it_can(
    api: Api, scheduler: SchedulerProcess, place: str
) -> None:
    add_node(api, "b1", cpu="1")
    add_pod(api, place, "large", cpu="3")
    expected = (
        "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: "
        "1 Preemption is not helpful for scheduling."
    )

    def explained() -> bool:
        status = api.get(PODS, "large", place).get("status") or {}
        conditions = status.get("conditions") or ()
        return any(
            c["type"] == "PodScheduled"
            and (c["status"], c.get("reason"), c.get("message"))
            == ("False", "Unschedulable", expected)
            for c in conditions
        )

    until(explained, "the condition says why", timeout=15)
    until(
        lambda: said(api, place, "large", "FailedScheduling") == [expected],
        "the event says why",
        timeout=10,
    )
    add_node(api, "b2", cpu="4")
    until(placed(api, place, "large"), "it has a node now", timeout=20)
    assert node_of(api, place, "large") == "b2"


def test_a_hundred_pods_spread_over_nodes_and_overcommit_none(
    api: Api, scheduler: SchedulerProcess, place: str
) -> None:
    for number in range(10):
        add_node(api, f"c{number}", cpu="1")
    for number in range(110):
        add_pod(api, place, f"p{number}", cpu="100m", labels={"app": "web"})

    def counts() -> dict[str, int]:
        found: dict[str, int] = {}
        for pod in api.list(PODS, place)[0]:
            name = pod["spec"].get("nodeName", "")
            found[name] = found.get(name, 0) + 1
        return found

    until(lambda: counts().get("") == 10, "a hundred have nodes", timeout=60)
    assert {n: c for n, c in counts().items() if n} == {f"c{n}": 10 for n in range(10)}


def test_an_important_pod_takes_the_place_of_another(
    api: Api, scheduler: SchedulerProcess, place: str
) -> None:
    add_node(api, "d1", cpu="1")
    api.create(PRIORITY_CLASSES, {"metadata": {"name": "vip"}, "value": 1000})
    add_pod(api, place, "humble", cpu="1", labels={"app": "humble"})
    until(placed(api, place, "humble"), "the humble pod has the node", timeout=15)
    api.create(POD_DISRUPTION_BUDGETS, {
        "metadata": {"name": "other", "namespace": place},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "other"}}},
    })  # fmt: skip
    add_pod(api, place, "important", cpu="1", priorityClassName="vip")

    def leaving() -> bool:
        pod = api.get(PODS, "humble", place)
        return "deletionTimestamp" in pod["metadata"]

    until(leaving, "the humble one is asked to leave", timeout=15)
    pod = api.get(PODS, "humble", place)
    assert any(c["type"] == "DisruptionTarget" for c in pod["status"]["conditions"])
    nominated = lambda: api.get(PODS, "important", place)["status"].get("nominatedNodeName")  # noqa: E731
    until(lambda: nominated() == "d1", "the important one is nominated", timeout=10)
    assert not node_of(api, place, "important")
    api.delete(PODS, "humble", place, grace_seconds=0)  # as its node does when it has stopped
    until(placed(api, place, "important"), "the important one has the node", timeout=20)
    until(lambda: said(api, place, "humble", "Preempted"), "it is told", timeout=10)


def test_a_gated_pod_waits_for_its_gates(api: Api, scheduler: SchedulerProcess, place: str) -> None:
    add_node(api, "e1")
    add_pod(api, place, "gated", schedulingGates=[{"name": "example.com/wait"}])
    add_pod(api, place, "free")
    until(placed(api, place, "free"), "the other has a node", timeout=15)
    assert not node_of(api, place, "gated")
    api.patch(PODS, "gated", {"spec": {"schedulingGates": []}}, place)
    until(placed(api, place, "gated"), "it has a node", timeout=15)


def test_a_local_volume_is_bound_where_the_pod_goes(
    api: Api, scheduler: SchedulerProcess, place: str
) -> None:
    for name in ("f1", "f2"):
        add_node(api, name)
    api.create(STORAGE_CLASSES, {
        "metadata": {"name": "local"}, "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    })  # fmt: skip
    field = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["f2"]}
    api.create(PERSISTENT_VOLUMES, {
        "metadata": {"name": "disk"},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local", "local": {"path": "/mnt/disk"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [field]}]}},
        },
    })  # fmt: skip
    claim = api.create(PERSISTENT_VOLUME_CLAIMS, {
        "metadata": {"name": "data", "namespace": place},
        "spec": {"storageClassName": "local", "accessModes": ["ReadWriteOnce"],
                 "resources": {"requests": {"storage": "1Gi"}}},
    })  # fmt: skip
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}
    add_pod(api, place, "user", volumes=[volume])

    def reserved() -> bool:
        reference = api.get(PERSISTENT_VOLUMES, "disk")["spec"].get("claimRef") or {}
        return reference.get("uid") == claim["metadata"]["uid"]

    until(reserved, "the volume is given to the claim", timeout=15)
    assert not node_of(api, place, "user")
    # What the volume controller does next.
    done = {"pv.kubernetes.io/bind-completed": "yes"}
    patch = {"metadata": {"annotations": done}, "spec": {"volumeName": "disk"}}
    api.patch(PERSISTENT_VOLUME_CLAIMS, "data", patch, place)
    until(placed(api, place, "user"), "the pod has a node", timeout=15)
    assert node_of(api, place, "user") == "f2"


def test_when_the_leader_is_killed_another_goes_on(
    api: Api, server: ServerUnderTest, place: str, tmp_path: Path
) -> None:
    short = tmp_path / "config.yaml"
    short.write_text(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"
        "leaderElection: {leaseDuration: 3s, renewDeadline: 2s, retryPeriod: 500ms,"
        " resourceName: second}\n"
        "profiles: [{schedulerName: second}]\n"
    )
    options = ("--config", str(short))
    first = SchedulerProcess(tmp_path, server.kubeconfig, "first", *options)
    second: SchedulerProcess | None = None
    try:
        until(first.leads, "the first leads", timeout=30)
        second = SchedulerProcess(tmp_path, server.kubeconfig, "second", *options)
        until(lambda: second.page("/readyz") == "ok", "the second waits", timeout=30)
        assert not second.leads()
        add_node(api, "g1")
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(10)
        add_pod(api, place, "late", schedulerName="second")
        until(placed(api, place, "late"), "the second has taken over", timeout=30)
        assert api.get(LEASES, "second", "kube-system")["spec"]["leaseTransitions"] >= 1
    finally:
        first.stop()
        if second:
            second.stop()

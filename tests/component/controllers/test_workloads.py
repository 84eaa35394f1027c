"""What a person does with kubectl, and what comes of it: a real API server, real controllers, and
pods that somebody pretends to run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pykubelet.controllers.cronjob.decision import SCHEDULED
from tests.component.controllers.conftest import Cluster
from tests.support.waiting import until

Json = dict[str, Any]

WORKLOAD = """
apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}}}
spec:
  {spec}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: c, image: "{image}"}}]}}
"""

JOB = """
apiVersion: batch/v1
kind: Job
metadata: {name: indexed}
spec:
  completions: 4
  parallelism: 2
  completionMode: Indexed
  template:
    spec:
      restartPolicy: Never
      containers: [{name: c, image: work}]
"""

CRON_JOB = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: tick}
spec:
  schedule: "@every 2s"
  successfulJobsHistoryLimit: 2
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: c, image: work}]
"""

BUDGET = """
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: guarded}
spec:
  maxUnavailable: 1
  selector: {matchLabels: {app: guarded}}
"""


def apply(cluster: Cluster, text: str) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=text)


def read(cluster: Cluster, *args: str) -> Json:
    found: Json = json.loads(cluster.kubectl("get", *args, "-o", "json"))
    return found


def test_a_deployment_is_created_rolled_out_rolled_back_and_scaled(cluster: Cluster) -> None:
    kubectl = cluster.kubectl
    kubectl("create", "deployment", "web", "--image=web:1", "--replicas=3")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    kubectl("set", "image", "deployment/web", "*=web:2")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    images = "jsonpath={.items[*].spec.containers[0].image}"
    cluster.until("only new pods", "web:2 web:2 web:2", "pods", "-lapp=web", "-o", images)
    kubectl("rollout", "undo", "deployment/web")
    kubectl("rollout", "status", "deployment/web", "--timeout=60s")
    cluster.until("the old image again", "web:1 web:1 web:1", "pods", "-lapp=web", "-o", images)
    assert "3" in kubectl("rollout", "history", "deployment/web")
    kubectl("scale", "deployment/web", "--replicas=5")
    kubectl("wait", "deployment/web", "--for=jsonpath={.status.availableReplicas}=5")
    assert "ScalingReplicaSet" in kubectl("describe", "deployment", "web")


def test_a_bad_image_stops_the_rollout_and_the_old_pods_go_on(cluster: Cluster) -> None:
    strategy = "replicas: 4\n  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}"
    text = WORKLOAD.format(kind="Deployment", name="careful", spec=strategy, image="careful:1")
    apply(cluster, text)
    cluster.kubectl("rollout", "status", "deployment/careful", "--timeout=60s")
    apply(cluster, text.replace("careful:1", "bad"))
    path = "jsonpath={.status.updatedReplicas}/{.status.availableReplicas}"
    cluster.until("one new pod beside four old ones", "1/4", "deployment/careful", "-o", path)
    apply(cluster, text)
    cluster.kubectl("rollout", "status", "deployment/careful", "--timeout=60s")


def test_a_paused_deployment_waits_until_it_is_resumed(cluster: Cluster) -> None:
    kubectl = cluster.kubectl
    kubectl("create", "deployment", "patient", "--image=patient:1")
    kubectl("rollout", "status", "deployment/patient", "--timeout=60s")
    kubectl("rollout", "pause", "deployment/patient")
    kubectl("set", "image", "deployment/patient", "*=patient:2")
    kubectl("scale", "deployment/patient", "--replicas=2")
    kubectl("wait", "deployment/patient", "--for=jsonpath={.status.availableReplicas}=2")
    assert len(read(cluster, "rs", "-lapp=patient")["items"]) == 1
    kubectl("rollout", "resume", "deployment/patient")
    kubectl("rollout", "status", "deployment/patient", "--timeout=60s")
    assert len(read(cluster, "rs", "-lapp=patient")["items"]) == 2


def test_killed_in_the_middle_of_a_rollout_the_manager_goes_on_where_it_was(
    cluster: Cluster,
) -> None:
    kubectl = cluster.kubectl
    kubectl("create", "deployment", "tough", "--image=tough:1", "--replicas=8")
    kubectl("rollout", "status", "deployment/tough", "--timeout=60s")
    kubectl("set", "image", "deployment/tough", "*=tough:2")
    cluster.manager.kill()
    cluster.manager.start()
    kubectl("rollout", "status", "deployment/tough", "--timeout=60s")
    images = "jsonpath={.items[*].spec.containers[0].image}"
    cluster.until("eight new pods", " ".join(["tough:2"] * 8), "pods", "-lapp=tough", "-o", images)


def test_deleting_a_deployment_takes_everything_with_it(cluster: Cluster) -> None:
    cluster.kubectl("create", "deployment", "brief", "--image=brief:1", "--replicas=2")
    cluster.kubectl("rollout", "status", "deployment/brief", "--timeout=60s")
    cluster.kubectl("delete", "deployment", "brief")
    cluster.until("nothing is left", "", "rs,pods", "-lapp=brief", "-o", "name")


def test_a_replication_controller_keeps_its_pods(cluster: Cluster) -> None:
    text = WORKLOAD.format(kind="ReplicationController", name="old", spec="replicas: 2", image="o")
    text = text.replace("apps/v1", "v1").replace("{matchLabels: {app: old}}", "{app: old}")
    apply(cluster, text)
    cluster.kubectl("wait", "rc/old", "--for=jsonpath={.status.readyReplicas}=2")
    name = read(cluster, "pods", "-lapp=old")["items"][0]["metadata"]["name"]
    cluster.kubectl("delete", "pod", name, "--wait=false")

    def replaced() -> bool:
        names = {one["metadata"]["name"] for one in read(cluster, "pods", "-lapp=old")["items"]}
        return name not in names and len(names) == 2

    until(replaced, "another pod is in its place")


def test_a_stateful_set_comes_in_order_and_rolls_from_the_last(cluster: Cluster) -> None:
    text = WORKLOAD.format(
        kind="StatefulSet", name="db", spec="replicas: 3\n  serviceName: db", image="db:1"
    )
    apply(cluster, text)
    cluster.kubectl("rollout", "status", "statefulset/db", "--timeout=60s")
    pods = read(cluster, "pods", "-lapp=db", "--sort-by=.metadata.creationTimestamp")["items"]
    assert sorted(p["metadata"]["name"] for p in pods) == ["db-0", "db-1", "db-2"]
    apply(cluster, text.replace("db:1", "db:2"))
    cluster.kubectl("rollout", "status", "statefulset/db", "--timeout=60s")
    assert "2" in cluster.kubectl("rollout", "history", "statefulset/db")
    cluster.kubectl("rollout", "undo", "statefulset/db")
    images = "jsonpath={.items[*].spec.containers[0].image}"
    cluster.until("the old image again", "db:1 db:1 db:1", "pods", "-lapp=db", "-o", images)


def test_a_daemon_set_has_a_pod_on_each_node_and_rolls(cluster: Cluster) -> None:
    text = WORKLOAD.format(kind="DaemonSet", name="agent", spec="minReadySeconds: 0", image="a:1")
    apply(cluster, text)
    cluster.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")
    apply(cluster, text.replace("a:1", "a:2"))
    cluster.kubectl("rollout", "status", "daemonset/agent", "--timeout=60s")
    images = "jsonpath={.items[*].spec.containers[0].image}"
    cluster.until("the new image", "a:2", "pods", "-lapp=agent", "-o", images)


def test_a_job_runs_to_its_end(cluster: Cluster) -> None:
    cluster.kubectl("create", "job", "once", "--image=work")
    cluster.kubectl("wait", "job/once", "--for=condition=Complete", "--timeout=60s")
    status = read(cluster, "job", "once")["status"]
    assert (status["succeeded"], "completionTime" in status) == (1, True)
    pods = read(cluster, "pods", "-lbatch.kubernetes.io/job-name=once")["items"]
    assert [pod["metadata"].get("finalizers") for pod in pods] == [None]


def test_an_indexed_job_does_each_index_once(cluster: Cluster) -> None:
    apply(cluster, JOB)
    cluster.kubectl("wait", "job/indexed", "--for=condition=Complete", "--timeout=60s")
    assert read(cluster, "job", "indexed")["status"]["completedIndexes"] == "0-3"


def test_a_cron_job_starts_jobs_and_keeps_a_few(cluster: Cluster) -> None:
    apply(cluster, CRON_JOB)
    cluster.kubectl("create", "job", "by-hand", "--from=cronjob/tick")
    cluster.kubectl("wait", "job/by-hand", "--for=condition=Complete", "--timeout=60s")

    def by_the_clock() -> bool:
        jobs = [j["metadata"] for j in read(cluster, "jobs")["items"]]
        marked = [j for j in jobs if SCHEDULED in (j.get("annotations") or {})]
        return len(marked) == 2

    until(by_the_clock, "jobs have been started by the clock, and only two kept", 60, 0.3)
    cluster.kubectl("delete", "cronjob", "tick")


def test_a_budget_knows_how_many_may_go(cluster: Cluster) -> None:
    apply(cluster, BUDGET)
    cluster.kubectl("create", "deployment", "guarded", "--image=guarded:1", "--replicas=3")
    cluster.kubectl("wait", "pdb/guarded", "--for=jsonpath={.status.disruptionsAllowed}=1")
    assert read(cluster, "pdb", "guarded")["status"]["expectedPods"] == 3


def test_an_autoscaler_without_metrics_says_so_and_keeps_the_limits(cluster: Cluster) -> None:
    cluster.kubectl("create", "deployment", "busy", "--image=busy:1", "--replicas=1")
    cluster.kubectl("autoscale", "deployment", "busy", "--min=2", "--max=4", "--cpu-percent=50")
    cluster.kubectl("wait", "deployment/busy", "--for=jsonpath={.spec.replicas}=2", "--timeout=60s")


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_the_manager_says_that_it_is_well(cluster: Cluster, path: str) -> None:
    assert cluster.manager.get(path) == (200, "ok")
    assert "[+]deployment-controller ok" in cluster.manager.get("/readyz?verbose")[1]


def test_the_manager_counts_its_work(cluster: Cluster) -> None:
    _, text = cluster.manager.get("/metrics")
    assert 'workqueue_adds_total{name="deployment-controller"}' in text
    assert 'leader_election_master_status{name="kube-controller-manager"} 1' in text

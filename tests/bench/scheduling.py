"""How many decisions a second the scheduler makes by itself, without any API server: 5,000 nodes in
three zones, all plugins by default, each decision followed by the pod being assumed on its node
(the reference's own gate for that size is 810 pods a second). And how many pods a second get their
node with API server and scheduler as two processes on this machine, 500 nodes, 3,000 pods.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pykubelet.cli.cluster import api_of
from pykubelet.client.resources import NAMESPACES, SERVICE_ACCOUNTS
from pykubelet.scheduler import nodes, pods
from pykubelet.scheduler.brain import SCHEDULED, Brain
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.profiles import build
from tests.bench.rows import Row
from tests.component.apiserver.conftest import ServerUnderTest
from tests.support.scheduler import SchedulerProcess, add_node, add_pod

Json = dict[str, Any]

NODES = 5_000
PODS = 5_000
TO_REACH = 1_000
ZONE, HOSTNAME = "topology.kubernetes.io/zone", "kubernetes.io/hostname"


def rows() -> Iterator[Row]:
    for what, make in MIXES.items():
        yield _row(what, make)
    with tempfile.TemporaryDirectory() as folder:
        yield _bound(Path(folder))


def _row(what: str, make: Callable[[int], Json]) -> Row:
    brain = Brain({"default-scheduler": build()})
    for number in range(NODES):
        brain.node(nodes.read(_node(number)), 0.0)
    for number in range(100):
        _put_set(brain, number)
    for number in range(PODS):
        brain.pod(pods.read(make(number)), 0.0)
    gc.collect()
    began = time.perf_counter()
    done = 0
    while (turn := brain.turn(0.0)) is not None:
        done += turn.result == SCHEDULED
        _confirm(brain, turn.actions[0].pod)
    took = time.perf_counter() - began
    assert done == PODS, f"{done} of {PODS} found a node"
    rate = PODS / took
    return Row(f"decisions at {NODES:,} nodes, {what}", rate, "/s", 810.0, "upstream's own gate",
               f"at least {TO_REACH:,}/s", rate >= TO_REACH)  # fmt: skip


def _bound(folder: Path) -> Row:
    server = ServerUnderTest(folder)
    server.start()
    scheduler: SchedulerProcess | None = None
    try:
        api = api_of(server.kubeconfig, "bench")
        api.create(NAMESPACES, {"metadata": {"name": "bench"}})
        api.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "bench"}})
        for number in range(500):
            add_node(api, f"node-{number}", "8", **{ZONE: f"zone-{number % 3}"})
        for number in range(3_000):
            add_pod(api, "bench", f"pod-{number}", labels={"app": f"app-{number % 30}"})
        scheduler = SchedulerProcess(folder, server.kubeconfig, "scheduler")
        began = time.perf_counter()
        while (bound := scheduler.bound()) == 0 and time.perf_counter() - began < 60:
            time.sleep(0.05)
        began = time.perf_counter()
        first = bound
        while (bound := scheduler.bound()) < 3_000 and time.perf_counter() - began < 120:
            time.sleep(0.1)
        took = time.perf_counter() - began
    finally:
        if scheduler:
            scheduler.stop()
        server.stop()
    rate = (bound - first) / took
    return Row("pods that get their node, 500 nodes, API server beside it", rate, "/s", 184.0,
               "the reference, measured once", "at least 2 x", rate >= 368)  # fmt: skip


def _confirm(brain: Brain, pod: PodInfo) -> None:
    """What the API server says a moment later."""
    list(brain.bound(pod))
    brain.pod(pod, 0.0)


def _node(number: int) -> Json:
    name = f"node-{number}"
    return {
        "metadata": {"name": name, "labels": {HOSTNAME: name, ZONE: f"zone-{number % 3}"}},
        "spec": {},
        "status": {"allocatable": {"cpu": "8", "memory": "32Gi", "pods": "110"}},
    }


def _put_set(brain: Brain, number: int) -> None:
    name = f"app-{number}"
    selector = {"matchLabels": {"app": name}}
    metadata = {"name": name, "namespace": "default"}
    replica_set = {"metadata": metadata, "spec": {"selector": selector}}
    brain.thing("ReplicaSet", f"default/{name}", replica_set, 0.0)


def _pod(number: int, app: int, owned: bool = True, **spec: Any) -> Json:
    name = f"app-{app}"
    owner = [{"kind": "ReplicaSet", "name": name, "uid": name, "controller": True}]
    requests = {"cpu": f"{100 + app % 7 * 50}m", "memory": "500Mi"}
    return {
        "metadata": {
            "name": f"pod-{number}",
            "namespace": "default",
            "uid": f"uid-{number}",
            "labels": {"app": name},
            "ownerReferences": owner if owned else [],
        },
        "spec": {
            "containers": [{"name": "c", "image": "app:1", "resources": {"requests": requests}}],
            **spec,
        },
    }


def _one_template(number: int) -> Json:
    return _pod(number, 0, owned=False)


def _one_deployment(number: int) -> Json:
    return _pod(number, 0)


def _hundred_deployments(number: int) -> Json:
    return _pod(number, number % 100)


def _all_different(number: int) -> Json:
    return _pod(number, 1_000 + number, owned=False)


def _anti_affinity(number: int) -> Json:
    app = number % 20
    term = {"topologyKey": HOSTNAME, "labelSelector": {"matchLabels": {"app": f"app-{app}"}}}
    wish = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    return _pod(number, app, affinity={"podAntiAffinity": wish})


def _spread(number: int) -> Json:
    app = number % 20
    constraint = {
        "topologyKey": ZONE,
        "maxSkew": 1,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": f"app-{app}"}},
    }
    return _pod(number, app, topologySpreadConstraints=[constraint])


MIXES: dict[str, Callable[[int], Json]] = {
    "plain pods of one template": _one_template,
    "one Deployment, spread by default": _one_deployment,
    "100 Deployments, mixed": _hundred_deployments,
    "no two pods alike": _all_different,
    "20 Deployments, one pod a node (anti-affinity)": _anti_affinity,
    "20 Deployments, hard spread over zones": _spread,
}

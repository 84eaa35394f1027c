"""The scheduler as a process, and objects for it to look at."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from pykubelet.client.api import Api
from pykubelet.client.resources import NODES, PODS
from tests.support.ports import free_ports

Json = dict[str, Any]
ROOT = Path(__file__).parents[2]


class SchedulerProcess:
    def __init__(self, folder: Path, kubeconfig: Path, name: str, *options: str) -> None:
        (self.port,) = free_ports(1)
        self._log = folder / f"{name}.log"
        with open(self._log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pykubelet.cli.main", "scheduler", "--kubeconfig",
                 str(kubeconfig), "--secure-port", str(self.port), *options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip

    def page(self, path: str) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as got:
                return str(got.read().decode())
        except OSError:
            return ""

    def leads(self) -> bool:
        return 'leader_election_master_status{name="kube-scheduler"} 1' in self.page("/metrics")

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def knows_no_nodes(self) -> bool:
        return 'scheduler_cache_size{type="nodes"} 0\n' in self.page("/metrics")

    def bound(self) -> int:
        """How many pods it has given a node."""
        for line in self.page("/metrics").splitlines():
            if line.startswith("scheduler_schedule_attempts") and 'result="scheduled"' in line:
                return int(line.rpartition(" ")[2])
        return 0


def add_node(api: Api, name: str, cpu: str = "2", **labels: str) -> None:
    metadata = {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}}
    made = api.create(NODES, {"metadata": metadata})
    made["status"] = {
        "allocatable": {"cpu": cpu, "memory": "4Gi", "pods": "20"},
        "capacity": {"cpu": cpu, "memory": "4Gi", "pods": "20"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "x", "message": "x"}],
    }
    api.update_status(NODES, made)
    made = api.get(NODES, name)
    if made["spec"].get("taints"):  # put there until somebody says that the node is ready
        api.patch(NODES, name, {"spec": {"taints": None}})


def add_pod(api: Api, place: str, name: str, cpu: str = "100m", **spec: Any) -> Json:
    container = {"name": "c", "image": "app:1", "resources": {"requests": {"cpu": cpu}}}
    metadata = {"name": name, "namespace": place, "labels": spec.pop("labels", {"app": name})}
    return api.create(PODS, {"metadata": metadata, "spec": {"containers": [container], **spec}})

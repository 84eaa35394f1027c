"""The raw limit: a pod made and ended by nothing but the calls that it takes, no agent anywhere."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pykubelet.kubelet.runtime.client import Runtime
from tests.support.images import BUSYBOX
from tests.support.machine import Machine

Json = dict[str, Any]


class RawPods:
    """Pods straight through the CRI, like the ones that the agent is given."""

    def __init__(self, machine: Machine) -> None:
        self._runtime = Runtime(machine.endpoint)
        self._machine = machine
        self._logs = machine.home / "raw-logs"

    def start(self, name: str) -> tuple[str, float]:
        """(sandbox, seconds until its container has started)."""
        config = self._sandbox(name)
        Path(config["log_directory"]).mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        sandbox = self._runtime.run_sandbox(config)
        container = self._runtime.create_container(sandbox, self._container(), config)
        self._runtime.start_container(container)
        return sandbox, time.perf_counter() - began

    def end(self, sandbox: str) -> float:
        """Seconds until it is gone: stopped with no grace, and removed."""
        pods = self._runtime.pods()
        containers = [
            c.id for pod in pods.values() for c in pod.containers if c.sandbox_id == sandbox
        ]
        began = time.perf_counter()
        for container in containers:
            self._runtime.stop_container(container, 0)
        self._runtime.stop_sandbox(sandbox)
        self._runtime.remove_sandbox(sandbox)
        return time.perf_counter() - began

    def batch(self, count: int, parallel: int) -> float:
        """Seconds until the last of `count` pods has started, `parallel` at a time."""
        began = time.perf_counter()
        with ThreadPoolExecutor(parallel) as pool:
            made = list(pool.map(lambda n: self.start(f"raw-batch-{n}")[0], range(count)))
        took = time.perf_counter() - began
        with ThreadPoolExecutor(parallel) as pool:
            list(pool.map(self.end, made))
        return took

    def close(self) -> None:
        self._runtime.close()

    def _sandbox(self, name: str) -> Json:
        return {
            "metadata": {"name": name, "uid": name, "namespace": "default", "attempt": 0},
            "hostname": name,
            "log_directory": str(self._logs / name),
            "labels": {"io.kubernetes.pod.uid": name},
            "linux": {
                "cgroup_parent": f"{self._machine.cgroup_root}/raw/{name}",
                "security_context": {"seccomp": {"profile_type": 0}},
            },
        }

    def _container(self) -> Json:
        return {
            "metadata": {"name": "main", "attempt": 0},
            "image": {"image": BUSYBOX},
            "command": ["sleep", "100000"],
            "log_path": "main.log",
            "linux": {
                "resources": {"cpu_shares": 2, "oom_score_adj": 1000},
                "security_context": {"seccomp": {"profile_type": 0}},
            },
        }

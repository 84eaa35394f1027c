"""A cluster of one throw-away machine: the API server and what else a test wants, as processes.

Everything listens on the machine's own loopback, so the tests speak to it through kubectl run
inside the machine's network.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support import kubectl
from tests.support.agent import NODE, REPOSITORY, AgentProcess
from tests.support.machine import Machine, stop
from tests.support.waiting import until

Json = dict[str, Any]

KUBECTL = None if kubectl.missing() else shutil.which("kubectl")


class Cluster:
    """The API server, started at once; `start(component)` for the others."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.data = machine.home / "api"
        self.kubeconfig = self.data / "admin.conf"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.start_server()

    def start_server(self) -> None:
        self.start("apiserver", "--data-dir", self.data)
        until(lambda: self.kubectl("get", "--raw", "/readyz") == "ok", "the API is ready")

    def start(self, component: str, *flags: str | Path) -> None:
        """A command of pykubelet in the background."""
        self.processes[component] = self.machine.start(
            *(sys.executable, "-m", "pykubelet.cli.main", component, *flags),
            log=component,
            env={"PYTHONPATH": str(REPOSITORY)},
        )

    def stop(self, component: str) -> None:
        stop(self.processes.pop(component))

    def start_controllers(self) -> None:
        """The scheduler and the controller manager."""
        authority = self.data / "ca.crt"
        self.start(
            "controller-manager", "--kubeconfig", self.kubeconfig, "--root-ca-file", authority
        )
        self.start("scheduler", "--kubeconfig", self.kubeconfig)

    def agent(self, *flags: str) -> AgentProcess:
        """The node agent as a member of this cluster, registered."""
        agent = AgentProcess(
            self.machine,
            *("--kubeconfig", str(self.kubeconfig)),
            *("--client-ca-file", str(self.data / "ca.crt")),
            *flags,
        )
        until(lambda: self.condition("node", NODE, "Ready") == "True", "the node is Ready")
        return agent

    # -- kubectl --------------------------------------------------------------------------------

    def kubectl(self, *words: str, input: str | None = None, check: bool = True) -> str:
        """What kubectl prints. AssertionError with its complaint where it fails."""
        assert KUBECTL
        done = subprocess.run(
            self.machine.enter(KUBECTL, "--kubeconfig", self.kubeconfig, *words),
            capture_output=True,
            text=True,
            input=input,
            check=False,
            env={**os.environ, "HOME": str(self.machine.home)},
        )
        if check and done.returncode:
            said = f"{done.stderr.strip()}\n{done.stdout.strip()}"
            raise AssertionError(f"kubectl {' '.join(words)}: {said}")
        return done.stdout

    def get(self, *words: str) -> Json:
        """The object, or the list, as JSON."""
        return dict(json.loads(self.kubectl("get", *words, "-o", "json")))

    def apply(self, *objects: Json) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "-f", "-", input=json.dumps(listed))

    def exists(self, *words: str) -> bool:
        return bool(self.kubectl("get", *words, "--ignore-not-found", "-o", "name").strip())

    def condition(self, kind: str, name: str, condition: str) -> str:
        """The status of one condition, empty where there is none."""
        if not self.exists(kind, name):
            return ""
        for found in self.get(kind, name).get("status", {}).get("conditions") or ():
            if found["type"] == condition:
                return str(found["status"])
        return ""

    def wait_ready(self, pod: str, timeout: float = 30) -> None:
        until(lambda: self.condition("pod", pod, "Ready") == "True", f"pod {pod} is ready", timeout)

    def wait_gone(self, *words: str, timeout: float = 40) -> None:
        until(lambda: not self.exists(*words), f"{words} is gone", timeout)

"""A real API server, a real controller manager, and a kubelet that only pretends.

The pretender binds pods to its one node and tells what a kubelet would: running and ready, at an
end for pods that don't restart, gone when they are deleted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pykubelet.cli.cluster import api_of
from pykubelet.client.api import Api
from pykubelet.client.errors import ApiError
from pykubelet.client.informer import Informer
from pykubelet.client.resources import NODES, PODS
from pykubelet.clock import rfc3339
from tests.component.apiserver.conftest import ServerUnderTest
from tests.support.ports import free_ports
from tests.support.waiting import until

Json = dict[str, Any]
ROOT = Path(__file__).parents[3]
NODE = "pretender"


class Pretender:
    """The world below the API."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._informer = Informer(api, PODS)
        self._informer.add_handler(self._changed)
        self._epoch = 1_800_000_000.0
        api.create(NODES, {"metadata": {"name": NODE}, "spec": {}})
        # A new node counts as not ready until its kubelet has spoken.
        api.patch(NODES, NODE, {"spec": {"taints": None}})

    def start(self) -> None:
        self._informer.start()

    def stop(self) -> None:
        self._informer.stop()

    def _changed(self, old: Json | None, new: Json | None) -> None:
        if new is not None:
            threading.Thread(target=self._tend, args=(new,), daemon=True).start()

    def _tend(self, pod: Json) -> None:
        metadata, phase = pod["metadata"], (pod.get("status") or {}).get("phase")
        name, namespace = metadata["name"], metadata["namespace"]
        try:
            if "deletionTimestamp" in metadata:
                self._api.delete(PODS, name, namespace, grace_seconds=0, uid=metadata["uid"])
            elif not pod["spec"].get("nodeName"):
                target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
                binding = {
                    "apiVersion": "v1",
                    "kind": "Binding",
                    "metadata": {"name": name, "namespace": namespace},
                    "target": target,
                }
                self._api.create(PODS, binding, "binding", name)
            elif phase == "Pending" and "bad" not in pod["spec"]["containers"][0]["image"]:
                ends = pod["spec"].get("restartPolicy") != "Always"
                self._api.patch(
                    PODS, name, {"status": self._status(ends)}, namespace, subresource="status"
                )
        except ApiError:
            pass  # somebody was faster; the next event tells

    def _status(self, ends: bool) -> Json:
        ready = {
            "type": "Ready",
            "status": "False" if ends else "True",
            "lastTransitionTime": rfc3339(self._epoch),
        }
        return {"phase": "Succeeded" if ends else "Running", "conditions": [ready]}


class ManagerUnderTest:
    def __init__(self, server: ServerUnderTest, *options: str) -> None:
        self._server = server
        self._options = options
        (self.port,) = free_ports(1)
        self.log = server.folder / "manager.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pykubelet.cli.main", "controller-manager",
                 "--kubeconfig", str(self._server.kubeconfig), "--secure-port", str(self.port),
                 "--leader-elect=false", *self._options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        until(lambda: self.get("/readyz")[0] == 200, "the manager is ready", timeout=60)

    def get(self, path: str) -> tuple[int, str]:
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        assert self._process
        self._process.terminate()
        return self._process.wait(20)


class Cluster:
    def __init__(self, server: ServerUnderTest, manager: ManagerUnderTest, api: Api) -> None:
        self.manager = manager
        self.api = api
        self.kubectl = server.kubectl

    def until(self, what: str, expected: str, *args: str, timeout: float = 60) -> None:
        """`kubectl get` with these arguments prints the expected text."""
        until(lambda: self.kubectl("get", *args).strip() == expected, what, timeout, 0.2)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    server = ServerUnderTest(tmp_path_factory.mktemp("server"))
    server.start()
    # Nobody renews the pretender's lease.
    manager = ManagerUnderTest(server, "--controllers", "*,-nodelifecycle")
    api = api_of(server.kubeconfig, "test")
    pretender = Pretender(api)
    try:
        manager.start()
        pretender.start()
        yield Cluster(server, manager, api)
    finally:
        pretender.stop()
        manager.stop()
        server.stop()

"""Real pods in their own cgroups, on a throw-away containerd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pykubelet.kubelet.cgroups import limits
from pykubelet.kubelet.cgroups.tree import Cgroups, NodeReservations, detect
from pykubelet.kubelet.node import logs
from pykubelet.kubelet.runtime.containers import container_config
from pykubelet.kubelet.runtime.sandboxes import sandbox_config
from pykubelet.kubelet.runtime.security import NodeSecurity
from tests.component.runtime.pods import FOREVER, Node
from tests.support import images

Json = dict[str, Any]


class Lab:
    """One node: `runtime`, `cgroups`, and pods by `start`."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.runtime = node.runtime
        self.home = node.machine.home
        self.logs = Path(self.home, "pods")
        self.cgroups: Cgroups = detect(node.machine.cgroup_root)
        self.cgroups.ensure_tree(NodeReservations(2000, 8 << 30))
        self.rules = limits.Rules(8 << 30, cgroup_version=self.cgroups.host.version)

    def start(self, uid: str, *command: str, resources: Json | None = None) -> Json:
        """A pod `pod-<uid>` of one busybox container c, running in its cgroup with its limits."""
        container = {
            "name": "c", "image": images.BUSYBOX, "command": list(command) or FOREVER,
            "resources": resources or {},
        }  # fmt: skip
        pod = {
            "metadata": {"name": f"pod-{uid}", "namespace": "default", "uid": uid},
            "spec": {"containers": [container]},
        }
        self.cgroups.ensure_pod(pod, limits.pod_limits(pod, self.rules))
        folder = logs.pod_folder(pod, str(self.logs))
        sandbox = sandbox_config(
            pod, attempt=0, log_directory=folder, hostname=uid, dns=None,
            cgroup_parent=self.cgroups.parent(pod),
        )  # fmt: skip
        box = self.runtime.run_sandbox(sandbox)
        self.run_container(pod, box, sandbox)
        return pod

    def run_container(self, pod: Json, box: str, sandbox: Json, attempt: int = 0) -> str:
        container = pod["spec"]["containers"][0]
        image = self.runtime.image(container["image"])
        assert image
        config = container_config(
            pod, container, attempt=attempt, image=image, image_ref=image.id, env=(),
            resources=limits.container_resources(pod, container, self.rules),
            log_path=logs.container_file(container["name"], attempt),
            node=NodeSecurity(apparmor=False, cpus=2),
        )  # fmt: skip
        id = self.runtime.create_container(box, config, sandbox)
        self.runtime.start_container(id)
        return id

    def remove(self, uid: str) -> None:
        for pod in self.runtime.pods(uid).values():
            for sandbox in pod.sandboxes:
                self.runtime.stop_sandbox(sandbox.id)
                self.runtime.remove_sandbox(sandbox.id)
        self.cgroups.remove_pod(uid)

"""Pods made from specs the way that the agent makes them, on a machine of the test's own."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from pykubelet.kubelet.runtime.client import Runtime
from pykubelet.kubelet.runtime.containers import container_config, log_path
from pykubelet.kubelet.runtime.model import Container, ContainerState, PodRuntime
from pykubelet.kubelet.runtime.sandboxes import sandbox_config
from pykubelet.kubelet.runtime.security import NodeSecurity
from tests.support import images
from tests.support.machine import Machine
from tests.support.waiting import until

Json = dict[str, Any]
FOREVER = ["sleep", "1000000"]


@dataclass
class Pod:
    """A pod in the runtime: `start` its containers one by one, look at it, `remove` it."""

    node: Node
    spec: Json
    uid: str
    sandbox: str = ""
    config: Json = field(default_factory=dict)

    @property
    def object(self) -> Json:
        metadata = {"name": f"pod-{self.uid}", "namespace": "default", "uid": self.uid}
        return {"metadata": metadata, "spec": self.spec}

    @property
    def logs(self) -> str:
        return f"{self.node.machine.home}/logs/{self.uid}"

    def configure(self, attempt: int = 0, **more: Any) -> Json:
        self.config = sandbox_config(
            self.object,
            attempt=attempt,
            log_directory=self.logs,
            hostname=f"pod-{self.uid}",
            dns={"servers": ["192.0.2.53"], "searches": ["test.local"], "options": ["ndots:5"]},
            cgroup_parent=f"{self.node.machine.cgroup_root}/{self.uid}",
            **more,
        )
        return self.config

    def run(self, attempt: int = 0, **more: Any) -> Pod:
        self.sandbox = self.node.runtime.run_sandbox(self.configure(attempt, **more))
        return self

    def create(self, name: str = "c", attempt: int = 0, **more: Any) -> str:
        kinds = ("initContainers", "containers", "ephemeralContainers")
        every = [each for kind in kinds for each in self.spec.get(kind) or ()]
        container = next(each for each in every if each["name"] == name)
        image = self.node.runtime.image(container["image"])
        assert image
        config = container_config(
            self.object,
            container,
            attempt=attempt,
            image=image,
            image_ref=image.id,
            env=[(each["name"], each["value"]) for each in container.get("env") or ()],
            log_path=log_path(container, attempt),
            node=NodeSecurity(apparmor=False, cpus=2),
            **more,
        )
        return self.node.runtime.create_container(self.sandbox, config, self.config)

    def start(self, name: str = "c", attempt: int = 0, **more: Any) -> str:
        id = self.create(name, attempt, **more)
        self.node.runtime.start_container(id)
        return id

    def seen(self) -> PodRuntime:
        return self.node.runtime.pods(self.uid)[self.uid]

    def container(self, name: str = "c") -> Container:
        found = self.seen().latest(name)
        assert found
        return found

    def exited(self, name: str = "c") -> Container:
        return until(
            lambda: self.container(name).state is ContainerState.EXITED and self.container(name),
            f"container {name} has exited",
        )

    def sh(self, script: str, name: str = "c") -> str:
        """What a shell inside prints; it must succeed."""
        result = self.node.runtime.exec_sync(self.container(name).id, ["sh", "-c", script], 10)
        assert result.exit_code == 0, result.stderr
        return result.stdout.decode()

    def log(self, name: str = "c", attempt: int = 0) -> str:
        """What a container has printed, without the time and stream that CRI puts before it."""
        with open(f"{self.logs}/{name}/{attempt}.log") as file:
            return "".join(line.split(" ", 3)[3] for line in file)

    def remove(self) -> None:
        if self.sandbox:
            self.node.runtime.stop_sandbox(self.sandbox)
            self.node.runtime.remove_sandbox(self.sandbox)


class Node:
    """A machine with its runtime. `pod` gives a new pod of one `busybox` container called c."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.runtime = Runtime(machine.endpoint)
        self._numbers = itertools.count(1)

    def pod(self, container: Json | None = None, **spec: Any) -> Pod:
        own = {"name": "c", "image": images.BUSYBOX, "command": FOREVER, **(container or {})}
        return Pod(self, {"containers": [own], **spec}, f"u{next(self._numbers)}")

    def runs(self, container: Json | None = None, **spec: Any) -> Pod:
        """The same, running."""
        pod = self.pod(container, **spec).run()
        pod.start()
        return pod


def make_node(machine: Machine) -> Node:
    machine.load_images()
    machine.use_reference_cni()
    node = Node(machine)
    until(lambda: node.runtime.status().network_ready, "the network is configured")
    return node

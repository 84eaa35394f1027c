"""What is in the runtime, as pods: the lists, with details asked only for what has changed.

A list says id and state; times, exit codes, reasons and addresses need a call per item. An item
whose state has not changed since we asked has no news, so that looking again at a hundred quiet
pods costs two calls. `client` owns the one `Relist`; `events` asks it whose an id is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from pykubelet.errors import NotFound
from pykubelet.kubelet.runtime import answers, labels
from pykubelet.kubelet.runtime.calls import Service
from pykubelet.kubelet.runtime.model import Container, ContainerState, PodRuntime, Sandbox
from pykubelet.objects.wire.messages import Message

# The reason of an exit (OOMKilled) may be filled in by the runtime a moment after the exit itself,
# so that an answer this young is not kept. Seconds.
SETTLING = 5.0

T = TypeVar("T", Sandbox, Container)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose an id is."""

    uid: str
    is_sandbox: bool


class Relist:
    """Thread-safe. `wall` gives seconds since the epoch, as the runtime's stamps count them."""

    def __init__(self, service: Service, wall: Callable[[], float] = time.time) -> None:
        self._service = service
        self._wall = wall
        self._lock = threading.Lock()
        self._sandboxes: dict[str, Sandbox] = {}
        self._containers: dict[str, Container] = {}
        self._owners: dict[str, Owner] = {}

    def pods(self, uid: str | None = None) -> dict[str, PodRuntime]:
        """By UID; with `uid`, that pod alone (an empty dict where the runtime knows nothing)."""
        selector = {"label_selector": {labels.POD_UID: uid}} if uid is not None else {}
        listed = self._service.call("ListPodSandbox", filter=selector).items
        sandboxes = self._present(
            self._sandbox(each) for each in listed if labels.POD_UID in each.labels
        )
        listed = self._service.call("ListContainers", filter=selector).containers
        containers = self._present(
            self._container(each) for each in listed if labels.POD_UID in each.labels
        )
        self._forget_all_but({*sandboxes, *containers}, uid)
        return _by_pod(sandboxes.values(), containers.values())

    def remember(self, id: str, uid: str, *, is_sandbox: bool) -> None:
        """Tell of something just made, before any list has shown it."""
        with self._lock:
            self._owners[id] = Owner(uid, is_sandbox)

    def forget(self, id: str) -> None:
        """Ask for the details of this container anew, although its state is the same."""
        with self._lock:
            self._containers.pop(id, None)

    def owner(self, id: str) -> Owner | None:
        """Whose `id` is; None for what is not a pod's, or is gone before we ever saw it."""
        with self._lock:
            known = self._owners.get(id)
        if known:
            return known
        for call, field in (("ListContainers", "containers"), ("ListPodSandbox", "items")):
            for each in getattr(self._service.call(call, filter={"id": id}), field):
                if labels.POD_UID in each.labels:
                    uid = each.labels[labels.POD_UID]
                    self.remember(id, uid, is_sandbox=field == "items")
                    return Owner(uid, field == "items")
        return None

    def _sandbox(self, listed: Message) -> Sandbox | None:
        known = self._sandboxes.get(listed.id)
        ready = answers.sandbox_ready(listed.state)
        if known and known.ready == ready:
            return known
        # Once torn down it has no addresses, but the pod keeps those that it had.
        ips = known.ips if known else ()
        if ready:
            try:
                response = self._service.call("PodSandboxStatus", pod_sandbox_id=listed.id)
            except NotFound:
                return None
            ips = answers.ips(response.status)
        made = answers.sandbox(listed, ips)
        with self._lock:
            self._sandboxes[made.id] = made
            self._owners[made.id] = Owner(made.uid, is_sandbox=True)
        return made

    def _container(self, listed: Message) -> Container | None:
        known = self._containers.get(listed.id)
        if known and known.state is answers.container_state(listed.state):
            return known
        try:
            response = self._service.call("ContainerStatus", container_id=listed.id)
        except NotFound:
            return None
        made = answers.container(listed, response.status)
        with self._lock:
            self._owners[made.id] = Owner(made.uid, is_sandbox=False)
            if self._settled(made):
                self._containers[made.id] = made
        return made

    def _settled(self, container: Container) -> bool:
        if container.state is ContainerState.UNKNOWN:
            return False
        young = abs(self._wall() - container.finished_at / 1e9) < SETTLING
        return container.state is not ContainerState.EXITED or not young

    @staticmethod
    def _present(items: Iterable[T | None]) -> dict[str, T]:
        return {item.id: item for item in items if item is not None}

    def _forget_all_but(self, present: set[str], uid: str | None) -> None:
        with self._lock:
            for id, owner in list(self._owners.items()):
                if id not in present and uid in (None, owner.uid):
                    self._owners.pop(id)
                    self._sandboxes.pop(id, None)
                    self._containers.pop(id, None)


def _by_pod(sandboxes: Iterable[Sandbox], containers: Iterable[Container]) -> dict[str, PodRuntime]:
    by_uid: dict[str, tuple[list[Sandbox], list[Container]]] = {}
    for sandbox in sandboxes:
        by_uid.setdefault(sandbox.uid, ([], []))[0].append(sandbox)
    for container in containers:
        by_uid.setdefault(container.uid, ([], []))[1].append(container)
    pods = {}
    for uid, (own_sandboxes, own_containers) in by_uid.items():
        own_sandboxes.sort(key=lambda each: (each.created_at, each.attempt), reverse=True)
        own_containers.sort(key=lambda each: (each.created_at, each.attempt), reverse=True)
        tags = (own_sandboxes or own_containers)[0].labels
        pods[uid] = PodRuntime(
            uid=uid,
            name=tags.get(labels.POD_NAME, ""),
            namespace=tags.get(labels.POD_NAMESPACE, ""),
            sandboxes=tuple(own_sandboxes),
            containers=tuple(own_containers),
        )
    return pods

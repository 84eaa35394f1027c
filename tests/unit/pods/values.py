"""Pods, containers and snapshots as short as a test wants to say them."""

from __future__ import annotations

from typing import Any

from pykubelet.kubelet.pods.snapshot import Action, Snapshot, Underway
from pykubelet.kubelet.runtime.labels import CONTAINER_HASH, container_hash
from pykubelet.kubelet.runtime.model import Container, ContainerState, PodRuntime, Sandbox

Json = dict[str, Any]

NOW, WALL = 1000.0, 1_700_000_000.0
RUNNING, EXITED = ContainerState.RUNNING, ContainerState.EXITED
CREATED, UNKNOWN = ContainerState.CREATED, ContainerState.UNKNOWN


def declared(name: str = "main", **more: Any) -> Json:
    return {"name": name, "image": "image:1", **more}


def pod(*containers: Json, init: tuple[Json, ...] = (), **spec: Any) -> Json:
    return {
        "metadata": {"name": "web", "namespace": "default", "uid": "u"},
        "spec": {
            "restartPolicy": "Always",
            "initContainers": list(init),
            "containers": list(containers) or [declared()],
            **spec,
        },
    }


def sandbox(id: str = "s0", attempt: int = 0, ready: bool = True) -> Sandbox:
    return Sandbox(id, "u", "web", "default", attempt, ready, 10 + attempt, ips=("10.0.0.5",))


def made(
    name: str = "main",
    state: ContainerState = RUNNING,
    code: int = 0,
    attempt: int = 0,
    sandbox: str = "s0",
    **more: Any,
) -> Container:
    values: Json = {
        "created_at": 20 + attempt,
        "started_at": int(WALL * 1e9),
        "finished_at": int(WALL * 1e9) if state is EXITED else 0,
        "image": "image:1",
        "annotations": {CONTAINER_HASH: container_hash(declared(name))},
        **more,
    }
    return Container(
        f"{name}-{attempt}", name, sandbox, "u", attempt, state, exit_code=code, **values
    )


def snap(pod: Json, *found: Sandbox | Container, **more: Any) -> Snapshot:
    """A snapshot of a prepared pod; newest attempts first, as the runtime lists them."""
    boxes = [b for b in found if isinstance(b, Sandbox)]
    containers = [c for c in found if isinstance(c, Container)]
    boxes.sort(key=lambda b: -b.created_at)
    containers.sort(key=lambda c: -c.created_at)
    runtime = PodRuntime("u", "web", "default", tuple(boxes), tuple(containers))
    values = {"now": NOW, "wall": WALL, "prepared": True, "active_since": NOW - 5.0, **more}
    return Snapshot(pod, runtime, **values)


def busy(*actions: Action, since: float = NOW - 1.0) -> dict[str, Underway]:
    return {action.key: Underway(action, since) for action in actions}

"""Pods, nodes and their like, written short."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pykubelet.scheduler import nodes, pods
from pykubelet.scheduler.brain import Brain, Turn
from pykubelet.scheduler.deciding import Found, NotFound, decide
from pykubelet.scheduler.equivalence import Verdicts
from pykubelet.scheduler.framework import Plugin, Rejection
from pykubelet.scheduler.nodes import NodeInfo
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.profile import Profile
from pykubelet.scheduler.profiles import ProfileSettings, build
from pykubelet.scheduler.snapshot import Snapshot

Json = dict[str, Any]

ZONE = "topology.kubernetes.io/zone"
HOSTNAME = "kubernetes.io/hostname"


def node(
    name: str = "n1",
    *,
    cpu: str = "4",
    memory: str = "8Gi",
    room: int = 110,
    labels: Mapping[str, str] | None = None,
    taints: Iterable[Json] = (),
    images: Mapping[str, int] | None = None,
    zone: str = "",
    unschedulable: bool = False,
    **more: str,
) -> Json:
    zoned = {ZONE: zone} if zone else {}
    offered = {"cpu": cpu, "memory": memory, "pods": str(room), **more}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {HOSTNAME: name, **zoned, **(labels or {})}},
        "spec": {"taints": list(taints), "unschedulable": unschedulable},
        "status": {
            "allocatable": offered,
            "images": [{"names": [n], "sizeBytes": s} for n, s in (images or {}).items()],
        },
    }


def pod(
    name: str = "p1",
    *,
    namespace: str = "default",
    cpu: str = "",
    memory: str = "",
    labels: Mapping[str, str] | None = None,
    priority: int = 0,
    on: str = "",
    ports: Iterable[Json] = (),
    image: str = "app:1",
    owner: tuple[str, str] | None = None,
    status: Json | None = None,
    claims: Iterable[str] = (),
    requests: Mapping[str, str] | None = None,
    **spec: Any,
) -> Json:
    asked = {k: v for k, v in (("cpu", cpu), ("memory", memory)) if v} | dict(requests or {})
    metadata: Json = {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-{namespace}-{name}",
        "labels": dict(labels or {}),
    }
    if owner:
        metadata["ownerReferences"] = [{"kind": owner[0], "name": owner[1], "controller": True}]
    volumes = [{"name": c, "persistentVolumeClaim": {"claimName": c}} for c in claims]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "containers": [
                {"name": "c", "image": image, "resources": {"requests": asked},
                 "ports": list(ports)}
            ],
            "priority": priority,
            **({"nodeName": on} if on else {}),
            **({"volumes": volumes} if volumes else {}),
            **spec,
        },
        "status": status or {},
    }  # fmt: skip


def info(name: str = "p1", **more: Any) -> PodInfo:
    return pods.read(pod(name, **more))


def cluster(*things: Json) -> Snapshot:
    """A snapshot of nodes, of pods on them, and of anything else."""
    view = Snapshot()
    for one in things:
        if one["kind"] == "Node":
            view.put_node(nodes.read(one))
        elif one["kind"] == "Pod":
            view.put_pod(pods.read(one))
        else:
            view.catalog.put(one["kind"], key_of(one), one)
    return view


def key_of(thing: Json) -> str:
    metadata = thing["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else metadata["name"]


def at(view: Snapshot, name: str = "n1") -> NodeInfo:
    found = view.node(name)
    assert found is not None
    return found


def profile_of(*plugins: Plugin) -> Profile:
    return Profile(filters=plugins, scorers=[(plugin, 1) for plugin in plugins])


def rejection(plugin: Plugin, one: Json, view: Snapshot, name: str = "n1") -> Rejection | None:
    """What a plugin says against a node for a pod."""
    verdicts = Verdicts(profile_of(plugin), pods.read(one), view)
    return verdicts.prefilter or verdicts.rejects(at(view, name))


def reasons(plugin: Plugin, one: Json, view: Snapshot, name: str = "n1") -> tuple[str, ...]:
    found = rejection(plugin, one, view, name)
    return found.reasons if found else ()


def scores(plugin: Plugin, one: Json, view: Snapshot) -> dict[str, int]:
    """What a plugin alone scores, node by node."""
    verdicts = Verdicts(profile_of(plugin), pods.read(one), view)
    found = list(range(len(view.nodes)))
    verdicts.find(found, len(found) + 1, {})
    return dict(zip((n.name for n in view.nodes), verdicts.totals(found), strict=True))


def outcome(one: Json, view: Snapshot, profile: Profile | None = None) -> Found | NotFound:
    profile = profile or build()
    read = pods.read(one)
    return decide(read, view, Verdicts(profile, read, view), profile, 0)


def brain(*things: Json, settings: ProfileSettings | None = None) -> Brain:
    made = Brain({"default-scheduler": build(settings)})
    for one in things:
        observe(made, one)
    return made


def observe(brain: Brain, thing: Json, now: float = 0.0) -> None:
    if thing["kind"] == "Node":
        brain.node(nodes.read(thing), now)
    elif thing["kind"] == "Pod":
        brain.pod(pods.read(thing), now)
    else:
        brain.thing(thing["kind"], key_of(thing), thing, now)


def turns(brain: Brain, now: float = 0.0) -> list[Turn]:
    """All that can be decided at a moment."""
    made = []
    while (turn := brain.turn(now)) is not None:
        made.append(turn)
    return made

"""What of a pod matters to scheduling, read out once.

Most pods are copies of each other. What they ask of a node is a `Shape`, shared by every pod that
asks for exactly that; with what they are to other pods (labels, owner, affinity, spreading) it is a
`Template`, shared likewise. Verdicts are kept by shape and template (`equivalence`), so these are
compared by identity. What is a pod's own (name, priority, node) is its `PodInfo`. None of them is
ever changed.

Sources: the API reference (PodSpec), KEP-1287 (in-place resize: what is reserved is the larger of
what is asked for and what the node has allocated), KEP-688 (overhead), KEP-753 (sidecars).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import orjson

from pykubelet.objects import quantity
from pykubelet.objects import resources as sums
from pykubelet.scheduler.terms import Affinity, affinity_of

Json = dict[str, Any]
Amounts = dict[str, int]
Port = tuple[str, str, int]
"""(host address, protocol, host port); `0.0.0.0` is every address."""

DEFAULT_SCHEDULER = "default-scheduler"

# What scoring takes a container for that asks for nothing, so that such pods spread too.
_GUESSED = {"cpu": "100m", "memory": str(200 * 1024 * 1024)}

# The sources of volumes on which a filter looks; all others fit on any node.
_VOLUMES = frozenset(
    ("persistentVolumeClaim", "ephemeral", "csi", "gcePersistentDisk", "awsElasticBlockStore",
     "iscsi", "rbd")
)  # fmt: skip


@dataclass(slots=True, eq=False, frozen=True, weakref_slot=True, kw_only=True)
class Shape:
    """What a pod asks of a node by itself, whoever it is."""

    requests: Amounts
    """What is reserved: CPU in millicores, all else in whole units; nothing that is zero."""
    guessed: Amounts
    """CPU and memory as scoring counts them: containers without a request count by default."""
    ports: tuple[Port, ...]
    node_selector: Mapping[str, str]
    node_affinity: Json
    tolerations: tuple[Json, ...]
    images: tuple[str, ...]
    containers: int
    volumes: tuple[Json, ...]

    @property
    def has_claims(self) -> bool:
        return any("persistentVolumeClaim" in v or "ephemeral" in v for v in self.volumes)


@dataclass(slots=True, eq=False, frozen=True, weakref_slot=True, kw_only=True)
class Template:
    """A shape, and what the pod is to other pods."""

    shape: Shape
    namespace: str
    labels: Mapping[str, str]
    affinity: Affinity
    spread: tuple[Json, ...]
    controller: tuple[str, str] | None
    """Kind and name of the controlling owner."""


@dataclass(slots=True, frozen=True, eq=False, kw_only=True)
class PodInfo:
    key: str
    """`namespace/name`."""
    uid: str
    name: str
    template: Template
    priority: int
    node: str = ""
    nominated: str = ""
    started: str = ""
    """`status.startTime`, as written."""
    terminating: bool = False
    scheduler: str = DEFAULT_SCHEDULER
    gates: tuple[str, ...] = ()
    preempts: bool = True
    """False for preemptionPolicy Never."""
    explained: str = ""
    """The message of its PodScheduled condition while that is False."""
    created: str = ""

    @property
    def shape(self) -> Shape:
        return self.template.shape

    @property
    def namespace(self) -> str:
        return self.template.namespace

    @property
    def labels(self) -> Mapping[str, str]:
        return self.template.labels

    def claims(self) -> Iterator[tuple[str, bool]]:
        """Names of its claims, and whether each is made for the pod's own ephemeral volume."""
        for volume in self.shape.volumes:
            claim = volume.get("persistentVolumeClaim")
            if claim is not None:
                yield claim["claimName"], False
            elif "ephemeral" in volume:
                yield f"{self.name}-{volume['name']}", True

    def reference(self) -> Json:
        """For events."""
        return {"apiVersion": "v1", "kind": "Pod", "namespace": self.namespace, "name": self.name,
                "uid": self.uid}  # fmt: skip

    def same_as(self, other: PodInfo) -> bool:
        """Whether a node that runs one is filled as by the other."""
        return (
            self.template is other.template
            and self.uid == other.uid
            and self.node == other.node
            and self.priority == other.priority
            and self.terminating == other.terminating
            and self.started == other.started
        )


_templates: WeakValueDictionary[bytes, Template] = WeakValueDictionary()
_shapes: WeakValueDictionary[bytes, Shape] = WeakValueDictionary()


def read(pod: Json) -> PodInfo:
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    status = pod.get("status") or {}
    namespace = metadata.get("namespace") or "default"
    return PodInfo(
        key=f"{namespace}/{metadata['name']}",
        uid=metadata.get("uid", ""),
        name=metadata["name"],
        template=template_of(pod),
        priority=int(spec.get("priority") or 0),
        node=spec.get("nodeName") or "",
        nominated=status.get("nominatedNodeName") or "",
        started=status.get("startTime") or "",
        terminating=bool(metadata.get("deletionTimestamp")),
        scheduler=spec.get("schedulerName") or DEFAULT_SCHEDULER,
        gates=tuple(gate["name"] for gate in spec.get("schedulingGates") or ()),
        preempts=spec.get("preemptionPolicy") != "Never",
        explained=_explained(status),
        created=metadata.get("creationTimestamp") or "",
    )


def template_of(pod: Json) -> Template:
    """The one template of everything that asks for the same."""
    metadata, spec = pod["metadata"], pod.get("spec") or {}
    containers = _reserved(pod, "containers", "containerStatuses")
    init = _reserved(pod, "initContainers", "initContainerStatuses")
    volumes = [v for v in spec.get("volumes") or () if not _VOLUMES.isdisjoint(v)]
    controller: Json = next(
        (o for o in metadata.get("ownerReferences") or () if o.get("controller")), {}
    )
    affinity = spec.get("affinity") or {}
    asked = {
        "containers": [_asking(c) for c in containers],
        "initContainers": [_asking(c) for c in init],
        "volumes": volumes,
        "nodeAffinity": affinity.get("nodeAffinity") or {},
    }
    for name in ("nodeSelector", "overhead", "resources", "tolerations"):
        if spec.get(name):
            asked[name] = spec[name]
    shape_key = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
    kin = {
        "namespace": metadata.get("namespace") or "default",
        "labels": metadata.get("labels") or {},
        "controller": [controller.get("kind"), controller.get("name")],
        "podAffinity": affinity.get("podAffinity"),
        "podAntiAffinity": affinity.get("podAntiAffinity"),
        "spread": spec.get("topologySpreadConstraints") or [],
    }
    key = shape_key + orjson.dumps(kin, option=orjson.OPT_SORT_KEYS)
    known = _templates.get(key)
    if known is None:
        shape = _shapes.get(shape_key)
        if shape is None:
            shape = _shapes[shape_key] = _make_shape(asked)
        known = _templates[key] = _make_template(shape, kin)
    return known


def _make_shape(asked: Json) -> Shape:
    every = [*asked["containers"], *asked["initContainers"]]
    return Shape(
        requests=_amounts(sums.requests({"spec": asked})),
        guessed=_guessed(asked),
        ports=tuple(_ports(every)),
        node_selector=asked.get("nodeSelector") or {},
        node_affinity=asked["nodeAffinity"],
        tolerations=tuple(asked.get("tolerations") or ()),
        images=tuple(_normalized(c["image"]) for c in every if c.get("image")),
        containers=len(every),
        volumes=tuple(asked["volumes"]),
    )


def _make_template(shape: Shape, kin: Json) -> Template:
    kind, name = kin["controller"]
    return Template(
        shape=shape,
        namespace=kin["namespace"],
        labels=kin["labels"],
        affinity=affinity_of(kin, kin["namespace"], kin["labels"]),
        spread=tuple(kin["spread"]),
        controller=(kind, name) if kind else None,
    )


def _asking(container: Json) -> Json:
    fields = ("image", "resources", "restartPolicy", "ports")
    return {name: container[name] for name in fields if container.get(name)}


def _reserved(pod: Json, field: str, statuses: str) -> list[Json]:
    """Containers with the larger of what they ask for and what the node has allocated for them."""
    containers = (pod.get("spec") or {}).get(field) or []
    status = pod.get("status") or {}
    told = {s["name"]: s for s in status.get(statuses) or () if "allocatedResources" in s}
    if not told:
        return containers
    infeasible = any(
        c.get("type") == "PodResizePending" and c.get("reason") == "Infeasible"
        for c in status.get("conditions") or ()
    )
    made = []
    for container in containers:
        one = told.get(container["name"])
        allocated = one["allocatedResources"] if one else {}
        actual = ((one or {}).get("resources") or {}).get("requests") or {}
        asked = (container.get("resources") or {}).get("requests") or {}
        if one is None or allocated == asked == actual:
            made.append(container)
            continue
        sides = [allocated, actual] if infeasible else [asked, allocated, actual]
        resources = {**(container.get("resources") or {}), "requests": _larger(sides)}
        made.append({**container, "resources": resources})
    return made


def _larger(sides: list[Json]) -> Json:
    largest: Json = {}
    for side in sides:
        for name, value in side.items():
            if name not in largest or quantity.compare(value, largest[name]) > 0:
                largest[name] = value
    return largest


def _guessed(asked: Json) -> Amounts:
    whole = asked.get("resources") or {}
    given = {*(whole.get("requests") or ()), *(whole.get("limits") or ())}

    def guess(container: Json) -> Json:
        resources = container.get("resources") or {}
        requests = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
        missing = {n: a for n, a in _GUESSED.items() if n not in requests and n not in given}
        return {**container, "resources": {"requests": {**requests, **missing}}}

    filled = {**asked, "containers": [guess(c) for c in asked["containers"]],
              "initContainers": [guess(c) for c in asked["initContainers"]]}  # fmt: skip
    amounts = _amounts(sums.requests({"spec": filled}))
    return {name: amounts.get(name, 0) for name in _GUESSED}


def _amounts(resources: sums.Resources) -> Amounts:
    made = {
        name: quantity.to_milli(number) if name == "cpu" else quantity.to_int(number)
        for name, number in resources.items()
    }
    return {name: amount for name, amount in made.items() if amount}


def _ports(containers: list[Json]) -> Iterator[Port]:
    for container in containers:
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield (
                    port.get("hostIP") or "0.0.0.0",
                    port.get("protocol") or "TCP",
                    int(port["hostPort"]),
                )


def _normalized(image: str) -> str:
    """With the tag that is meant where none is given, as nodes report it."""
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"


def _explained(status: Json) -> str:
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return str(condition.get("message") or "")
    return ""

"""The world as the API server tells it: informers that hand over what scheduling needs of each
object, and keep no more than that.

A pod's tree is many times larger than what of it matters here, so the informers' stores hold the
read-out values (`pods.PodInfo`, `nodes.NodeFacts`) or trees cut down to a few fields. Every change
goes to the loop as one `Seen`; nothing is decided on the watching threads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pykubelet.client import resources
from pykubelet.client.api import Api
from pykubelet.client.informer import Informer, key_of
from pykubelet.client.resources import Resource
from pykubelet.errors import Invalid
from pykubelet.scheduler import nodes, pods
from pykubelet.scheduler.brain import Brain

log = logging.getLogger(__name__)

Json = dict[str, Any]

_IDENTITY = ("name", "namespace", "uid", "resourceVersion", "labels", "deletionTimestamp")
_VOLUME_METADATA = (*_IDENTITY, "annotations", "ownerReferences")
_NOT_OVER = "status.phase!=Succeeded,status.phase!=Failed"

#: What of the other objects is kept: fields of metadata, and fields of the object.
CATALOG: dict[Resource, tuple[tuple[str, ...], tuple[str, ...]]] = {
    resources.NAMESPACES: (_IDENTITY, ()),
    resources.SERVICES: (_IDENTITY, ("selector",)),
    resources.REPLICATION_CONTROLLERS: (_IDENTITY, ("selector",)),
    resources.REPLICA_SETS: (_IDENTITY, ("selector",)),
    resources.STATEFUL_SETS: (_IDENTITY, ("selector",)),
    resources.PERSISTENT_VOLUMES: (_VOLUME_METADATA, ("spec", "status")),
    resources.PERSISTENT_VOLUME_CLAIMS: (_VOLUME_METADATA, ("spec", "status")),
    resources.STORAGE_CLASSES: (
        _VOLUME_METADATA,
        ("provisioner", "volumeBindingMode", "allowedTopologies"),
    ),
    resources.CSI_NODES: (_IDENTITY, ("spec",)),
    resources.POD_DISRUPTION_BUDGETS: (_IDENTITY, ("spec", "status")),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """One change: `value` is a PodInfo, NodeFacts or a tree; None when the thing is gone."""

    kind: str
    key: str
    value: Any

    def tell(self, brain: Brain, now: float) -> None:
        match self.kind:
            case "Pod":
                if self.value is None:
                    brain.pod_gone(self.key, now)
                else:
                    brain.pod(self.value, now)
            case "Node":
                if self.value is None:
                    brain.node_gone(self.key, now)
                else:
                    brain.node(self.value, now)
            case _:
                brain.thing(self.kind, self.key, self.value, now)


def informers(api: Api, see: Callable[[Seen], None]) -> list[Informer]:
    """One for each resource, ready to be started. Nodes and the catalog come before pods, so that
    the first pods are decided upon with everything in view."""
    made = [_watching(api, resource, _cut(*kept), see) for resource, kept in CATALOG.items()]
    made.append(_watching(api, resources.NODES, _node, see))
    made.append(_watching(api, resources.PODS, _pod, see, _NOT_OVER))
    return made


def _watching(
    api: Api,
    resource: Resource,
    transform: Callable[[Json], Json],
    see: Callable[[Seen], None],
    field_selector: str = "",
) -> Informer:
    informer = Informer(api, resource, field_selector=field_selector, transform=transform)

    def changed(old: Json | None, new: Json | None) -> None:
        either = new or old
        assert either is not None
        see(Seen(resource.kind, key_of(either), new["value"] if new else None))

    informer.add_handler(changed)
    return informer


def _kept(object_: Json, value: Any) -> Json:
    metadata = object_["metadata"]
    names = ("name", "namespace", "uid", "resourceVersion")
    return {"metadata": {n: metadata[n] for n in names if n in metadata}, "value": value}


def _pod(object_: Json) -> Json:
    over = (object_.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return _kept(object_, None if over else _read(pods.read, object_))


def _node(object_: Json) -> Json:
    return _kept(object_, _read(nodes.read, object_))


def _read(read: Callable[[Json], Any], object_: Json) -> Any:
    """None, which means that it isn't there, for what can't be read."""
    try:
        return read(object_)
    except (Invalid, KeyError, TypeError, ValueError) as error:
        log.warning("%s can't be scheduled with: %s", key_of(object_), error)
        return None


def _cut(metadata: tuple[str, ...], fields: tuple[str, ...]) -> Callable[[Json], Json]:
    def cut(object_: Json) -> Json:
        value: Json = {
            "metadata": {n: object_["metadata"][n] for n in metadata if n in object_["metadata"]}
        }
        if fields == ("selector",):
            value["spec"] = {"selector": (object_.get("spec") or {}).get("selector")}
        else:
            value |= {name: object_[name] for name in fields if name in object_}
        return _kept(object_, value)

    return cut

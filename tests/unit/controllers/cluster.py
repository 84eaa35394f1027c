"""A cluster in memory for controllers: the verbs of `client.api.Api` over a store in a dictionary.

The store does what controllers rely on and no more: UIDs, resource versions, generations, status
apart from spec, preconditions, finalizers, graceful deletion of pods, one controller an object.
Every change stands in a log; informers are told of it when the simulation says so, each at its own
pace. Time is a number that the simulation moves.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from pykubelet.client.api import MERGE_PATCH, STRATEGIC_MERGE_PATCH, Api
from pykubelet.client.errors import AlreadyExists, ApiError, Conflict, NotFound, Rejected
from pykubelet.client.informer import Store, key_of
from pykubelet.client.resources import PODS, Resource
from pykubelet.clock import rfc3339
from pykubelet.controllers.base import INDEXES
from pykubelet.objects.defaults import workloads
from pykubelet.objects.patches import merge, strategic

Json = dict[str, Any]

START = 1_800_000_000.0
_DEFAULTS = {
    "Deployment": workloads.deployment,
    "ReplicaSet": workloads.replica_set,
    "StatefulSet": workloads.stateful_set,
    "DaemonSet": workloads.daemon_set,
    "Job": workloads.job,
    "CronJob": workloads.cron_job,
}


def copied(tree: Any) -> Any:
    return orjson.loads(orjson.dumps(tree))


@dataclass(slots=True)
class Change:
    kind: str
    resource: Resource
    object: Json
    version: int


class Crash(BaseException):
    """The controllers' process ends here, between two writes."""


@dataclass
class Cluster:
    random: random.Random = field(default_factory=lambda: random.Random(0))
    now: float = START
    objects: dict[Resource, dict[str, Json]] = field(default_factory=dict)
    log: list[Change] = field(default_factory=list)
    revision: int = 0
    #: Called after every change with (resource, old, new).
    observers: list[Callable[[Resource, Json | None, Json | None], None]] = field(
        default_factory=list
    )
    _uids: Any = field(default_factory=lambda: itertools.count(1))

    # -- reading ----------------------------------------------------------------------------------

    def all(self, resource: Resource) -> list[Json]:
        return list(self.objects.get(resource, {}).values())

    def get(self, resource: Resource, name: str, namespace: str = "default") -> Json:
        key = f"{namespace}/{name}" if resource.namespaced else name
        found = self.objects.get(resource, {}).get(key)
        if found is None:
            raise NotFound(404, "NotFound", f'{resource.plural} "{name}" not found')
        return found

    def find(self, resource: Resource, name: str, namespace: str = "default") -> Json | None:
        try:
            return self.get(resource, name, namespace)
        except NotFound:
            return None

    # -- writing ----------------------------------------------------------------------------------

    def create(self, resource: Resource, object_: Mapping[str, Any]) -> Json:
        made = copied({"apiVersion": resource.api_version, "kind": resource.kind, **object_})
        metadata = made["metadata"]
        if resource.namespaced:
            metadata.setdefault("namespace", "default")
        if not metadata.get("name"):
            letters = "bcdfghjklmnpqrstvwxz2456789"
            end = "".join(self.random.choice(letters) for _ in range(5))
            metadata["name"] = metadata["generateName"] + end
        key = key_of(made)
        if key in self.objects.get(resource, {}):
            raise AlreadyExists(409, "AlreadyExists", f"{key} already exists")
        metadata["uid"] = f"uid-{next(self._uids)}"
        metadata["creationTimestamp"] = rfc3339(self.now)
        metadata["generation"] = 1
        metadata.pop("resourceVersion", None)
        if resource is PODS:
            made["status"] = {"phase": "Pending"}
        if default := _DEFAULTS.get(resource.kind):
            default(made)
        self._check(made)
        return self._put(resource, None, made, "ADDED")

    def update(self, resource: Resource, object_: Json, subresource: str = "") -> Json:
        metadata = object_["metadata"]
        old = self.get(resource, metadata["name"], metadata.get("namespace", ""))
        given = metadata.get("resourceVersion")
        if given and given != old["metadata"]["resourceVersion"]:
            raise Conflict(409, "Conflict", f"{metadata['name']} has been modified")
        return self._replace(resource, old, copied(object_), subresource)

    def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str = "",
        subresource: str = "",
        kind: str = MERGE_PATCH,
    ) -> Json:
        old = self.get(resource, name, namespace)
        for given in ("uid", "resourceVersion"):
            wanted = (patch.get("metadata") or {}).get(given)
            if wanted and wanted != old["metadata"][given]:
                raise Conflict(409, "Conflict", f"{name}: {given} is another")
        if kind == STRATEGIC_MERGE_PATCH:
            group = resource.group or "core"
            type_name = f"{group}/{resource.version}.{resource.kind}"
            new = strategic.apply(copied(old), copied(patch), type_name)
        else:
            new = merge.apply(copied(old), copied(patch))
        return self._replace(resource, old, copied(new), subresource)

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        grace_seconds: int | None = None,
        uid: str = "",
    ) -> None:
        old = self.get(resource, name, namespace)
        if uid and uid != old["metadata"]["uid"]:
            raise Conflict(409, "Conflict", f"{name}: uid is another")
        bound = resource is PODS and old["spec"].get("nodeName")
        ended = (old.get("status") or {}).get("phase") in ("Succeeded", "Failed")
        patient = bound and not ended and grace_seconds != 0
        if not old["metadata"].get("finalizers") and not patient:
            self._drop(resource, old)
        elif "deletionTimestamp" not in old["metadata"]:
            new = copied(old)
            new["metadata"]["deletionTimestamp"] = rfc3339(self.now + (30 if patient else 0))
            new["metadata"]["deletionGracePeriodSeconds"] = 30 if patient else 0
            self._put(resource, old, new, "MODIFIED")
        elif resource is PODS and grace_seconds == 0:
            new = copied(old)
            new["metadata"]["deletionGracePeriodSeconds"] = 0
            self._put(resource, old, new, "MODIFIED")

    def _replace(self, resource: Resource, old: Json, new: Json, subresource: str) -> Json:
        metadata = new["metadata"]
        if subresource == "status":
            new = {**copied(old), "status": new.get("status") or {}}
            metadata = new["metadata"]
        elif resource.kind != "ControllerRevision" and "status" in old:
            new["status"] = copied(old["status"])
        if new.get("spec") != old.get("spec"):
            metadata["generation"] = old["metadata"]["generation"] + 1
        for kept in ("uid", "creationTimestamp", "deletionTimestamp", "resourceVersion"):
            if kept in old["metadata"]:
                metadata[kept] = old["metadata"][kept]
            else:
                metadata.pop(kept, None)
        if default := _DEFAULTS.get(resource.kind):
            default(new)
        self._check(new)
        if new == old:
            return old
        grace = metadata.get("deletionGracePeriodSeconds", 0)
        if "deletionTimestamp" in metadata and not metadata.get("finalizers") and not grace:
            self._drop(resource, old)
            return new
        return self._put(resource, old, new, "MODIFIED")

    def _check(self, object_: Json) -> None:
        references = object_["metadata"].get("ownerReferences") or ()
        if sum(bool(r.get("controller")) for r in references) > 1:
            raise Rejected(422, "Invalid", "only one reference can have controller set to true")

    def _put(self, resource: Resource, old: Json | None, new: Json, kind: str) -> Json:
        self.revision += 1
        new["metadata"]["resourceVersion"] = str(self.revision)
        self.objects.setdefault(resource, {})[key_of(new)] = new
        self.log.append(Change(kind, resource, new, self.revision))
        for observer in self.observers:
            observer(resource, old, new)
        return new

    def _drop(self, resource: Resource, old: Json) -> None:
        self.revision += 1
        last = copied(old)
        last["metadata"]["resourceVersion"] = str(self.revision)
        del self.objects[resource][key_of(old)]
        self.log.append(Change("DELETED", resource, last, self.revision))
        for observer in self.observers:
            observer(resource, old, None)


class SimApi(Api):
    """What controllers hold. `trouble(verb, resource)` may raise before a write, and is asked again
    after it: a crash in between means that it has happened and nobody knows."""

    def __init__(
        self, cluster: Cluster, trouble: Callable[[str, bool], None] | None = None
    ) -> None:
        self.cluster = cluster
        self._trouble = trouble or (lambda verb, done: None)

    def get(self, resource: Resource, name: str, namespace: str = "") -> Json:
        return copied(self.cluster.get(resource, name, namespace))

    def list(self, resource: Resource, namespace: str = "", **options: Any) -> tuple[Any, str]:
        found = self.cluster.all(resource)
        if namespace:
            found = [o for o in found if o["metadata"].get("namespace") == namespace]
        return copied(found), str(self.cluster.revision)

    def _write(self, verb: str, work: Callable[[], Any]) -> Any:
        self._trouble(verb, False)
        result = copied(work())
        self._trouble(verb, True)
        return result

    def create(
        self, resource: Resource, object_: Mapping[str, Any], subresource: str = "", name: str = ""
    ) -> Json:
        return self._write("create", lambda: self.cluster.create(resource, object_))

    def update(self, resource: Resource, object_: Mapping[str, Any], subresource: str = "") -> Json:
        return self._write(
            "update", lambda: self.cluster.update(resource, dict(object_), subresource)
        )

    def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        subresource: str = "",
        kind: str = MERGE_PATCH,
    ) -> Json:
        return self._write(
            "patch",
            lambda: self.cluster.patch(resource, name, patch, namespace, subresource, kind),
        )

    def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        grace_seconds: int | None = None,
        uid: str = "",
        propagation: str = "",
    ) -> None:
        self._write(
            "delete", lambda: self.cluster.delete(resource, name, namespace, grace_seconds, uid)
        )


class SimInformer:
    """Tells of the log's changes one at a time, when `deliver` is called."""

    def __init__(self, cluster: Cluster, resource: Resource, indexes: Mapping[str, Any]) -> None:
        self.resource = resource
        self.store = Store({**INDEXES, **indexes})
        self._cluster = cluster
        self._handlers: list[Callable[[Json | None, Json | None], None]] = []
        self._position = 0

    def add_handler(self, handler: Callable[[Json | None, Json | None], None]) -> None:
        self._handlers.append(handler)

    def sync(self) -> None:
        self._position = len(self._cluster.log)
        for object_ in self._cluster.all(self.resource):
            self.store.put(object_)
        self.store.reached(str(self._cluster.revision))
        for object_ in self._cluster.all(self.resource):
            for handler in self._handlers:
                handler(None, object_)

    def behind(self) -> bool:
        log = self._cluster.log
        while self._position < len(log) and log[self._position].resource != self.resource:
            self._position += 1
        return self._position < len(log)

    def deliver(self) -> None:
        if not self.behind():
            return
        change = self._cluster.log[self._position]
        self._position += 1
        if change.kind == "DELETED":
            old, new = self.store.drop(key_of(change.object)), None
            old = change.object if old is not None else None
        else:
            old, new = self.store.put(change.object), change.object
        self.store.reached(str(change.version))
        for handler in self._handlers:
            handler(old, new)


class SimInformers:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.all: dict[Resource, SimInformer] = {}

    def of(self, resource: Resource, indexes: Mapping[str, Any] | None = None) -> SimInformer:
        if resource not in self.all:
            self.all[resource] = SimInformer(self._cluster, resource, indexes or {})
        return self.all[resource]


@dataclass
class SimQueue:
    """Keys wait here until the simulation gives one its turn."""

    name: str
    turn: Callable[[str], float | None]
    cluster: Cluster
    ready: dict[str, None] = field(default_factory=dict)
    alarms: dict[str, float] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)

    def add(self, key: str) -> None:
        self.ready[key] = None

    def add_after(self, key: str, seconds: float) -> None:
        at = self.cluster.now + seconds
        self.alarms[key] = min(at, self.alarms.get(key, at))

    def every(self, seconds: float, work: Callable[[], None]) -> None: ...

    def stop(self) -> None: ...

    def ring(self) -> None:
        for key in [k for k, at in self.alarms.items() if at <= self.cluster.now]:
            del self.alarms[key]
            self.add(key)

    def take(self, key: str) -> None:
        self.ready.pop(key, None)
        try:
            after = self.turn(key)
        except ApiError:
            self._again(key)
        except Exception as error:
            from pykubelet.errors import Failed

            if not isinstance(error, Failed):
                raise
            self._again(key)
        else:
            self.failures.pop(key, None)
            if after is not None:
                self.add_after(key, after)

    def _again(self, key: str) -> None:
        failures = self.failures[key] = self.failures.get(key, 0) + 1
        self.add_after(key, min(0.005 * 2 ** min(failures, 20), 60.0))


@dataclass
class Recorder:
    """Events, kept."""

    told: list[tuple[str, str, str, str]] = field(default_factory=list)

    def record(self, about: Mapping[str, Any], kind: str, reason: str, message: str) -> None:
        self.told.append((about["metadata"]["name"], kind, reason, message))

    def reasons(self) -> list[str]:
        return [reason for _, _, reason, _ in self.told]

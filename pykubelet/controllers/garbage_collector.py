"""Garbage collector: what lives only for its owners goes with them.

Three ways, by the finalizer that a deletion leaves on the owner: in the background (nothing: its
dependents go once it is gone), in the foreground (`foregroundDeletion`: they go first) and not at
all (`orphan`: they are cut loose). Owners are known by UID; one that no list shows is looked up
before anything dies of its absence. Source: the garbage collection reference.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import Any

from pykubelet.client.errors import NotFound
from pykubelet.client.informer import Informer
from pykubelet.client.resources import Resource
from pykubelet.controllers.base import Context, Controller, by_owner
from pykubelet.controllers.discovery import Discovery
from pykubelet.errors import Failed

log = logging.getLogger(__name__)

Json = dict[str, Any]

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
_NEW_RESOURCES_EVERY = 30.0
_SKIPPED = {("", "events"), ("events.k8s.io", "events"), ("coordination.k8s.io", "leases")}


class GarbageCollector(Controller):
    """Keys are UIDs. Watches every resource that can be deleted, those of CRDs as they come."""

    name = "garbage-collector-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._discovery = Discovery(context.api)
        self._lock = threading.Lock()
        self._informers: dict[Resource, Informer] = {}
        self._objects: dict[str, tuple[Resource, Json]] = {}

    def start(self) -> None:
        self.queue.every(_NEW_RESOURCES_EVERY, self._watch_all)

    def stop(self) -> None:
        super().stop()
        for informer in self._informers.values():
            informer.stop()

    # -- looking ----------------------------------------------------------------------------------

    def _watch_all(self) -> None:
        try:
            found = self._discovery.deletable(True) + self._discovery.deletable(False)
        except Failed as error:
            log.warning("the server's resources can't be listed: %s", error)
            return
        wanted = {r for r in found if (r.group, r.plural) not in _SKIPPED}
        for resource in wanted - self._informers.keys():
            informer = Informer(self.api, resource, indexes={"owner": by_owner})
            informer.add_handler(self._handler(resource))
            self._informers[resource] = informer
            informer.start()
        for resource in self._informers.keys() - wanted:
            self._informers.pop(resource).stop()

    def _handler(self, resource: Resource) -> Any:
        def changed(old: Json | None, new: Json | None) -> None:
            with self._lock:
                if new is not None:
                    self._objects[new["metadata"]["uid"]] = (resource, new)
                elif old is not None:
                    self._objects.pop(old["metadata"]["uid"], None)
            concerned = new or old
            if concerned is None:
                return
            if new is not None and _may_be_garbage(new):
                self.queue.add(new["metadata"]["uid"])
            if new is None:
                # Its dependents may have lost their last owner, its owners their last dependent.
                for _, dependent in self._dependents(concerned["metadata"]["uid"]):
                    self.queue.add(dependent["metadata"]["uid"])
                for reference in concerned["metadata"].get("ownerReferences") or ():
                    self.queue.add(reference["uid"])

        return changed

    def _dependents(self, uid: str) -> Iterable[tuple[Resource, Json]]:
        for resource, informer in list(self._informers.items()):
            for dependent in informer.store.by("owner", uid):
                yield resource, dependent

    def _all_listed(self) -> bool:
        return bool(self._informers) and all(i.synced.is_set() for i in self._informers.values())

    # -- deciding and acting ----------------------------------------------------------------------

    def turn(self, key: str) -> float | None:
        with self._lock:
            found = self._objects.get(key)
        if found is None:
            return None
        resource, object_ = found
        if not self._all_listed():
            return 0.5
        finalizers = object_["metadata"].get("finalizers") or ()
        if "deletionTimestamp" in object_["metadata"]:
            if ORPHAN in finalizers:
                self._cut_loose(resource, object_)
            elif FOREGROUND in finalizers:
                return self._dependents_first(resource, object_)
            return None
        return self._collect(resource, object_)

    def _collect(self, resource: Resource, object_: Json) -> float | None:
        """Delete it if every owner is gone; drop the owners that are, if some are not."""
        references = object_["metadata"].get("ownerReferences") or ()
        if not references:
            return None
        solid = [r for r in references if self._owner(r, object_) is not None]
        if len(solid) == len(references):
            waiting = [r for r in references if self._waits(r, object_)]
            if waiting and len(waiting) == len(references):
                self._delete(resource, object_, "Foreground")
            return None
        if solid:
            self._set_owners(resource, object_, solid)
        else:
            self._delete(resource, object_, "Background")
        return None

    def _owner(self, reference: Json, dependent: Json) -> Json | None:
        """The owner, if it is there: from what is known, or by asking."""
        with self._lock:
            known = self._objects.get(reference["uid"])
        if known is not None:
            return known[1]
        resource = self._resource(reference)
        if resource is None:
            return reference  # of a kind that nobody knows now: better spared than lost
        namespace = dependent["metadata"].get("namespace", "") if resource.namespaced else ""
        try:
            found = self.api.get(resource, reference["name"], namespace)
        except NotFound:
            return None
        return found if found["metadata"]["uid"] == reference["uid"] else None

    def _waits(self, reference: Json, dependent: Json) -> bool:
        """Whether an owner is being deleted in the foreground, and this is in its way."""
        owner = self._owner(reference, dependent)
        metadata = (owner or {}).get("metadata") or {}
        return "deletionTimestamp" in metadata and FOREGROUND in (metadata.get("finalizers") or ())

    def _dependents_first(self, resource: Resource, owner: Json) -> float | None:
        uid = owner["metadata"]["uid"]
        blocking = 0
        for kind, dependent in self._dependents(uid):
            reference = next(r for r in dependent["metadata"]["ownerReferences"] if r["uid"] == uid)
            blocking += bool(reference.get("blockOwnerDeletion"))
            if "deletionTimestamp" not in dependent["metadata"]:
                others = [
                    r
                    for r in dependent["metadata"]["ownerReferences"]
                    if r["uid"] != uid and self._owner(r, dependent) is not None
                ]
                if others:
                    self._set_owners(kind, dependent, others)
                else:
                    self._delete(kind, dependent, "Foreground")
        if blocking:
            return 1.0
        self._drop_finalizer(resource, owner, FOREGROUND)
        return None

    def _cut_loose(self, resource: Resource, owner: Json) -> None:
        uid = owner["metadata"]["uid"]
        for kind, dependent in self._dependents(uid):
            left = [r for r in dependent["metadata"]["ownerReferences"] if r["uid"] != uid]
            self._set_owners(kind, dependent, left)
        self._drop_finalizer(resource, owner, ORPHAN)

    def _delete(self, resource: Resource, object_: Json, propagation: str) -> None:
        metadata = object_["metadata"]
        try:
            self.api.delete(
                resource, metadata["name"], metadata.get("namespace", ""),
                uid=metadata["uid"], propagation=propagation,
            )  # fmt: skip
        except NotFound:
            pass  # gone already

    def _set_owners(self, resource: Resource, object_: Json, owners: list[Json]) -> None:
        self._patch(resource, object_, {"ownerReferences": owners or None})

    def _drop_finalizer(self, resource: Resource, object_: Json, finalizer: str) -> None:
        left = [f for f in object_["metadata"].get("finalizers") or () if f != finalizer]
        version = object_["metadata"]["resourceVersion"]
        self._patch(resource, object_, {"finalizers": left or None, "resourceVersion": version})

    def _patch(self, resource: Resource, object_: Json, changes: Json) -> None:
        metadata = object_["metadata"]
        body = {"metadata": {"uid": metadata["uid"], **changes}}
        try:
            self.api.patch(resource, metadata["name"], body, metadata.get("namespace", ""))
        except NotFound:
            pass  # gone already

    def _resource(self, reference: Json) -> Resource | None:
        group = reference["apiVersion"].rpartition("/")[0]
        for resource in self._informers:
            if (resource.group, resource.kind) == (group, reference["kind"]):
                return resource
        return None


def _may_be_garbage(object_: Json) -> bool:
    metadata = object_["metadata"]
    return bool(metadata.get("ownerReferences")) or "deletionTimestamp" in metadata

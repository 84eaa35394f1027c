"""The objects that a controller makes for its own: found, adopted, released, made and deleted.

A ReplicaSet's pods, a Deployment's ReplicaSets, a StatefulSet's revisions: whose an object is says
its controller reference; an object without one that fits the selector is adopted, one that no
longer fits is let go. Every controller with a selector uses this; `expectations` keeps it from
acting on what it has not seen yet. Source: upstream's controller-ref-manager design.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from pykubelet.client.api import STRATEGIC_MERGE_PATCH, controller_of, owner_reference
from pykubelet.client.errors import ApiError, NotFound, Rejected
from pykubelet.client.informer import Store, key_of
from pykubelet.client.resources import PODS, Resource
from pykubelet.controllers import pods
from pykubelet.controllers.base import Controller, keys_of_controller
from pykubelet.controllers.batches import growing
from pykubelet.controllers.expectations import Expectations
from pykubelet.errors import Failed
from pykubelet.objects import selectors

Json = dict[str, Any]

#: Seconds until looking again at an owner whose store lags. Its next event comes sooner, mostly.
LAG = 1.0


class Refused(Failed):
    """The server won't have what was to be made (a quota, an admission); later it may."""


def label_selector(owner: Json) -> selectors.Selector:
    """The usual `spec.selector`."""
    return selectors.from_object(owner["spec"].get("selector"))


class Dependents:
    """Objects of `resource` that objects of `owners` control. Without a `selector` there is nothing
    to adopt or to let go."""

    def __init__(
        self,
        controller: Controller,
        owners: Resource,
        resource: Resource = PODS,
        selector: Callable[[Json], selectors.Selector] | None = label_selector,
        finalizer: str = "",
    ) -> None:
        self._controller = controller
        self._owners_resource = owners
        self._resource = resource
        self._selector = selector
        self._finalizer = finalizer
        self._expectations = Expectations()
        self._by_owner = keys_of_controller(owners.kind)
        self.owners: Store = controller.watch(owners)
        self.store: Store = controller.watch(resource, self._keys)

    def _keys(self, object_: Json) -> list[str]:
        """The owner of an object; for one without, every owner that might adopt it."""
        found = list(self._by_owner(object_))
        references = object_["metadata"].get("ownerReferences") or ()
        if found or self._selector is None or any(r.get("controller") for r in references):
            return found
        labels = object_["metadata"].get("labels")
        namespace = object_["metadata"].get("namespace", "")
        return [
            key_of(owner)
            for owner in self.owners.by("namespace", namespace)
            if selectors.matches(self._selector(owner), labels)
        ]

    # -- looking ----------------------------------------------------------------------------------

    def owner(self, key: str) -> Json | None:
        """The owner; None where it is gone, and what was remembered of it with it."""
        found = self.owners.get(key)
        if found is None:
            self._expectations.forget(key)
        return found

    def caught_up(self, key: str, own: list[Json]) -> bool:
        """Whether the store shows everything that was done here for this owner."""
        going = {o["metadata"]["uid"]: "deletionTimestamp" in o["metadata"] for o in own}
        now = self._controller.now()
        return self._expectations.met(key, self.store.version, going, now)

    def claim(
        self, owner: Json, may_adopt: Callable[[Json], bool] = lambda object_: True
    ) -> list[Json]:
        """The owner's, with those adopted that fit, and without those that no longer do."""
        uid, namespace = owner["metadata"]["uid"], owner["metadata"]["namespace"]
        if self._selector is None:
            found = self.store.by("owner", uid)
            return [o for o in found if (controller_of(o) or {}).get("uid") == uid]
        candidates = [*self.store.by("owner", uid), *self.store.by("orphans", namespace)]
        own, adopt, release = pods.claim(uid, self._selector(owner), candidates)
        if "deletionTimestamp" in owner["metadata"]:
            return own
        adopt = [one for one in adopt if may_adopt(one)]
        if adopt and self._still_there(owner):
            for one in adopt:
                reference = owner_reference(owner, self._owners_resource)
                change: Json = {"ownerReferences": [reference]}
                if self._finalizer:
                    change["finalizers"] = [self._finalizer]
                adopted = self._patch(one, change)
                if adopted is not None:
                    own.append(adopted)
        for one in release:
            self._patch(one, {"ownerReferences": [{"$patch": "delete", "uid": uid}]})
        return own

    def _still_there(self, owner: Json) -> bool:
        """Whether the owner is there by the server's word: a cache that lags must not adopt."""
        metadata = owner["metadata"]
        namespace = metadata.get("namespace", "")
        try:
            latest = self._controller.api.get(self._owners_resource, metadata["name"], namespace)
        except NotFound:
            return False
        found = latest["metadata"]
        return found["uid"] == metadata["uid"] and "deletionTimestamp" not in found

    def _patch(self, object_: Json, metadata: Json) -> Json | None:
        name, namespace = object_["metadata"]["name"], object_["metadata"]["namespace"]
        patch = {"metadata": {**metadata, "uid": object_["metadata"]["uid"]}}
        try:
            return self._controller.api.patch(
                self._resource, name, patch, namespace, kind=STRATEGIC_MERGE_PATCH
            )
        except (NotFound, Rejected):
            return None  # gone, or somebody else's meanwhile: the event of that brings us here

    # -- acting -----------------------------------------------------------------------------------

    def create(self, key: str, owner: Json, object_: Json) -> Json:
        """Make one. Refused where the server won't; an event tells it."""
        word = self._resource.kind.lower()
        try:
            made = self._controller.api.create(self._resource, object_)
        except Rejected as error:
            if not namespace_is_ending(error):
                self._say(owner, "Warning", "FailedCreate", f"Error creating: {error}")
            raise Refused(str(error)) from error
        self.wrote(key, made)
        name = made["metadata"]["name"]
        self._say(owner, "Normal", "SuccessfulCreate", f"Created {word}: {name}")
        return made

    def create_many(self, key: str, owner: Json, objects: list[Json]) -> None:
        """Make all of them. Refused at the first refusals: the rest would fare no better, and a
        quota that is reached is no reason for hundreds of requests."""
        work = [partial(self._create_one, key, owner, one) for one in objects]
        growing(work, self._controller.context.each)

    def _create_one(self, key: str, owner: Json, object_: Json) -> None:
        self.create(key, owner, object_)

    def delete_many(self, key: str, owner: Json, objects: Iterable[Json]) -> None:
        self._controller.context.each([partial(self.delete, key, owner, one) for one in objects])

    def delete(self, key: str, owner: Json, object_: Json) -> None:
        metadata = object_["metadata"]
        name, namespace, uid = metadata["name"], metadata["namespace"], metadata["uid"]
        self._expectations.taken(key, uid, self._controller.now())
        try:
            self._controller.api.delete(self._resource, name, namespace, uid=uid)
        except NotFound:
            return
        except ApiError as error:
            self._say(owner, "Warning", "FailedDelete", f"Error deleting: {error}")
            raise
        word = self._resource.kind.lower()
        self._say(owner, "Normal", "SuccessfulDelete", f"Deleted {word}: {name}")

    def wrote(self, key: str, object_: Json) -> None:
        """Wait for the store to show this, which was written for the owner, before acting again."""
        version = object_["metadata"].get("resourceVersion", "")
        self._expectations.made(key, version, self._controller.now())

    def _say(self, owner: Json, kind: str, reason: str, message: str) -> None:
        self._controller.events.record(owner, kind, reason, message)


def namespace_is_ending(error: ApiError) -> bool:
    """Whether a refusal only means that the namespace goes away: no news to anybody."""
    causes = error.details.get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)

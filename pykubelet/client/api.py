"""The verbs of the API for any resource: what every component calls.

Objects are JSON trees. `Api` adds nothing to what the server says but paths, queries and
exceptions; caching is `informer`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pykubelet.client.resources import Resource

if TYPE_CHECKING:  # it brings `requests`, which not everybody who names an Api needs
    from pykubelet.client.transport import Stream, Transport

Json = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

#: Objects in one page of a list.
PAGE = 500


class Api:
    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    # -- reading --------------------------------------------------------------------------------

    def get(self, resource: Resource, name: str, namespace: str = "") -> Json:
        """Raises client.errors.NotFound."""
        return dict(self.transport.request("GET", resource.path(namespace, name)))

    def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
    ) -> tuple[list[Json], str]:
        """All objects, read page by page, and the resource version that they are of."""
        query = _selectors(label_selector, field_selector) | {"limit": str(PAGE)}
        if resource_version:
            query |= {"resourceVersion": resource_version}
        items: list[Json] = []
        while True:
            page = self.transport.request("GET", resource.path(namespace), query=query)
            items += page.get("items") or ()
            metadata = page.get("metadata") or {}
            if not metadata.get("continue"):
                return items, metadata.get("resourceVersion", "")
            query["continue"] = metadata["continue"]
            query.pop("resourceVersion", None)

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        seconds: int = 300,
    ) -> Stream:
        """Events from a version on, bookmarks among them, for about `seconds`."""
        query = _selectors(label_selector, field_selector) | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(seconds),
        }
        return self.transport.stream(resource.path(namespace), query=query, timeout=seconds + 30.0)

    # -- writing --------------------------------------------------------------------------------

    def create(
        self, resource: Resource, object_: Mapping[str, Any], subresource: str = "", name: str = ""
    ) -> Json:
        """`name` only for subresources that are created (binding, eviction, token)."""
        namespace = (object_.get("metadata") or {}).get("namespace", "")
        path = resource.path(namespace, name, subresource)
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **object_}
        return dict(self.transport.request("POST", path, body=body))

    def update(self, resource: Resource, object_: Mapping[str, Any], subresource: str = "") -> Json:
        """Raises Conflict where the object's resourceVersion is not the latest."""
        metadata = object_["metadata"]
        path = resource.path(metadata.get("namespace", ""), metadata["name"], subresource)
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **object_}
        return dict(self.transport.request("PUT", path, body=body))

    def update_status(self, resource: Resource, object_: Mapping[str, Any]) -> Json:
        return self.update(resource, object_, "status")

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
        path = resource.path(namespace, name, subresource)
        return dict(self.transport.request("PATCH", path, body=patch, content_type=kind))

    def apply(
        self,
        resource: Resource,
        object_: Mapping[str, Any],
        *,
        field_manager: str,
        force: bool = True,
    ) -> Json:
        """Server-side apply."""
        metadata = object_["metadata"]
        path = resource.path(metadata.get("namespace", ""), metadata["name"])
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **object_}
        query = {"fieldManager": field_manager, "force": "true" if force else "false"}
        return dict(
            self.transport.request("PATCH", path, query=query, body=body, content_type=APPLY_PATCH)
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
        """Ask for the end of an object. With `uid`, of that very one and no successor."""
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if uid:
            options["preconditions"] = {"uid": uid}
        if propagation:
            options["propagationPolicy"] = propagation
        self.transport.request("DELETE", resource.path(namespace, name), body=options)


def _selectors(label_selector: str, field_selector: str) -> dict[str, str]:
    found = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {key: value for key, value in found.items() if value}


def owner_reference(owner: Mapping[str, Any], resource: Resource) -> Json:
    """The controller reference to put into what `owner` makes."""
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(object_: Mapping[str, Any]) -> Json | None:
    """The owner that controls this object, if any."""
    references: Iterator[Json] = iter(object_["metadata"].get("ownerReferences") or ())
    return next((r for r in references if r.get("controller")), None)

"""The size of anything that has one: the scale subresource, of built-in and of custom kinds.

What a kind's resource is called is asked of discovery, once. `disruption` reads sizes,
`horizontal` changes them.
"""

from __future__ import annotations

import threading
from typing import Any

from pykubelet.client.api import Api
from pykubelet.client.errors import NotFound
from pykubelet.client.resources import Resource

Json = dict[str, Any]


class Scales:
    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[tuple[str, str], Resource] = {}
        self._lock = threading.Lock()

    def get(self, api_version: str, kind: str, namespace: str, name: str) -> tuple[Resource, Json]:
        """The resource, and the Scale object (autoscaling/v1). NotFound where there is no such
        object or it has no size."""
        resource = self._resource(api_version, kind)
        path = resource.path(namespace, name, "scale")
        return resource, dict(self._api.transport.request("GET", path))

    def set(self, resource: Resource, scale: Json, replicas: int) -> None:
        """Raises Conflict where the object has changed since the scale was read."""
        new = {**scale, "spec": {**(scale.get("spec") or {}), "replicas": replicas}}
        self._api.update(resource, new, "scale")

    def _resource(self, api_version: str, kind: str) -> Resource:
        with self._lock:
            known = self._known.get((api_version, kind))
        if known is not None:
            return known
        group, _, version = api_version.rpartition("/")
        path = f"/apis/{api_version}" if group else f"/api/{version}"
        found = self._api.transport.request("GET", path).get("resources") or ()
        for one in found:
            if one["kind"] == kind and "/" not in one["name"]:
                made = Resource(group, version, one["name"], kind, bool(one.get("namespaced")))
                with self._lock:
                    self._known[api_version, kind] = made
                return made
        raise NotFound(404, "NotFound", f"there is no kind {kind} in {api_version}")

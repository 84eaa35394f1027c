"""Which resources the server has, custom ones included: for controllers that deal with all of them.

Read from discovery when asked, and again after a while, since CRDs come and go.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from pykubelet.client.api import Api
from pykubelet.client.resources import Resource
from pykubelet.errors import Failed

Json = dict[str, Any]

_FRESH_SECONDS = 30.0


class Discovery:
    """Shared by controllers; thread-safe."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._found: dict[Resource, frozenset[str]] = {}
        self._until = 0.0

    def resources(self) -> dict[Resource, frozenset[str]]:
        """Every resource at its preferred version, with its verbs. Raises Failed."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._found = self._read()
                self._until = time.monotonic() + _FRESH_SECONDS
            return self._found

    def deletable(self, namespaced: bool) -> list[Resource]:
        return [
            resource
            for resource, verbs in self.resources().items()
            if resource.namespaced is namespaced and {"list", "delete"} <= verbs
        ]

    def _read(self) -> dict[Resource, frozenset[str]]:
        groups = [("", "v1")]
        for group in self._api.transport.request("GET", "/apis").get("groups") or ():
            groups.append((group["name"], group["preferredVersion"]["version"]))
        found: dict[Resource, frozenset[str]] = {}
        for name, version in groups:
            path = f"/apis/{name}/{version}" if name else f"/api/{version}"
            try:
                listed = self._api.transport.request("GET", path).get("resources") or ()
            except Failed:
                if not name:
                    raise
                continue  # an aggregated group that is away keeps nobody else waiting
            for one in listed:
                if "/" not in one["name"]:
                    resource = Resource(
                        name, version, one["name"], one["kind"], bool(one.get("namespaced"))
                    )
                    found[resource] = frozenset(one.get("verbs") or ())
        return found

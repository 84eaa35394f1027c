"""Serves what definitions define: watches them, and keeps registry, cache, discovery and OpenAPI in
step.

A definition that comes is published, then says so in its status. One that changes is published
anew. One that is being deleted is served until its objects are gone; then it goes itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from pykubelet.apiserver.cache.collection import Watcher
from pykubelet.apiserver.calls import Call, Parts
from pykubelet.apiserver.extensions import definitions
from pykubelet.apiserver.front.messages import Request
from pykubelet.apiserver.resources.registry import Resource
from pykubelet.apiserver.routes import Route
from pykubelet.apiserver.status import Refusal
from pykubelet.apiserver.users import SERVER
from pykubelet.apiserver.verbs import deleting
from pykubelet.apiserver.verbs.writing import change_object
from pykubelet.errors import Failed

log = logging.getLogger(__name__)

Json = dict[str, Any]

_LOOK_AGAIN = 1.0


class Publisher:
    """`changed` is called whenever what is served has changed."""

    def __init__(self, parts: Parts, changed: Callable[[], None]) -> None:
        self._parts = parts
        self._changed = changed
        self._published: dict[str, tuple[int, list[Resource]]] = {}
        self._task: asyncio.Task[None] | None = None
        resource = parts.registry.find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        assert resource is not None
        self._resource = resource

    async def start(self) -> None:
        """Publish what is there, then follow."""
        collection = self._parts.caches.of(self._resource)
        self._watcher = Watcher()
        collection.watchers.add(self._watcher)
        for item in list(collection.items()):
            await self._look_at(item.name)
        self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        leaving: set[str] = set()
        loop = asyncio.get_running_loop()
        while not self._watcher.ended:
            # What is being deleted is looked at again, until its objects are gone.
            changes = await self._watcher.take(loop.time() + (_LOOK_AGAIN if leaving else 3600))
            names = {one.name for c in changes if (one := c.after or c.before)} | leaving
            leaving = set()
            for name in names:
                try:
                    if await self._look_at(name):
                        leaving.add(name)
                except (Refusal, Failed) as error:
                    log.warning("definition %s: %s; trying again", name, error)
                    leaving.add(name)

    async def _look_at(self, name: str) -> bool:
        """Bring one definition to where it should be. Whether to look again soon."""
        item = self._parts.caches.of(self._resource).get(name)
        if item is None:
            self._withdraw(name)
            return False
        definition = item.tree()
        if definition["metadata"].get("deletionTimestamp"):
            return await self._remove(name, definition)
        generation = definition["metadata"].get("generation", 0)
        known = self._published.get(name)
        if known is None or known[0] != generation:
            await self._publish(name, generation, definitions.resources_of(definition))
        await self._say_established(name, definition)
        return False

    async def _publish(self, name: str, generation: int, resources: list[Resource]) -> None:
        self._withdraw(name)
        for resource in resources:
            fields_of = definitions.strategy_of(resource).fields_of
            await self._parts.caches.add_later(resource, fields_of)
            self._parts.registry.add(resource)
        self._published[name] = generation, resources
        self._changed()

    def _withdraw(self, name: str) -> None:
        _, resources = self._published.pop(name, (0, []))
        for resource in resources:
            self._parts.registry.remove(resource)
            self._parts.caches.remove(resource)
        if resources:
            self._changed()

    async def _say_established(self, name: str, definition: Json) -> None:
        status = definitions.established(definition, self._call(name).now())
        if status == definition.get("status"):
            return

        def change(current: Json) -> Json:
            return {**current, "status": definitions.established(current, call.now())}

        call = self._call(name)
        await change_object(call, change, as_is=True)

    async def _remove(self, name: str, definition: Json) -> bool:
        """Delete the objects; when there are none, let the definition go."""
        if definitions.CLEANUP not in (definition["metadata"].get("finalizers") or ()):
            return False
        _, resources = self._published.get(name, (0, []))
        left = 0
        for resource in resources[:1]:
            for item in list(self._parts.caches.of(resource).items()):
                left += 1
                route = Route("delete", "", resource.group, resource.version, resource.plural,
                              item.namespace, item.name)  # fmt: skip
                call = Call(self._parts, Request("DELETE", ""), route, resource, SERVER)
                try:
                    _, gone = await deleting.delete_object(call, deleting.Options())
                    left -= gone
                except Refusal as refusal:
                    if refusal.code != 404:
                        raise
        if left:
            return True

        def change(current: Json) -> Json:
            meta = dict(current["metadata"])
            meta["finalizers"] = [f for f in meta.get("finalizers") or ()
                                  if f != definitions.CLEANUP]  # fmt: skip
            return {**current, "metadata": meta}

        await change_object(self._call(name), change, as_is=True)
        return False

    def _call(self, name: str) -> Call:
        one = self._resource
        route = Route("update", "", one.group, one.version, one.plural, "", name)
        return Call(self._parts, Request("PUT", ""), route, one, SERVER)

"""ResourceQuota: what a namespace may use altogether.

An object is let in when every quota that means it has room, and is charged to their status before
it is stored; two writers that want the last place meet at the quota's revision, in one server or in
several. What was charged for a write that then failed, the quota controller gives back. Source:
"Resource Quotas".
"""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import Any

from pykubelet.apiserver import status
from pykubelet.apiserver.admission.chain import CREATE, UPDATE, Asked, Plugin
from pykubelet.apiserver.cache.items import Item, encode
from pykubelet.apiserver.storage.contract import Conflict
from pykubelet.objects import quantity, quota

Json = dict[str, Any]

_TRIES = 8
_ZERO = Fraction(0)
_UPDATED = ("pods", "services", "persistentvolumeclaims")


class ResourceQuotas:
    """The plugin's step. One writer of a namespace at a time is charged."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}

    async def __call__(self, asked: Asked) -> None:
        if not self._counts(asked):
            return
        quotas = asked.call.parts.registry.find("", "v1", "resourcequotas")
        assert quotas is not None
        collection = asked.call.parts.caches.of(quotas)
        if next(iter(collection.items(asked.namespace)), None) is None:
            return
        lock = self._locks.setdefault(asked.namespace, asyncio.Lock())
        async with lock:
            for _ in range(_TRIES):
                if await self._charged(asked, list(collection.items(asked.namespace))):
                    break
                await asked.call.parts.caches.catch_up()
            else:
                raise status.conflict(quotas, "quota")
        if len(self._locks) > 1000:
            self._locks = {k: one for k, one in self._locks.items() if one.locked()}

    def _counts(self, asked: Asked) -> bool:
        if not asked.call.resource.namespaced or asked.subresource not in ("", "resize"):
            return False
        if asked.operation == CREATE:
            return True
        return asked.operation == UPDATE and asked.resource in _UPDATED

    async def _charged(self, asked: Asked, items: list[Item]) -> bool:
        """Whether all quotas are charged; False where one has changed meanwhile."""
        changes = []
        for item in items:
            one = item.tree()
            if quota.covers(one, asked.resource, asked.new):
                made = charge(asked, one)
                if made is not None:
                    changes.append((item, made))
        if asked.call.dry_run:
            return True
        for item, made in changes:
            made["metadata"].pop("resourceVersion", None)
            key = f"/registry/resourcequotas/{item.key}"
            try:
                record = await asked.call.parts.store.update(key, encode(made), item.revision)
            except Conflict:
                return False
            await asked.call.parts.caches.reach(record.revision, timeout=30)
        return True


def charge(asked: Asked, one: Json) -> Json | None:
    """A quota with the object charged to it; None where nothing is to be charged. Raises Refusal
    where there is no room."""
    now = asked.call.parts.clock.wall()
    hard = quota.limited(one)
    name = one["metadata"]["name"]
    if asked.resource == "pods" and asked.operation == CREATE:
        said = quota.unspecified(asked.new, hard)
        if said:
            raise asked.forbidden(f"failed quota: {name}: {said}")
    asks = quota.usage(asked.resource, asked.new, now)
    if asked.operation == UPDATE and asked.old is not None:
        before = (
            quota.usage(asked.resource, asked.old, now)
            if quota.covers(one, asked.resource, asked.old)
            else {}
        )
        asks = {key: asks.get(key, _ZERO) - before.get(key, _ZERO) for key in {*asks, *before}}
    delta = {key: number for key, number in asks.items() if key in hard and number}
    if not delta:
        return None
    state = one.get("status") or {}
    written = state.get("used") or {}
    used = {key: quantity.parse(written.get(key, 0)) for key in hard}
    if not state.get("hard") and not state.get("used"):
        raise asked.forbidden(
            f"status unknown for quota: {name}, resources: {','.join(sorted(delta))}"
        )
    over = [key for key, number in delta.items() if number > 0 and used[key] + number > hard[key]]
    if over:
        like = {**one["spec"]["hard"], **written}

        def listed(amounts: quota.Amounts) -> str:
            texts = quota.spelled({key: amounts[key] for key in sorted(over)}, like)
            return ",".join(f"{key}={text}" for key, text in texts.items())

        raise asked.forbidden(
            f"exceeded quota: {name}, requested: {listed(delta)}, used: {listed(used)}, "
            f"limited: {listed(hard)}"
        )
    after = {key: max(used[key] + number, _ZERO) for key, number in delta.items()}
    spelled = quota.spelled(after, {**one["spec"]["hard"], **written})
    return {**one, "status": {**state, "used": {**written, **spelled}}}


def plugin() -> Plugin:
    return Plugin("ResourceQuota", check=ResourceQuotas())

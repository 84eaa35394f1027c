"""Gives Services their cluster IPs and node ports, and takes them back.

Giving is the last step of admission that may change a Service. Taking back follows the Services
themselves: whatever one had and has no more is free, however that came about. A repair now and
then finds what a server that died in between has left behind.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from pykubelet.apiserver import status
from pykubelet.apiserver.admission.chain import CREATE, UPDATE, Asked, Plugin
from pykubelet.apiserver.allocation import fields as needs
from pykubelet.apiserver.allocation.addresses import MANAGED, Addresses, owner_of
from pykubelet.apiserver.allocation.ports import NodePorts
from pykubelet.apiserver.cache.collection import Watcher
from pykubelet.apiserver.calls import Parts
from pykubelet.errors import Failed, Invalid
from pykubelet.objects import fields

log = logging.getLogger(__name__)

Json = dict[str, Any]

_REPAIR_SECONDS = 180.0
_ON_ITS_WAY_SECONDS = 60.0
"""How long a reservation may be without its Service: that may be on its way into the store."""


class ServiceAllocation:
    """The plugin, and the task beside it. `cidr` is the server's own range, or two with a comma."""

    def __init__(self, cidr: str, ports: NodePorts | None = None) -> None:
        self.addresses = Addresses(cidr)
        self.ports = ports or NodePorts()
        self._task: asyncio.Task[None] | None = None
        self._suspects: dict[str | int, float] = {}

    def plugin(self) -> Plugin:
        return Plugin("ServiceAllocation", self._allocate)

    def start(self, parts: Parts) -> None:
        """Follow the Services, and repair now and then."""
        self._task = asyncio.create_task(self._follow(parts))

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # -- giving ----------------------------------------------------------------------------------

    async def _allocate(self, asked: Asked) -> None:
        if not asked.is_of("services", CREATE, UPDATE):
            return
        spec = asked.new.setdefault("spec", {})
        before = (asked.old or {}).get("spec") or {}
        if before:
            needs.carry_over(spec, before)
        if needs.has_addresses(spec):
            await self._give_addresses(asked, spec, before)
        if needs.needs_node_ports(spec):
            await self._give_ports(asked, spec, before)
        if needs.needs_health_port(spec):
            await self._give_health_port(asked, spec, before)

    async def _give_addresses(self, asked: Asked, spec: Json, before: Json) -> None:
        wrong = needs.settle_families(spec, self.addresses.families(asked.call.parts))
        if wrong:
            key, _, why = wrong.partition(": ")
            self._refuse(asked, ("spec", key), spec.get(key), why)
        given = [one for one in spec.get("clusterIPs") or () if one]
        if not given and spec.get("clusterIP"):
            given = [spec["clusterIP"]]
        if spec.get("clusterIP") and given[:1] != [spec["clusterIP"]]:
            return  # the two disagree, which validation refuses
        if given[:1] == ["None"]:
            spec["clusterIP"], spec["clusterIPs"] = "None", given
            return
        kept = before.get("clusterIPs") or []
        families = spec["ipFamilies"]
        chosen = given[: len(families)]
        for index, one in enumerate(chosen):
            if kept[index : index + 1] != [one]:
                await self._take_address(asked, one, chosen)
        for family in families[len(chosen) :]:
            chosen.append(await self._any_address(asked, family))
        spec["clusterIP"], spec["clusterIPs"] = chosen[0], chosen

    async def _take_address(self, asked: Asked, address: str, wanted: list[str]) -> None:
        keep, parts, owner = not asked.call.dry_run, asked.call.parts, _owner(asked)
        try:
            fresh = await self.addresses.reserve(parts, address, owner, keep)
        except ValueError:
            return  # validation says what is wrong with it
        except Invalid as error:
            why = f"failed to allocate IP {address}: {error}"
            self._refuse(asked, ("spec", "clusterIPs"), wanted, why)
        else:
            if fresh and keep:
                asked.call.undo.append(lambda: self.addresses.release(parts, address, owner))

    async def _any_address(self, asked: Asked, family: str) -> str:
        keep, parts, owner = not asked.call.dry_run, asked.call.parts, _owner(asked)
        try:
            address = await self.addresses.choose(parts, family, owner, keep)
        except Invalid as error:
            raise status.internal(f"failed to allocate a serviceIP: {error}") from None
        if keep:
            asked.call.undo.append(lambda: self.addresses.release(parts, address, owner))
        return address

    async def _give_ports(self, asked: Asked, spec: Json, before: Json) -> None:
        own = set(ports_of(before))
        by_port: dict[int, int] = {}
        for index, port in enumerate(spec.get("ports") or ()):
            number = port.get("nodePort") or by_port.get(port.get("port", 0), 0)
            if not number:
                number = await self._any_port(asked)
            elif number not in own:
                at = ("spec", "ports", index, "nodePort")
                await self._take_port(asked, number, at)
            port["nodePort"] = by_port[port.get("port", 0)] = number
            own.add(number)  # two protocols of one service may share it

    async def _give_health_port(self, asked: Asked, spec: Json, before: Json) -> None:
        number = spec.get("healthCheckNodePort") or 0
        if not number:
            spec["healthCheckNodePort"] = await self._any_port(asked)
        elif number != before.get("healthCheckNodePort"):
            await self._take_port(asked, number, ("spec", "healthCheckNodePort"))

    async def _take_port(self, asked: Asked, number: int, at: fields.Path) -> None:
        store = asked.call.parts.store
        try:
            if not asked.call.dry_run:
                await self.ports.reserve(store, number)
                asked.call.undo.append(lambda: self.ports.release(store, [number]))
            elif number in await self.ports.reserved(store):
                raise Invalid("provided port is already allocated")
        except Invalid as error:
            self._refuse(asked, at, number, str(error))

    async def _any_port(self, asked: Asked) -> int:
        store = asked.call.parts.store
        if asked.call.dry_run:
            taken = await self.ports.reserved(store)
            return self.ports.free(sum(1 << (one - self.ports.low) for one in taken))
        try:
            number = await self.ports.choose(store)
        except Invalid as error:
            raise status.internal(f"failed to allocate a nodePort: {error}") from None
        asked.call.undo.append(lambda: self.ports.release(store, [number]))
        return number

    def _refuse(self, asked: Asked, at: fields.Path, value: Any, why: str) -> None:
        error = fields.invalid(at, value, why)
        raise status.invalid(asked.call.resource, asked.name, [error])

    # -- taking back -----------------------------------------------------------------------------

    async def _follow(self, parts: Parts) -> None:
        services = parts.registry.find("", "v1", "services")
        assert services is not None
        collection = parts.caches.of(services)
        clock = asyncio.get_running_loop().time
        while True:
            watcher = Watcher()
            collection.watchers.add(watcher)
            try:
                repair_at = 0.0
                while not watcher.ended:
                    if clock() >= repair_at:
                        await self.repair(parts, clock())
                        repair_at = clock() + _REPAIR_SECONDS
                    for change in await watcher.take(repair_at):
                        if change.before is not None:
                            after = change.after.tree() if change.after else {}
                            await self._take_back(parts, change.before.tree(), after)
            except Failed as error:
                log.warning("addresses of services are not taken back yet: %s", error)
                await asyncio.sleep(1)
            finally:
                collection.watchers.discard(watcher)
                watcher.close()

    async def _take_back(self, parts: Parts, before: Json, after: Json) -> None:
        meta, was, now = before["metadata"], before.get("spec") or {}, after.get("spec") or {}
        owner = f"{meta['namespace']}/{meta['name']}"
        for address in set(addresses_of(was)) - set(addresses_of(now)):
            await self.addresses.release(parts, address, owner)
        ports = set(ports_of(was)) - set(ports_of(now))
        if ports:
            await self.ports.release(parts.store, ports)

    async def repair(self, parts: Parts, now: float) -> None:
        """Make reservations and Services agree. A reservation without a Service is given up when it
        has been without one for a while. `now` is in seconds, of any clock."""
        services = parts.registry.find("", "v1", "services")
        kind = parts.registry.find("networking.k8s.io", "v1", "ipaddresses")
        assert services is not None
        assert kind is not None
        used_addresses: dict[str, str] = {}
        used_ports: set[int] = set()
        for item in parts.caches.of(services).items():
            spec = item.tree().get("spec") or {}
            used_addresses |= dict.fromkeys(addresses_of(spec), item.key)
            used_ports |= set(ports_of(spec))
        orphans: dict[str | int, float] = {}

        def is_old(one: str | int) -> bool:
            orphans[one] = self._suspects.get(one, now)
            return now - orphans[one] >= _ON_ITS_WAY_SECONDS

        for item in list(parts.caches.of(kind).items()):
            one = item.tree()
            managed = MANAGED in (one["metadata"].get("labels") or {})
            if managed and used_addresses.get(item.name) != owner_of(one) and is_old(item.name):
                await self.addresses.release(parts, item.name, owner_of(one))
        for address, owner in used_addresses.items():
            try:
                await self.addresses.reserve(parts, address, owner)
            except (Invalid, ValueError) as error:
                log.warning("the service %s has the address %s: %s", owner, address, error)
        reserved = await self.ports.reserved(parts.store)
        await self.ports.release(parts.store, [one for one in reserved - used_ports if is_old(one)])
        await self.ports.keep(parts.store, used_ports - reserved)
        self._suspects = orphans


def addresses_of(spec: Json) -> list[str]:
    """The cluster IPs that a Service holds."""
    return [one for one in spec.get("clusterIPs") or () if one and one != "None"]


def ports_of(spec: Json) -> list[int]:
    """The node ports that a Service holds."""
    found = [one["nodePort"] for one in spec.get("ports") or () if one.get("nodePort")]
    if spec.get("healthCheckNodePort"):
        found.append(spec["healthCheckNodePort"])
    return found


def _owner(asked: Asked) -> str:
    return f"{asked.namespace}/{asked.new['metadata'].get('name')}"

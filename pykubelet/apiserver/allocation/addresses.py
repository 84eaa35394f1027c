"""Cluster IPs, each reserved by an IPAddress object of its name (KEP-1880).

Creating the object is what reserves the address: the store lets only one creation of a key through.
New addresses come from the upper part of a range first, so that the lower part stays free for
people who choose one (KEP-3070).
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator
from typing import Any

from pykubelet.apiserver.cache.items import encode
from pykubelet.apiserver.calls import Parts, new_uid
from pykubelet.apiserver.resources.registry import Resource
from pykubelet.apiserver.storage.contract import Conflict, Exists
from pykubelet.clock import rfc3339
from pykubelet.errors import Invalid

Json = dict[str, Any]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MANAGED = "ipaddress.kubernetes.io/managed-by"
_FAMILY, _MANAGER = "ipaddress.kubernetes.io/ip-family", "ipallocator.k8s.io"
_GROUP = "networking.k8s.io"
_RANDOM_TRIES = 64


class Addresses:
    """The cluster IPs of all ServiceCIDRs; `default` is the server's own range, used until its
    ServiceCIDR is there."""

    def __init__(self, default: str) -> None:
        self._default = [ipaddress.ip_network(text) for text in default.split(",")]

    def networks(self, parts: Parts) -> list[Network]:
        """The ranges there are, the server's own first."""
        found: list[Network] = list(self._default)
        for item in parts.caches.of(_resource(parts, "servicecidrs")).items():
            one = item.tree()
            if one["metadata"].get("deletionTimestamp"):
                continue
            for text in (one.get("spec") or {}).get("cidrs") or ():
                network = ipaddress.ip_network(text, strict=False)
                if network not in found:
                    found.append(network)
        return found

    def families(self, parts: Parts) -> list[str]:
        """The families that are served, the default first."""
        return list(dict.fromkeys(f"IPv{one.version}" for one in self.networks(parts)))

    async def reserve(self, parts: Parts, address: str, owner: str, keep: bool = True) -> bool:
        """Reserve a given address for `owner` (`namespace/name`). Whether it wasn't this owner's
        before. Invalid, with the reason, if it can't be had. With `keep` false only ask."""
        parsed = ipaddress.ip_address(address)
        if not any(parsed in network for network in self.networks(parts)):
            raise Invalid("the provided network does not match the current range")
        resource = _resource(parts, "ipaddresses")
        name = str(parsed)
        item = parts.caches.of(resource).get(name)
        if item is None and keep:
            try:
                await parts.store.create(resource.key("", name), self._object(parts, name, owner))
            except Exists:
                await parts.caches.catch_up()
                item = parts.caches.of(resource).get(name)
            else:
                return True
        if item is not None and owner_of(item.tree()) != owner:
            raise Invalid("provided IP is already allocated")
        return item is None

    async def choose(self, parts: Parts, family: str, owner: str, keep: bool = True) -> str:
        """Reserve any free address of a family. Invalid if there is none."""
        taken = parts.caches.of(_resource(parts, "ipaddresses"))
        for network in self.networks(parts):
            if f"IPv{network.version}" != family:
                continue
            for address in _candidates(network):
                if taken.get(address) is not None:
                    continue
                try:
                    await self.reserve(parts, address, owner, keep)
                except Invalid:
                    continue
                return address
        raise Invalid("range is full")

    async def release(self, parts: Parts, address: str, owner: str) -> None:
        """Give an address back, if it is this owner's."""
        resource = _resource(parts, "ipaddresses")
        item = parts.caches.of(resource).get(address)
        if item is None or owner_of(item.tree()) != owner:
            return
        try:
            await parts.store.delete(resource.key("", address), item.revision)
        except Conflict:
            pass  # somebody else has changed it: the next repair looks again

    def _object(self, parts: Parts, name: str, owner: str) -> bytes:
        namespace, _, service = owner.partition("/")
        labels = {_FAMILY: f"IPv{ipaddress.ip_address(name).version}", MANAGED: _MANAGER}
        return encode({
            "kind": "IPAddress", "apiVersion": f"{_GROUP}/v1",
            "metadata": {"name": name, "uid": new_uid(), "labels": labels,
                         "creationTimestamp": rfc3339(parts.clock.wall())},
            "spec": {"parentRef": {"resource": "services", "namespace": namespace,
                                   "name": service}},
        })  # fmt: skip


def owner_of(address: Json) -> str:
    """`namespace/name` of the Service that has an IPAddress; empty if no Service has."""
    parent = (address.get("spec") or {}).get("parentRef") or {}
    if parent.get("resource") != "services" or parent.get("group"):
        return ""
    return f"{parent.get('namespace')}/{parent.get('name')}"


def _candidates(network: Network) -> Iterator[str]:
    """Addresses to try: some at random in the upper part, then all of it, then the lower part."""
    size = network.num_addresses
    last = size - 1 if network.version == 6 else size - 2  # not the broadcast address
    offset = min(max(16, size // 16), 256)
    if offset >= last:
        offset = 0
    low = max(offset, 1)
    for _ in range(_RANDOM_TRIES):
        yield str(network[random.randint(low, last)])
    for at in (*range(low, min(last + 1, low + 1_000_000)), *range(1, low)):
        yield str(network[at])


def _resource(parts: Parts, plural: str) -> Resource:
    found = parts.registry.find(_GROUP, "v1", plural)
    assert found is not None
    return found

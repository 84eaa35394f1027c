"""Gives Services their cluster IP and node ports.

What is taken is read from the cached Services; what has been given out and isn't there yet is
remembered for a while, since several Services may be on their way into the store at once.
"""

from __future__ import annotations

import ipaddress
import random
import time
from collections.abc import Callable, Iterable
from typing import Any

from pykubelet.apiserver import status
from pykubelet.apiserver.admission.chain import CREATE, UPDATE, Asked, Plugin
from pykubelet.apiserver.calls import Call
from pykubelet.objects import fields

Json = dict[str, Any]

_NODE_PORTS = range(30000, 32768)
_REMEMBERED = 30.0


class ServiceAddresses:
    """An admission plugin. `cidr` is where cluster IPs come from."""

    def __init__(self, cidr: str) -> None:
        self._network = ipaddress.ip_network(cidr)
        self._given: dict[str | int, float] = {}

    def plugin(self) -> Plugin:
        return Plugin("ServiceAddresses", self._allocate)

    async def _allocate(self, asked: Asked) -> None:
        if not asked.is_of("services", CREATE, UPDATE):
            return
        call = asked.call
        spec = asked.new.setdefault("spec", {})
        before = (asked.old or {}).get("spec") or {}
        if spec.get("type") == "ExternalName":
            for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                spec.pop(key, None)
            return
        self._forget_old()
        self._address(call, spec, before)
        self._node_ports(call, spec, before)

    def _address(self, call: Call, spec: Json, before: Json) -> None:
        wanted = spec.get("clusterIP") or (spec.get("clusterIPs") or [""])[0]
        if not wanted and before.get("clusterIP"):
            wanted = before["clusterIP"]
        taken = self._taken(call, _addresses)
        if wanted and wanted != "None" and wanted != before.get("clusterIP"):
            self._check(call, wanted, taken)
        if not wanted:
            wanted = self._free(call, taken)
        spec["clusterIP"] = wanted
        spec["clusterIPs"] = spec.get("clusterIPs") or [wanted]
        family = "IPv6" if self._network.version == 6 else "IPv4"
        spec.setdefault("ipFamilies", [family])
        spec.setdefault("ipFamilyPolicy", "SingleStack")

    def _check(self, call: Call, wanted: str, taken: set[Any]) -> None:
        problem = ""
        try:
            inside = ipaddress.ip_address(wanted) in self._network
        except ValueError:
            problem = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        else:
            if not inside:
                problem = (
                    "failed to allocate IP "
                    f"{wanted}: the provided network does not match the current range"
                )
            elif wanted in taken:
                problem = f"failed to allocate IP {wanted}: provided IP is already allocated"
        if problem:
            error = fields.invalid(("spec", "clusterIPs"), [wanted], problem)
            name = call.request.path.rpartition("/")[2]
            raise status.invalid(call.resource, call.route.name or name, [error])
        self._given[wanted] = time.monotonic()

    def _free(self, call: Call, taken: set[Any]) -> str:
        size = self._network.num_addresses
        low = min(max(16, size // 16), 256)  # the lower part is for addresses that people choose
        start = random.randrange(low, size - 1) if size > low + 2 else 2
        for step in range(size - 2):
            at = (start - 1 + step) % (size - 2) + 1
            address = str(self._network.network_address + at)
            if at > 1 and address not in taken and (at >= low or step > size - low - 3):
                self._given[address] = time.monotonic()
                return address
        raise status.internal("failed to allocate a serviceIP: range is full")

    def _node_ports(self, call: Call, spec: Json, before: Json) -> None:
        kind = spec.get("type")
        needed = kind == "NodePort" or (
            kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True)
        )
        if not needed:
            if kind == "ClusterIP" and before.get("type") in ("NodePort", "LoadBalancer"):
                for port in spec.get("ports") or ():
                    port.pop("nodePort", None)
            return
        had = {
            (p.get("port"), p.get("protocol")): p.get("nodePort") for p in before.get("ports") or ()
        }
        own = {p.get("nodePort") for p in before.get("ports") or ()}
        taken = self._taken(call, _ports) - own
        for index, port in enumerate(spec.get("ports") or ()):
            number = port.get("nodePort") or had.get((port.get("port"), port.get("protocol")))
            if not number:
                free = [n for n in _NODE_PORTS if n not in taken]
                if not free:
                    raise status.internal("failed to allocate a nodePort: range is full")
                number = random.choice(free)
            elif number in taken or number not in _NODE_PORTS:
                problem = "provided port is already allocated"
                if number not in _NODE_PORTS:
                    low, high = _NODE_PORTS[0], _NODE_PORTS[-1]
                    problem = f"provided port is not in the valid range. The range of valid ports is {low}-{high}"  # noqa: E501
                error = fields.invalid(("spec", "ports", index, "nodePort"), number, problem)
                raise status.invalid(call.resource, call.route.name, [error])
            port["nodePort"] = number
            taken.add(number)
            self._given[number] = time.monotonic()

    def _taken(self, call: Call, of: Callable[[Json], Iterable[Any]]) -> set[Any]:
        found: set[Any] = set(self._given)
        for item in call.parts.caches.of(call.resource).items():
            found.update(of(item.tree().get("spec") or {}))
        return found

    def _forget_old(self) -> None:
        limit = time.monotonic() - _REMEMBERED
        self._given = {key: at for key, at in self._given.items() if at > limit}


def _addresses(spec: Json) -> Iterable[Any]:
    return spec.get("clusterIPs") or ()


def _ports(spec: Json) -> Iterable[Any]:
    return [p["nodePort"] for p in spec.get("ports") or () if p.get("nodePort")]

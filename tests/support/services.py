"""Services, EndpointSlices and a Node as the API has them, short to write; and a `World` of them
that the proxy's loop reads as it would read the API's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pykubelet.clock import SystemClock
from pykubelet.proxy import backend, nodes
from pykubelet.proxy.config.configuration import Configuration
from pykubelet.proxy.health import ServicePorts, Wellness
from pykubelet.proxy.loop import Loop
from pykubelet.proxy.model import Settings
from pykubelet.proxy.services import service_of

Json = dict[str, Any]


def port(number: int, protocol: str = "TCP", name: str = "", node_port: int = 0) -> Json:
    found: Json = {"port": number, "protocol": protocol}
    if name:
        found["name"] = name
    if node_port:
        found["nodePort"] = node_port
    return found


def service(
    name: str,
    *cluster_ips: str,
    ports: Sequence[Json] = (),
    balancer: Sequence[str] = (),
    **spec: Any,
) -> Json:
    """In namespace `ns`, with port 80/TCP unless told otherwise."""
    metadata = {
        "name": name,
        "namespace": "ns",
        "labels": spec.pop("labels", {}),
        "creationTimestamp": spec.pop("created", "2026-01-01T00:00:00Z"),
        "resourceVersion": "1",
        "uid": f"uid-{name}",
    }
    spec = {
        "clusterIP": cluster_ips[0] if cluster_ips else "",
        "clusterIPs": list(cluster_ips),
        "ports": list(ports) or [port(80)],
        **spec,
    }
    if balancer:
        spec.setdefault("type", "LoadBalancer")
    ingress = [{"ip": ip} for ip in balancer]
    status = {"loadBalancer": {"ingress": ingress}} if ingress else {}
    return {"metadata": metadata, "spec": spec, "status": status}


def endpoint(ip: str, node: str = "", zones: Iterable[str] = (), **conditions: bool) -> Json:
    """`endpoint("10.0.0.1", "node", ready=False, serving=True, terminating=True)`"""
    found: Json = {"addresses": [ip], "conditions": conditions}
    if node:
        found["nodeName"] = node
    if zones:
        found["hints"] = {"forZones": [{"name": zone} for zone in zones]}
    return found


def slice_(
    of: str, *endpoints: Json, ports: Sequence[Json] = (), family: str = "IPv4", name: str = ""
) -> Json:
    """Port 8080/TCP unless told otherwise."""
    return {
        "metadata": {
            "name": name or f"{of}-{family.lower()}",
            "namespace": "ns",
            "labels": {"kubernetes.io/service-name": of},
            "resourceVersion": "1",
        },
        "addressType": family,
        "ports": list(ports) or [port(8080)],
        "endpoints": list(endpoints),
    }


def node(name: str = "node", *addresses: str, zone: str = "", **spec: Any) -> Json:
    return {
        "metadata": {"name": name, "labels": {nodes.ZONE_LABEL: zone} if zone else {}},
        "spec": spec,
        "status": {"addresses": [{"type": "InternalIP", "address": a} for a in addresses]},
    }


class World:
    """What an API server would tell, and a loop on a real backend. Not started: `program` takes one
    turn in the calling thread, in whose network namespace the rules are."""

    def __init__(self, config: Configuration, the_node: Json, **loop: Any) -> None:
        config = nodes.with_mode(config, backend.choose(config.mode, Settings()).name)
        self.services: dict[str, Json] = {}
        self.by_service: dict[str, dict[str, Json]] = {}
        self.the_node = the_node
        self.wellness = Wellness(SystemClock(), 60.0)
        self.health_ports = ServicePorts(self.wellness)
        self.loop = Loop(
            the_node["metadata"]["name"],
            lambda settings: backend.choose(config.mode, settings),
            lambda facts: nodes.settings(config, facts),
            self.wellness,
            health_ports=self.health_ports,
            **loop,
        )
        self.loop.attach(self)

    def put(self, *objects: Json) -> None:
        """Services and slices, new or changed."""
        for one in objects:
            if "addressType" in one:
                key = service_of(one)
                self.by_service.setdefault(key, {})[one["metadata"]["name"]] = one
            else:
                key = f"ns/{one['metadata']['name']}"
                self.services[key] = one
            self.loop.touched(key)

    def drop(self, name: str) -> None:
        """A service and its slices."""
        self.services.pop(f"ns/{name}", None)
        self.by_service.pop(f"ns/{name}", None)
        self.loop.touched(f"ns/{name}")

    def program(self) -> None:
        assert self.loop.turn(), "the backend refused"

    def close(self) -> None:
        self.health_ports.stop()
        if self.loop.backend:
            self.loop.backend.remove()

    # -- Source ---------------------------------------------------------------------------------

    def keys(self) -> list[str]:
        return list(self.services)

    def service(self, key: str) -> Json | None:
        return self.services.get(key)

    def slices(self, key: str) -> list[Json]:
        return list(self.by_service.get(key, {}).values())

    def node(self) -> Json | None:
        return self.the_node

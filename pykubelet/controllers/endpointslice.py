"""EndpointSlice: which addresses stand behind a Service, kept as slices of at most a hundred.

`decide` compares what a service's pods make with the slices that there are, and changes as little
as it can: an address stays in the slice that it is in, new ones fill slices that change anyway.
Source: KEP-752, KEP-1672 (terminating endpoints), the EndpointSlice reference.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pykubelet.client.api import owner_reference
from pykubelet.client.errors import AlreadyExists, NotFound
from pykubelet.client.informer import key_of
from pykubelet.client.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from pykubelet.controllers import pods
from pykubelet.controllers.base import Context, Controller
from pykubelet.objects import selectors

Json = dict[str, Any]

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SERVICE_NAME = "kubernetes.io/service-name"
MANAGER = "endpointslice-controller.k8s.io"
MOST_IN_SLICE = 100
_ZONE = "topology.kubernetes.io/zone"
_HEADLESS = "service.kubernetes.io/headless"

#: What two slices have to agree on to be one: address family and ports.
_Shape = tuple[str, tuple[tuple[str, str, int | None, str], ...]]


@dataclass(frozen=True, slots=True)
class Decision:
    create: tuple[Json, ...] = ()
    update: tuple[Json, ...] = ()
    delete: tuple[Json, ...] = ()


def decide(
    service: Json, found: Iterable[Json], slices: Iterable[Json], zones: Mapping[str, str]
) -> Decision:
    """`found` are the pods that the service selects, `zones` the zone by node name. Pure."""
    wanted = _wanted(service, found, zones)
    by_shape: dict[_Shape, list[Json]] = {}
    delete: list[Json] = []
    for slice_ in slices:
        shape = _shape_of(slice_)
        (by_shape.setdefault(shape, []) if shape in wanted else delete).append(slice_)
    create: list[Json] = []
    update: list[Json] = []
    for shape, endpoints in wanted.items():
        new, changed, gone = _fit(service, shape, endpoints, by_shape.get(shape, []))
        create += new
        update += changed
        delete += gone
    return Decision(tuple(create), tuple(update), tuple(delete))


def _fit(
    service: Json, shape: _Shape, endpoints: dict[str, Json], slices: list[Json]
) -> tuple[list[Json], list[Json], list[Json]]:
    """(new, changed, gone) slices of one shape."""
    left = dict(endpoints)
    kept: list[tuple[Json, list[Json]]] = []
    for slice_ in slices:
        stay = [
            left.pop(e["addresses"][0])
            for e in slice_.get("endpoints") or ()
            if e["addresses"][0] in left
        ]
        kept.append((slice_, stay))
    rest = list(left.values())
    # Fill the slices that have to be written anyway before any other, the fullest first.
    for _, stay in sorted(kept, key=lambda k: (not _differs(*k), -len(k[1]))):
        if not rest:
            break
        room = MOST_IN_SLICE - len(stay)
        stay += rest[:room]
        rest = rest[room:]
    new = [
        _slice(service, shape, rest[i : i + MOST_IN_SLICE])
        for i in range(0, len(rest), MOST_IN_SLICE)
    ]
    changed, gone = [], []
    empty_left = not any(stay for _, stay in kept) and not new
    for slice_, stay in kept:
        if not stay and not empty_left:
            gone.append(slice_)
            continue
        empty_left = empty_left and bool(stay)  # one empty slice stays, so that clients see "none"
        if _differs(slice_, stay) or _labels(service, slice_) != slice_["metadata"].get("labels"):
            metadata = {**slice_["metadata"], "labels": _labels(service, slice_)}
            changed.append({**slice_, "metadata": metadata, "endpoints": stay})
    if not kept and not new:
        new.append(_slice(service, shape, []))
    return new, changed, gone


def _differs(slice_: Json, endpoints: list[Json]) -> bool:
    return (slice_.get("endpoints") or []) != endpoints


def _wanted(
    service: Json, found: Iterable[Json], zones: Mapping[str, str]
) -> dict[_Shape, dict[str, Json]]:
    spec = service["spec"]
    families = spec.get("ipFamilies") or ["IPv4"]
    wanted: dict[_Shape, dict[str, Json]] = {}
    for pod in found:
        if not _has_endpoint(pod):
            continue
        for family in families:
            address = _address(pod, family)
            if address is None:
                continue
            shape = (family, _ports(spec, pod))
            endpoint = _endpoint(service, pod, address, zones)
            wanted.setdefault(shape, {})[address] = endpoint
    if not wanted:
        for family in families:
            wanted[family, ()] = {}
    return wanted


def _has_endpoint(pod: Json) -> bool:
    phase = (pod.get("status") or {}).get("phase")
    return bool((pod.get("status") or {}).get("podIP")) and phase not in ("Succeeded", "Failed")


def _address(pod: Json, family: str) -> str | None:
    version = 6 if family == "IPv6" else 4
    for ip in pod["status"].get("podIPs") or [{"ip": pod["status"]["podIP"]}]:
        if ipaddress.ip_address(ip["ip"]).version == version:
            return str(ip["ip"])
    return None


def _endpoint(service: Json, pod: Json, address: str, zones: Mapping[str, str]) -> Json:
    ready = pods.is_ready(pod)
    terminating = "deletionTimestamp" in pod["metadata"]
    publish_all = bool(service["spec"].get("publishNotReadyAddresses"))
    metadata, spec = pod["metadata"], pod["spec"]
    endpoint: Json = {
        "addresses": [address],
        "conditions": {
            "ready": publish_all or (ready and not terminating),
            "serving": ready,
            "terminating": terminating,
        },
        "targetRef": {
            "kind": "Pod",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
    }
    node = spec.get("nodeName")
    if node:
        endpoint["nodeName"] = node
        if node in zones:
            endpoint["zone"] = zones[node]
    if spec.get("hostname") and spec.get("subdomain") == service["metadata"]["name"]:
        endpoint["hostname"] = spec["hostname"]
    return endpoint


def _ports(spec: Json, pod: Json) -> tuple[tuple[str, str, int | None, str], ...]:
    found = []
    for port in spec.get("ports") or ():
        number = _target(port, pod)
        if number is not None:
            protocol = port.get("protocol") or "TCP"
            found.append((port.get("name") or "", protocol, number, port.get("appProtocol") or ""))
    return tuple(found)


def _target(port: Json, pod: Json) -> int | None:
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    containers = [
        *pod["spec"].get("containers", ()),
        *(c for c in pod["spec"].get("initContainers") or () if c.get("restartPolicy") == "Always"),
    ]
    for container in containers:
        for candidate in container.get("ports") or ():
            same = (candidate.get("protocol") or "TCP") == (port.get("protocol") or "TCP")
            if candidate.get("name") == target and same:
                return int(candidate["containerPort"])
    return None


def _shape_of(slice_: Json) -> _Shape:
    ports = tuple(
        (p.get("name") or "", p.get("protocol") or "TCP", p.get("port"), p.get("appProtocol") or "")
        for p in slice_.get("ports") or ()
    )
    return slice_["addressType"], ports


def _slice(service: Json, shape: _Shape, endpoints: list[Json]) -> Json:
    family, ports = shape
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    return {
        "metadata": {
            "generateName": f"{name}-",
            "namespace": namespace,
            "labels": _labels(service, {}),
            "ownerReferences": [owner_reference(service, SERVICES)],
        },
        "addressType": family,
        "endpoints": endpoints,
        "ports": [
            {"name": n, "protocol": p, "port": number, **({"appProtocol": a} if a else {})}
            for n, p, number, a in ports
        ],
    }


def _labels(service: Json, slice_: Json) -> Json:
    labels = dict(service["metadata"].get("labels") or {})
    labels |= {SERVICE_NAME: service["metadata"]["name"], MANAGED_BY: MANAGER}
    if service["spec"].get("clusterIP") == "None":
        labels[_HEADLESS] = ""
    return labels


class EndpointSliceController(Controller):
    name = "endpointslice-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._services = self.watch(SERVICES)
        self._pods = self.watch(PODS, self._services_of)
        self._slices = self.watch(ENDPOINT_SLICES, _service_of)
        self._nodes = self.read(NODES)

    def turn(self, key: str) -> float | None:
        service = self._services.get(key)
        namespace, _, name = key.partition("/")
        slices = [
            s
            for s in self._slices.by("namespace", namespace)
            if (labels := s["metadata"].get("labels") or {}).get(SERVICE_NAME) == name
            and labels.get(MANAGED_BY) == MANAGER
        ]
        if service is None:
            self._delete(slices)
            return None
        selector = service["spec"].get("selector")
        if not selector or service["spec"].get("type") == "ExternalName":
            return None
        wanted = selectors.from_map(selector)
        found = [
            p
            for p in self._pods.by("namespace", namespace)
            if selectors.matches(wanted, p["metadata"].get("labels"))
        ]
        found.sort(key=lambda p: str(p["metadata"]["name"]))
        decision = decide(service, found, slices, self._zones())
        for slice_ in decision.create:
            try:
                self.api.create(ENDPOINT_SLICES, slice_)
            except AlreadyExists:
                pass  # a generated name that was taken: the next turn tries another
        for slice_ in decision.update:
            self.api.update(ENDPOINT_SLICES, slice_)
        self._delete(decision.delete)
        return None

    def _delete(self, slices: Iterable[Json]) -> None:
        for slice_ in slices:
            metadata = slice_["metadata"]
            try:
                self.api.delete(ENDPOINT_SLICES, metadata["name"], metadata["namespace"])
            except NotFound:
                pass  # gone already

    def _zones(self) -> dict[str, str]:
        return {
            node["metadata"]["name"]: zone
            for node in self._nodes.all()
            if (zone := (node["metadata"].get("labels") or {}).get(_ZONE))
        }

    def _services_of(self, pod: Json) -> list[str]:
        labels = pod["metadata"].get("labels")
        if not labels:
            return []
        return [
            key_of(service)
            for service in self._services.by("namespace", pod["metadata"]["namespace"])
            if service["spec"].get("selector")
            and selectors.matches(selectors.from_map(service["spec"]["selector"]), labels)
        ]


def _service_of(slice_: Json) -> list[str]:
    labels = slice_["metadata"].get("labels") or {}
    if labels.get(MANAGED_BY) != MANAGER or SERVICE_NAME not in labels:
        return []
    return [f"{slice_['metadata']['namespace']}/{labels[SERVICE_NAME]}"]

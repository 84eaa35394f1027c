"""What the cluster's names stand for: Services and EndpointSlices in, answers out. Pure.

The rules are those of the Kubernetes DNS-based service discovery specification, version 1.1.0. A
`Zone` is an index that is kept up to date service by service; `look_up` gives the records of one
name and type, `None` where the name does not exist and an empty answer where it has others.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

#: Seconds that an answer may be kept, as upstream's server gives them.
TTL = 30
SCHEMA_VERSION = "1.1.0"

SERVICE_NAME_LABEL = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True)
class Record:
    """`data` is in presentation format; `name` is relative to nothing and ends without a dot."""

    name: str
    kind: str
    data: str
    ttl: int = TTL


@dataclass(frozen=True, slots=True)
class Endpoint:
    address: str
    hostname: str
    ports: tuple[tuple[str, str, int], ...]  # name, protocol, number


@dataclass(slots=True)
class _Service:
    """One service's share of the zone."""

    service: Json
    slices: dict[str, Json] = field(default_factory=dict)


class Zone:
    """`domain` is the cluster's, such as `cluster.local`. Not thread-safe: one owner."""

    def __init__(self, domain: str = "cluster.local") -> None:
        self.domain = domain.strip(".").lower()
        self._services: dict[tuple[str, str], _Service] = {}
        self._namespaces: dict[str, int] = {}
        self._pointers: dict[str, dict[str, None]] = {}
        self.serial = 1

    # -- keeping it up to date ------------------------------------------------------------------

    def put_service(self, service: Json) -> None:
        key = (service["metadata"]["namespace"], service["metadata"]["name"])
        old = self._services.get(key)
        self._change_pointers(key, remove=True)
        if old:
            old.service = service
        else:
            self._services[key] = _Service(service)
            self._namespaces[key[0]] = self._namespaces.get(key[0], 0) + 1
        self._change_pointers(key)

    def drop_service(self, namespace: str, name: str) -> None:
        key = (namespace, name)
        self._change_pointers(key, remove=True)
        if self._services.pop(key, None):
            self._namespaces[namespace] -= 1
            if not self._namespaces[namespace]:
                del self._namespaces[namespace]

    def put_slice(self, slice_: Json) -> None:
        self._change_slice(slice_, slice_)

    def drop_slice(self, slice_: Json) -> None:
        self._change_slice(slice_, None)

    def _change_slice(self, slice_: Json, new: Json | None) -> None:
        metadata = slice_["metadata"]
        name = (metadata.get("labels") or {}).get(SERVICE_NAME_LABEL, "")
        key = (metadata["namespace"], name)
        found = self._services.get(key)
        if not name:
            return
        if found is None:
            if new is None:
                return
            # The slice came first; the service's own data follow.
            found = self._services[key] = _Service({})
            self._namespaces[key[0]] = self._namespaces.get(key[0], 0) + 1
        self._change_pointers(key, remove=True)
        if new is None:
            found.slices.pop(metadata["name"], None)
            if not found.service and not found.slices:
                self.drop_service(*key)
                return
        else:
            found.slices[metadata["name"]] = new
        self._change_pointers(key)

    def _change_pointers(self, key: tuple[str, str], remove: bool = False) -> None:
        """Which names each address stands for, for reverse look-ups."""
        self.serial += 1
        found = self._services.get(key)
        if found is None or not found.service:
            return
        base = self._base(key)
        names = [(ip, base) for ip in _cluster_ips(found.service)]
        if not _cluster_ips(found.service):
            names = [(e.address, f"{_host(e)}.{base}") for e in _endpoints(found) if e.hostname]
        for address, name in names:
            pointers = self._pointers.setdefault(address, {})
            if remove:
                pointers.pop(name, None)
                if not pointers:
                    del self._pointers[address]
            else:
                pointers[name] = None

    def _base(self, key: tuple[str, str]) -> str:
        return f"{key[1]}.{key[0]}.svc.{self.domain}"

    # -- looking up -----------------------------------------------------------------------------

    def covers(self, name: str) -> bool:
        """Whether we are the authority for this name."""
        return name == self.domain or name.endswith(f".{self.domain}")

    def look_up(self, name: str, kind: str) -> list[Record] | None:
        """The records for a lower-case name without its last dot, or None for no such name."""
        if name == self.domain:
            return self._apex(name, kind)
        rest = name.removesuffix(f".{self.domain}").split(".")
        if rest == ["dns-version"]:
            return [Record(name, "TXT", f'"{SCHEMA_VERSION}"')] if kind == "TXT" else []
        if rest[-1] == "svc":
            return self._service(name, kind, rest[:-1])
        if rest[-1] == "pod":
            return self._pod(name, kind, rest[:-1])
        return None

    def point(self, address: str) -> list[Record]:
        """The names of an address of ours, for a PTR question."""
        names = self._pointers.get(address, {})
        reverse = ipaddress.ip_address(address).reverse_pointer
        return [Record(reverse, "PTR", f"{name}.") for name in names]

    def _apex(self, name: str, kind: str) -> list[Record]:
        if kind == "SOA":
            return [self.soa()]
        if kind == "NS":
            return [Record(name, "NS", f"ns.dns.{self.domain}.")]
        return []

    def soa(self) -> Record:
        data = f"ns.dns.{self.domain}. hostmaster.{self.domain}. {self.serial} 7200 1800 86400 5"
        return Record(self.domain, "SOA", data, 5)

    def _service(self, name: str, kind: str, labels: list[str]) -> list[Record] | None:
        if not labels:
            return []
        namespace = labels[-1]
        if len(labels) == 1:
            return [] if namespace in self._namespaces else None
        found = self._services.get((namespace, labels[-2]))
        if found is None or not found.service:
            return None
        below = labels[:-2]
        if not below:
            return self._of_service(name, kind, found)
        if len(below) == 2 and below[0].startswith("_") and below[1].startswith("_"):
            return self._ports(name, kind, found, below[0][1:], below[1][1:])
        if len(below) == 1 and below[0] in ("_tcp", "_udp", "_sctp"):
            return []
        if len(below) == 1 and not _cluster_ips(found.service):
            return self._of_endpoint(name, kind, found, below[0])
        return None

    def _of_service(self, name: str, kind: str, found: _Service) -> list[Record]:
        spec = found.service.get("spec") or {}
        if spec.get("type") == "ExternalName":
            return [Record(name, "CNAME", f"{spec['externalName'].rstrip('.')}.")]
        addresses: Iterable[str] = _cluster_ips(found.service)
        if not addresses:
            addresses = dict.fromkeys(e.address for e in _endpoints(found))
        if kind == "SRV":
            ports = {p for _, p in self._all_ports(found)}
            return [
                r for port in sorted(ports) for r in self._ports(name, kind, found, *port) or ()
            ]
        return [Record(name, kind, a) for a in addresses if _kind(a) == kind]

    def _of_endpoint(self, name: str, kind: str, found: _Service, host: str) -> list[Record] | None:
        addresses = dict.fromkeys(e.address for e in _endpoints(found) if _host(e) == host)
        if not addresses:
            return None
        return [Record(name, kind, a) for a in addresses if _kind(a) == kind]

    def _ports(
        self, name: str, kind: str, found: _Service, port: str, protocol: str
    ) -> list[Record] | None:
        base = self._base(
            (found.service["metadata"]["namespace"], found.service["metadata"]["name"])
        )
        records = []
        for (target, number), (port_name, port_protocol) in self._all_ports(found):
            if (port_name, port_protocol) == (port, protocol):
                where = f"{target}.{base}" if target else base
                records.append(Record(name, "SRV", f"0 100 {number} {where}."))
        if not records:
            return None
        return list(dict.fromkeys(records)) if kind == "SRV" else []

    def _all_ports(self, found: _Service) -> list[tuple[tuple[str, int], tuple[str, str]]]:
        """((host or "", number), (port name, protocol in lower case)) of each named port."""
        if _cluster_ips(found.service):
            ports = (found.service.get("spec") or {}).get("ports") or ()
            return [
                (("", port["port"]), (port["name"], port.get("protocol", "TCP").lower()))
                for port in ports
                if port.get("name")
            ]
        return [
            ((_host(e), number), (port, protocol.lower()))
            for e in _endpoints(found)
            for port, protocol, number in e.ports
            if port
        ]

    def _pod(self, name: str, kind: str, labels: list[str]) -> list[Record] | None:
        """`10-1-2-3.namespace.pod`: the address is in the name, so nothing has to be known."""
        if len(labels) == 1:
            return [] if labels[0] in self._namespaces else None
        if len(labels) != 2 or labels[1] not in self._namespaces:
            return None
        for spelled in (labels[0].replace("-", "."), labels[0].replace("-", ":")):
            try:
                address = str(ipaddress.ip_address(spelled))
            except ValueError:
                continue
            return [Record(name, kind, address)] if _kind(address) == kind else []
        return None


def _cluster_ips(service: Mapping[str, Any]) -> list[str]:
    spec = service.get("spec") or {}
    ips = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return [ip for ip in ips if ip and ip != "None"]


def _endpoints(found: _Service) -> list[Endpoint]:
    """The addresses that a headless service shows: ready, or all where it asks for that."""
    all_ = (found.service.get("spec") or {}).get("publishNotReadyAddresses")
    result = []
    for slice_ in found.slices.values():
        ports = tuple(
            (p.get("name") or "", p.get("protocol") or "TCP", p["port"])
            for p in slice_.get("ports") or ()
            if p.get("port")
        )
        for endpoint in slice_.get("endpoints") or ():
            ready = (endpoint.get("conditions") or {}).get("ready")
            if ready is False and not all_:
                continue
            for address in endpoint["addresses"]:
                result.append(Endpoint(address, endpoint.get("hostname") or "", ports))
    return result


def _host(endpoint: Endpoint) -> str:
    """The endpoint's label: its host name, or its address spelled with dashes."""
    return endpoint.hostname or endpoint.address.replace(".", "-").replace(":", "-")


def _kind(address: str) -> str:
    return "AAAA" if ":" in address else "A"

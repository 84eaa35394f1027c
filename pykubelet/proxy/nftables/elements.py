"""Service ports as elements of the shared maps and sets, and as chains that they need. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pykubelet.proxy.model import Endpoint, Frontend, Refusal, ServicePort
from pykubelet.proxy.nftables.chains import Learn, Pick, Shared
from pykubelet.proxy.nftables.keys import key, key_of_protocol, of

#: (map or set, key) → value; "" in a set.
Elements = dict[tuple[str, str], str]

_VERDICTS = {Refusal.REJECT: "goto reject-it", Refusal.DROP: "drop"}


@dataclass(slots=True)
class Contribution:
    """What some service ports add to the table. `shared` are (set, key) that other services may add
    as well: they are counted by the one who programs them."""

    elements: Elements = field(default_factory=dict)
    shared: set[tuple[str, str]] = field(default_factory=set)
    chains: set[Shared] = field(default_factory=set)


def contribution(ports: Iterable[ServicePort]) -> Contribution:
    found = Contribution()
    for port in ports:
        _internal(found, port)
        for frontend in port.externals():
            if port.external_local:
                _under_local_policy(found, port, frontend)
            else:
                _external(found, port, frontend)
        for frontend in port.firewalled:
            keyed, text = of(frontend), key(frontend)
            found.elements[keyed.name("firewalled"), text] = ""
            for network in port.source_ranges:
                found.elements[keyed.name("allowed"), f"{text} . {network}"] = ""
        found.shared.add((f"cluster-ips{port.family}", port.cluster_ip))
        for endpoint in port.reachable():
            # Only a pod of this node can reach itself through this node.
            if endpoint.here:
                pair = f"{endpoint.ip} . {endpoint.ip}"
                found.shared.add((f"hairpin{port.family}", pair))
    return found


def _internal(found: Contribution, port: ServicePort) -> None:
    frontend = port.internal
    _refuse(found, frontend, port.internal_refusal)
    _lead(found, port, frontend, "services", "off-cluster", port.internal_endpoints)


def _external(found: Contribution, port: ServicePort, frontend: Frontend) -> None:
    _refuse(found, frontend, port.external_refusal)
    _lead(found, port, frontend, "services", "all", port.endpoints)


def _under_local_policy(found: Contribution, port: ServicePort, frontend: Frontend) -> None:
    _refuse(found, frontend, port.external_refusal)
    if not (port.endpoints or port.local):
        return
    keyed = of(frontend)
    verdict = f"goto {keyed.name('local-policy')}"
    found.elements[keyed.name("services"), key(frontend)] = verdict
    _lead(found, port, frontend, "inside", "none", port.endpoints)
    _lead(found, port, frontend, "outside", "none", port.local, "local")


def _refuse(found: Contribution, frontend: Frontend, refusal: Refusal) -> None:
    if refusal is not Refusal.NONE:
        found.elements[of(frontend).name("refused"), key(frontend)] = _VERDICTS[refusal]


def _lead(
    found: Contribution,
    port: ServicePort,
    frontend: Frontend,
    map_: str,
    who: str,
    endpoints: tuple[Endpoint, ...],
    slots: str = "endpoints",
) -> None:
    """Packets of `map_` go to one of the endpoints."""
    if not endpoints:
        return
    keyed, text = of(frontend), key(frontend)
    pick = Pick(keyed, port.protocol, who, len(endpoints), bool(port.affinity_seconds), slots)
    found.chains.add(pick)
    found.elements[keyed.name(map_), text] = f"goto {pick.name}"
    name, prefix = keyed.endpoints(slots, port.protocol), key_of_protocol(frontend)
    for slot, endpoint in enumerate(endpoints):
        found.elements[name, f"{prefix} . {slot}"] = f"{endpoint.ip} . {endpoint.port}"
    if port.affinity_seconds:
        learn = Learn(keyed, port.protocol, port.affinity_seconds)
        found.chains.add(learn)
        found.elements[keyed.name("learning"), text] = f"goto {learn.name}"


@dataclass(slots=True)
class Difference:
    """Elements to take out, by map or set, and to put in (as nft writes them)."""

    out: dict[str, list[str]] = field(default_factory=dict)
    in_: dict[str, list[str]] = field(default_factory=dict)

    def take(self, name: str, text: str) -> None:
        self.out.setdefault(name, []).append(text)

    def put(self, name: str, text: str, value: str) -> None:
        self.in_.setdefault(name, []).append(f"{text} : {value}" if value else text)

    def __bool__(self) -> bool:
        return bool(self.out or self.in_)

    def lines(self, table: str) -> Iterator[str]:
        for verb, those in (("delete", self.out), ("add", self.in_)):
            for name, elements in those.items():
                yield f"{verb} element inet {table} {name} {{ {', '.join(elements)} }}\n"


def difference(old: Elements, new: Elements) -> Difference:
    found = Difference()
    for (name, text), value in old.items():
        if new.get((name, text)) != value:
            found.take(name, text)
    for (name, text), value in new.items():
        if old.get((name, text)) != value:
            found.put(name, text, value)
    return found

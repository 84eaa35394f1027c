"""The part of the table that does not depend on any service: maps, sets, hooks. Pure.

A packet's way, with the maps that decide it:

  prerouting, output   raw      `firewalled`, `allowed`: who may use a load balancer's address
                       nat      `services`, `node-services` → a shared chain → `endpoints` → DNAT
  input, forward, output        `refused`: no endpoint; `cluster-ips`: no such port → reject
  postrouting, input   filter   `learning` → `affinity`: remember where the client was led
  postrouting          nat      marked, or `hairpin`: → masquerade
"""

from __future__ import annotations

from collections.abc import Iterator

from pykubelet.proxy.model import Settings, family_of
from pykubelet.proxy.nftables.chains import MASQUERADE, ours
from pykubelet.proxy.nftables.keys import (
    ALL,
    FAMILIES,
    PROTOCOLS,
    REMEMBERED,
    SLOTS,
    TABLE,
    VERDICTS,
    Keyed,
)

#: Clients remembered at most, in each family and for each kind of frontend.
AFFINITY_SIZE = 262144
_LOOPBACK = {4: "127.0.0.0/8", 6: "::1"}


def frame(settings: Settings, tail: str = "") -> str:
    """The table, with `tail` (shared chains) in it."""
    body = "".join(block for part in (_maps(), _sets(), _chains(settings)) for block in part)
    return f"table inet {TABLE} {{\n{body}{tail}}}\n"


def _maps() -> Iterator[str]:
    for keyed in ALL:
        for what in VERDICTS:
            yield _block("map", keyed.name(what), [f"type {keyed.type} : verdict"])
        for protocol in PROTOCOLS:
            key = keyed.of_protocol(protocol)
            target = f"{keyed.ip} daddr . {protocol} dport"
            for what in SLOTS:
                # A slot has no type that could be named, only that of the expression.
                slot = f"typeof {key} . numgen random mod 2 : {target}"
                yield _block("map", keyed.endpoints(what, protocol), [slot])
            values = (f"{keyed.ip} daddr", f"{protocol} dport")
            for what, value in zip(REMEMBERED, values, strict=True):
                client = f"typeof {keyed.client_sample(protocol)} : {value}"
                lines = [client, f"size {AFFINITY_SIZE}", "flags dynamic,timeout"]
                yield _block("map", keyed.endpoints(what, protocol), lines)


def _sets() -> Iterator[str]:
    for family in FAMILIES:
        keyed = Keyed(family, node=False)
        address = keyed.address_type
        yield _block("set", keyed.name("firewalled"), [f"type {keyed.type}"])
        lines = [f"type {keyed.type} . {address}", "flags interval"]
        yield _block("set", keyed.name("allowed"), lines)
        yield _block("set", keyed.name("hairpin"), [f"type {address} . {address}"])
        yield _block("set", keyed.name("cluster-ips"), [f"type {address}"])


def _chains(settings: Settings) -> Iterator[str]:
    mark = f"{settings.mark:#x}"
    node_port = {f: _node_port(settings, f) for f in FAMILIES}
    plain = [Keyed(family, node=False) for family in FAMILIES]
    node = [Keyed(family, node=True) for family in FAMILIES]

    yield _block("chain", "mark-for-masquerade", [f"meta mark set meta mark | {mark}"])
    yield _block("chain", "reject-it", ["reject"])
    for keyed in ALL:
        yield _block("chain", keyed.name("local-policy"), list(_local_policy(keyed, settings)))

    found = [f"{k.expression} vmap @{k.name('services')}" for k in plain]
    found += [
        f"{node_port[k.family]} {k.expression} vmap @{k.name('services')}"
        for k in node
        if node_port[k.family]
    ]
    yield _block("chain", "translate", found)
    yield _hook("prerouting-nat", "nat", "prerouting", "dstnat", ["jump translate"])
    yield _hook("output-nat", "nat", "output", "-100", ["jump translate"])

    found = [
        f"{k.expression} @{k.name('firewalled')} "
        f"{k.expression} . {k.ip} saddr != @{k.name('allowed')} drop"
        for k in plain
    ]
    yield _block("chain", "firewall", found)
    for hook in ("prerouting", "output"):
        yield _hook(f"{hook}-firewall", "filter", hook, "-110", ["ct state new jump firewall"])

    found = [f"{k.expression} vmap @{k.name('refused')}" for k in plain]
    found += [
        f"{node_port[k.family]} {k.expression} vmap @{k.name('refused')}"
        for k in node
        if node_port[k.family]
    ]
    found += [f"{k.ip} daddr @{k.name('cluster-ips')} goto reject-it" for k in plain]
    yield _block("chain", "refuse", found)
    for hook in ("input", "forward", "output"):
        yield _hook(f"{hook}-refuse", "filter", hook, "filter", ["ct state new jump refuse"])

    for protocol in PROTOCOLS:
        found = [
            f"meta nfproto ipv{k.family} meta l4proto {protocol} "
            f"{k.original} vmap @{k.name('learning')}"
            for k in ALL
        ]
        yield _block("chain", f"learn-{protocol}", found)
    found = [f"meta l4proto {protocol} goto learn-{protocol}" for protocol in PROTOCOLS]
    yield _block("chain", "learn", found)
    for hook in ("input", "postrouting"):
        lines = ["ct state new ct status dnat jump learn"]
        yield _hook(f"{hook}-learn", "filter", hook, "90", lines)

    found = [f"meta mark set meta mark ^ {mark}", "masquerade fully-random"]
    yield _block("chain", "masquerading", found)
    found = [f"meta mark & {mark} == {mark} goto masquerading"]
    found += [
        f"ct status dnat {k.ip} saddr . {k.ip} daddr @{k.name('hairpin')} masquerade fully-random"
        for k in plain
    ]
    yield _hook("postrouting-nat", "nat", "postrouting", "srcnat", found)


def _local_policy(keyed: Keyed, settings: Settings) -> Iterator[str]:
    """The Local policy is about traffic from outside. The node's own pods are led to any endpoint,
    and the node itself too, masqueraded, since its source may be the balancer's address."""
    inside = f"{keyed.expression} vmap @{keyed.name('inside')}"
    pods = ours(settings.local_traffic, keyed.family)
    if pods:
        yield f"{pods} {inside}"
    yield f"fib saddr type local {MASQUERADE}"
    yield f"fib saddr type local {inside}"
    yield f"{keyed.expression} vmap @{keyed.name('outside')}"


def _node_port(settings: Settings, family: int) -> str:
    """Matches packets to an address that node ports are open at; "" where there is none."""
    ip = "ip" if family == 4 else "ip6"
    match = f"{ip} daddr != {_LOOPBACK[family]} fib daddr type local"
    if not settings.node_port_networks:
        return match
    networks = [n for n in settings.node_port_networks if family_of(n) == family]
    return f"{ip} daddr {{ {', '.join(networks)} }} {match}" if networks else ""


def _block(kind: str, name: str, lines: list[str]) -> str:
    return f"  {kind} {name} {{\n" + "".join(f"    {line}\n" for line in lines) + "  }\n"


def _hook(name: str, type_: str, hook: str, priority: str, rules: list[str]) -> str:
    head = f"type {type_} hook {hook} priority {priority}; policy accept;"
    return _block("chain", name, [head, *rules])

"""Host ports as packet rules: the text of a table that is ours alone, from the leases. Pure.

The whole table is written anew at each change and swapped in by one transaction, so that it always
says exactly what the leases say: no rule is looked for, appended or left behind. `filters` carries
it to the kernel, as one nftables table or as chains for iptables.

A connection is translated where its destination is an address of this node. Its source stays as it
is, except where the answer would not come back this way: from a pod on the same bridge (the pod
itself included), or from this node's loopback. Those are marked on their way in, with the same
packet mark bit as CNI's portmap plugin, and masqueraded on their way out. A pod that talks to
127.0.0.0/8 of the node through its gateway is dropped: `route_localnet`, which lets local programs
reach a pod by localhost:port, would open that door (CVE-2020-8558).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pykubelet.network.leases import Lease, PortMapping

TABLE = "pykubelet-hostports"
CHAIN = "PYKUBELET-HOSTPORTS"
MASQUERADE_CHAIN = "PYKUBELET-HOSTPORTS-MASQ"
GUARD_CHAIN = "PYKUBELET-LOCALNET"
MARK = "0x2000"


@dataclass(frozen=True)
class Target:
    """One mapping of one family. `host_ip` "": every address of the node."""

    version: int
    host_ip: str
    protocol: str
    host_port: int
    ip: str
    port: int
    bridge: str


def conflict(ports: Iterable[PortMapping], others: Iterable[Lease]) -> str:
    """Why `ports` can't be given beside those of `others`; "" where they can."""
    for port in ports:
        for lease in others:
            for taken in lease.ports:
                same = (port.host_port, port.protocol) == (taken.host_port, taken.protocol)
                if same and _overlap(port.host_ip, taken.host_ip):
                    where = f"{taken.host_ip or '*'}:{taken.host_port}/{taken.protocol}"
                    return f"host port {where} is held by container {lease.container}"
    return ""


def _overlap(one: str, other: str) -> bool:
    if not one or not other:
        return True
    a, b = ipaddress.ip_address(one), ipaddress.ip_address(other)
    return a.version == b.version and (a == b or a.is_unspecified or b.is_unspecified)


def targets(leases: Iterable[Lease]) -> list[Target]:
    """Sorted, so that equal leases give equal text. Of two that claim one key the older wins."""
    found: dict[tuple[int, str, str, int], Target] = {}
    for lease in sorted(leases, key=lambda lease: (lease.created, lease.key)):
        for port in lease.ports:
            for address in lease.ips:
                bound = ipaddress.ip_address(port.host_ip) if port.host_ip else None
                if bound is not None and bound.version != address.version:
                    continue
                host_ip = "" if bound is None or bound.is_unspecified else str(bound)
                key = (address.version, host_ip, port.protocol, port.host_port)
                found.setdefault(
                    key, Target(*key, str(address.ip), port.container_port, lease.bridge)
                )
    return [found[key] for key in sorted(found)]


# -- nftables -----------------------------------------------------------------------------------


def nft(leases: Iterable[Lease]) -> str:
    """A whole transaction for `nft -f -`. With no mapping it only takes the table away."""
    wanted = targets(leases)
    clear = f"add table inet {TABLE}\ndelete table inet {TABLE}\n"
    if not wanted:
        return clear
    maps = "".join(
        block
        for version in (4, 6)
        for bound in (True, False)
        for block in _maps([t for t in wanted if _is(t, version, bound)], version, bound)
    )
    translate = "".join(
        f"    {line}\n"
        for version in (4, 6)
        for bound in (True, False)
        if any(_is(t, version, bound) for t in wanted)
        for line in _translations(version, bound)
    )
    bridges = ", ".join(f'"{b}"' for b in sorted({t.bridge for t in wanted}))
    return f"""{clear}table inet {TABLE} {{
  set bridges {{
    type ifname
    elements = {{ {bridges} }}
  }}
{maps}  chain translate {{
{translate}  }}
  chain prerouting {{
    type nat hook prerouting priority dstnat - 5; policy accept;
    fib daddr type local meta l4proto {{ tcp, udp, sctp }} jump translate
  }}
  chain output {{
    type nat hook output priority -105; policy accept;
    fib daddr type local meta l4proto {{ tcp, udp, sctp }} jump translate
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat - 5; policy accept;
    meta mark & {MARK} == {MARK} ct status dnat jump masquerading
  }}
  chain masquerading {{
    meta mark set meta mark ^ {MARK}
    masquerade fully-random
  }}
  chain guard {{
    type filter hook prerouting priority raw; policy accept;
    iifname @bridges ip daddr 127.0.0.0/8 drop
  }}
}}
"""


def _is(target: Target, version: int, bound: bool) -> bool:
    return target.version == version and bool(target.host_ip) == bound


def _maps(wanted: list[Target], version: int, bound: bool) -> Iterator[str]:
    if not wanted:
        return
    name = f"{'bound' if bound else 'any'}{version}"
    key = f"ipv{version}_addr . inet_proto . inet_service" if bound else "inet_proto . inet_service"
    keys = [
        f"{t.host_ip} . {t.protocol} . {t.host_port}" if bound else f"{t.protocol} . {t.host_port}"
        for t in wanted
    ]
    values = [f"{k} : {t.ip} . {t.port}" for k, t in zip(keys, wanted, strict=True)]
    # The kernel can't ask a map whether a key is in it, so the keys stand in a set as well.
    yield f"  set {name}_keys {{\n    type {key}\n    elements = {{ {', '.join(keys)} }}\n  }}\n"
    yield f"  map {name} {{\n    type {key} : ipv{version}_addr . inet_service\n"
    yield f"    elements = {{ {', '.join(values)} }}\n  }}\n"


def _translations(version: int, bound: bool) -> Iterator[str]:
    family = "ip" if version == 4 else "ip6"
    name = f"{'bound' if bound else 'any'}{version}"
    key = "meta l4proto . th dport"
    match = f"meta nfproto ipv{version} {key} @{name}_keys"
    if bound:
        key = f"{family} daddr . {key}"
        match = f"{key} @{name}_keys"
    marking = f"meta mark set meta mark | {MARK}"
    yield f"iifname @bridges {match} {marking}"
    if version == 4:
        yield f"ip saddr 127.0.0.0/8 {match} {marking}"
    yield f"dnat {family} to {key} map @{name}"


# -- iptables -----------------------------------------------------------------------------------

# Where our chains are entered from: (table, built-in chain, match and target).
JUMPS = (
    ("nat", "PREROUTING", f"-m addrtype --dst-type LOCAL -j {CHAIN}"),
    ("nat", "OUTPUT", f"-m addrtype --dst-type LOCAL -j {CHAIN}"),
    ("nat", "POSTROUTING", f"-m mark --mark {MARK}/{MARK} -j {MASQUERADE_CHAIN}"),
    ("raw", "PREROUTING", f"-d 127.0.0.0/8 -j {GUARD_CHAIN}"),
)
JUMPS6 = JUMPS[:3]
CHAINS = {"nat": (CHAIN, MASQUERADE_CHAIN), "raw": (GUARD_CHAIN,)}
CHAINS6 = {"nat": CHAINS["nat"]}


def iptables(leases: Iterable[Lease], version: int) -> dict[str, list[str]]:
    """The content of our chains by table, as `-A` lines; {} where nothing is mapped."""
    wanted = [t for t in targets(leases) if t.version == version]
    if not wanted:
        return {}
    nat = [line for t in sorted(wanted, key=lambda t: not t.host_ip) for line in _dnat(t)]
    nat.append(f"-A {MASQUERADE_CHAIN} -j MARK --set-xmark 0x0/{MARK}")
    nat.append(f"-A {MASQUERADE_CHAIN} -j MASQUERADE --random-fully")
    if version == 6:
        return {"nat": nat}
    guard = [f"-A {GUARD_CHAIN} -i {b} -j DROP" for b in sorted({t.bridge for t in wanted})]
    return {"nat": nat, "raw": guard}


def _dnat(target: Target) -> Iterator[str]:
    match = f"-p {target.protocol} -m {target.protocol} --dport {target.host_port}"
    if target.host_ip:
        match = f"-d {target.host_ip} {match}"
    mark = f"-j MARK --set-xmark {MARK}/{MARK}"
    yield f"-A {CHAIN} -i {target.bridge} {match} {mark}"
    if target.version == 4:
        yield f"-A {CHAIN} -s 127.0.0.0/8 {match} {mark}"
    ip = target.ip if target.version == 4 else f"[{target.ip}]"
    yield f"-A {CHAIN} {match} -j DNAT --to-destination {ip}:{target.port}"

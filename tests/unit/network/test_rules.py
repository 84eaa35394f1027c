"""The text of our packet rules, from leases and networks."""

from __future__ import annotations

import itertools
import random
from ipaddress import ip_network

from pykubelet.network import masquerade, portmap
from pykubelet.network.leases import Lease, PortMapping
from pykubelet.network.masquerade import Masquerade

_ages = itertools.count()


def lease(name: str, *ports: PortMapping, ips: tuple[str, ...] = ("10.0.0.2/24",)) -> Lease:
    return Lease(
        "pods", name, "eth0", "/x", "pk0", "br0", ips, ("10.0.0.1",), ports, float(next(_ages))
    )


WEB = PortMapping(80, 8080)
DNS = PortMapping(53, 5353, "udp", "192.0.2.1")


def test_a_port_of_every_address_and_one_of_a_single_address_stand_in_their_own_maps() -> None:
    text = portmap.nft([lease("a", WEB, DNS)])
    assert "tcp . 80 : 10.0.0.2 . 8080" in text
    assert "192.0.2.1 . udp . 53 : 10.0.0.2 . 5353" in text
    assert text.index("map @bound4") < text.index("map @any4"), "the exact one is asked first"


def test_the_table_is_swapped_whole_so_that_nothing_can_pile_up() -> None:
    text = portmap.nft([lease("a", WEB)])
    assert text.startswith(
        "add table inet pykubelet-hostports\ndelete table inet pykubelet-hostports\n"
    )


def test_equal_leases_give_equal_text_in_whatever_order() -> None:
    leases = [lease(f"c{n}", PortMapping(8000 + n, 80)) for n in range(20)]
    shuffled = random.Random(1).sample(leases, len(leases))
    assert portmap.nft(leases) == portmap.nft(shuffled)


def test_without_mappings_the_table_goes() -> None:
    assert "chain" not in portmap.nft([lease("a")])
    assert portmap.iptables([lease("a")], 4) == {}


def test_a_host_address_of_one_family_maps_only_that_family() -> None:
    dual = lease("a", DNS, WEB, ips=("10.0.0.2/24", "fd00::2/64"))
    found = [(t.version, t.host_port) for t in portmap.targets([dual])]
    assert sorted(found) == [(4, 53), (4, 80), (6, 80)]


def test_an_unspecified_host_address_means_every_address_of_its_family() -> None:
    dual = lease("a", PortMapping(80, 80, "tcp", "::"), ips=("10.0.0.2/24", "fd00::2/64"))
    assert [(t.version, t.host_ip) for t in portmap.targets([dual])] == [(6, "")]


def test_iptables_says_the_same_as_nftables() -> None:
    rules = portmap.iptables([lease("a", WEB, DNS)], 4)
    text = "\n".join(rules["nat"])
    assert "-p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.2:8080" in text
    assert "-d 192.0.2.1 -p udp -m udp --dport 53 -j DNAT --to-destination 10.0.0.2:5353" in text
    assert text.index("192.0.2.1") < text.index("--dport 80"), "the exact one is asked first"
    assert rules["raw"] == ["-A PYKUBELET-LOCALNET -i br0 -j DROP"]


def test_ipv6_targets_are_bracketed_for_iptables() -> None:
    rules = portmap.iptables([lease("a", WEB, ips=("fd00::2/64",))], 6)
    assert any("[fd00::2]:8080" in line for line in rules["nat"])
    assert "raw" not in rules


def test_two_claims_on_one_host_port_are_named() -> None:
    holder = lease("holder", WEB)
    assert "holder" in portmap.conflict([PortMapping(80, 1)], [holder])
    assert "holder" in portmap.conflict([PortMapping(80, 1, "tcp", "192.0.2.1")], [holder])


def test_ports_that_only_look_alike_may_stand_side_by_side() -> None:
    holder = lease("holder", PortMapping(80, 1, "tcp", "192.0.2.1"))
    assert not portmap.conflict([PortMapping(80, 1, "udp")], [holder])
    assert not portmap.conflict([PortMapping(80, 1, "tcp", "192.0.2.2")], [holder])
    assert not portmap.conflict([PortMapping(80, 1, "tcp", "fd00::1")], [holder])


PODS = Masquerade(
    (ip_network("10.244.1.0/24"), ip_network("fd00:1::/64")),
    (ip_network("10.244.0.0/16"), ip_network("10.96.0.0/12")),
)


def test_masquerading_spares_pods_services_and_multicast() -> None:
    text = masquerade.nft([PODS])
    line = next(line for line in text.splitlines() if "10.244.1.0/24" in line)
    assert "ip daddr != { 10.96.0.0/12, 10.244.0.0/16, 224.0.0.0/4 }" in line
    assert "ip6 saddr { fd00:1::/64 }" in text


def test_masquerading_by_iptables_returns_before_it_hides() -> None:
    lines = masquerade.iptables([PODS], 4)["nat"]
    assert lines[-1].endswith("-s 10.244.1.0/24 -j MASQUERADE --random-fully")
    assert all(line.endswith("-j RETURN") for line in lines[:-1])
    assert masquerade.iptables([], 4) == {}
    assert "chain" not in masquerade.nft([])

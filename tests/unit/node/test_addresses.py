"""Which address the node calls its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pykubelet.kubelet.node import addresses
from pykubelet.kubelet.node.addresses import Interface, choose


@dataclass
class World:
    """Routes by destination ("default" for anywhere) and interfaces."""

    routes: Mapping[str, str] = field(default_factory=dict)
    links: Sequence[Interface] = ()

    def towards(self, destination: str) -> str | None:
        family = "default6" if ":" in destination else "default"
        return self.routes.get(destination, self.routes.get(family))

    def interfaces(self) -> Sequence[Interface]:
        return self.links


NAT = Interface("eth0", ("10.0.2.15",))
PRIVATE = Interface("eth1", ("192.168.56.11",))


def test_in_vagrant_the_route_to_the_server_tells_not_the_default_route() -> None:
    """Complaint 8: in Vagrant every VM's default route is 10.0.2.15."""
    world = World({"default": "10.0.2.15", "192.168.56.10": "192.168.56.11"}, [NAT, PRIVATE])
    assert choose(world, server="192.168.56.10") == ("192.168.56.11",)
    assert choose(world) == ("10.0.2.15",)


def test_what_the_user_says_is_what_counts() -> None:
    world = World({"default": "10.0.2.15"}, [NAT])
    assert choose(world, node_ips=["192.168.56.11"]) == ("192.168.56.11",)
    assert choose(world, node_ips=["192.168.56.11", "fd00::1"]) == ("192.168.56.11", "fd00::1")


def test_an_unspecified_address_only_picks_the_family() -> None:
    world = World({"default": "10.0.2.15", "default6": "fd00::15"}, [NAT])
    assert choose(world, node_ips=["::"]) == ("fd00::15",)
    assert choose(world, node_ips=["0.0.0.0"]) == ("10.0.2.15",)


def test_without_any_route_a_real_interface_is_taken_before_those_made_here() -> None:
    """Complaint 22: no default route, no start. Here no route is needed."""
    world = World(
        {}, [Interface("cni0", ("10.88.0.1",)), Interface("eth0", ("fe80::1", "10.1.1.1"))]
    )
    assert choose(world) == ("10.1.1.1",)
    assert choose(World({}, [Interface("cni0", ("10.88.0.1",))])) == ("10.88.0.1",)


def test_a_node_with_no_address_at_all_has_only_its_name() -> None:
    assert choose(World({}, [Interface("lo", ("127.0.0.1",))])) == ()
    assert addresses.node_addresses((), "one") == [{"type": "Hostname", "address": "one"}]


def test_ipv6_alone_is_enough() -> None:
    assert choose(World({"default6": "fd00::15"})) == ("fd00::15",)


def test_a_host_named_by_an_address_has_that_address() -> None:
    assert choose(World({"default": "10.0.2.15"}), hostname="10.9.9.9") == ("10.9.9.9",)
    assert addresses.node_addresses(["10.9.9.9"], "10.9.9.9")[0]["type"] == "InternalIP"

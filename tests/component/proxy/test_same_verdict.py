"""For any services and slices both backends give every packet the same verdict: who answers, what
address is seen there, refusal or silence. Found out by sending the packets.

One difference is meant, and no such packet is sent: a port that no service has, of an address that
one has, is refused by nftables, which can do that at no cost, and goes its way with iptables, as it
does upstream.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.component.proxy.conftest import Services
from tests.support.service_net import REFUSED, SILENT, Answer, Pod, ServiceNet
from tests.support.services import Json, endpoint, port, service, slice_

pytestmark = pytest.mark.root

#: Times that a packet is sent before its set of answers counts as known: of two endpoints one is
#: missed once in 2^ENOUGH.
ENOUGH = 22
GOING = {"ready": False, "serving": True, "terminating": True}
CONDITIONS = ({}, {"ready": False}, GOING)

Packet = tuple[str, str, int, bool]
World = tuple[list[Json], list[tuple[str, int, bool]]]


@pytest.fixture(scope="module")
def pods(net: ServiceNet) -> tuple[Pod, ...]:
    return net.pod(8080), net.pod(8080), net.pod(8080, far=True)


@st.composite
def services_of(draw: st.DrawFn) -> list[Json]:
    """Up to three services, as (Service, which endpoints in which condition) in one."""
    made = []
    for number in range(draw(st.integers(1, 3))):
        udp = draw(st.booleans())
        spec: Json = {"sessionAffinity": "None"}
        node_port = draw(st.sampled_from([0, 30080 + number]))
        balancer = draw(st.sampled_from([[], [f"172.16.1.{number}"]]))
        if node_port:
            spec["type"] = "NodePort"
        if balancer:
            spec["type"] = "LoadBalancer"
            spec["loadBalancerSourceRanges"] = draw(
                st.sampled_from([[], ["192.168.50.0/24"], ["10.244.0.0/16", "192.168.60.0/24"]])
            )
        spec["externalIPs"] = draw(st.sampled_from([[], [f"172.16.2.{number}"], ["172.16.2.9"]]))
        for policy in ("internalTrafficPolicy", "externalTrafficPolicy"):
            spec[policy] = draw(st.sampled_from(["Cluster", "Cluster", "Local"]))
        chosen = draw(st.sets(st.integers(0, 2), max_size=2))
        made.append(
            {
                "name": f"s{number}",
                "udp": udp,
                "node_port": node_port,
                "balancer": balancer,
                "spec": spec,
                "endpoints": [(n, draw(st.sampled_from(CONDITIONS))) for n in sorted(chosen)],
            }
        )
    return made


def world(drawn: list[Json], pods: tuple[Pod, ...]) -> World:
    """Objects for the proxy, and addresses to send to."""
    objects, targets = [], []
    for number, one in enumerate(drawn):
        protocol = "UDP" if one["udp"] else "TCP"
        cluster_ip = f"10.96.0.{10 + number}"
        ports = [port(80, protocol, node_port=one["node_port"])]
        objects.append(
            service(one["name"], cluster_ip, ports=ports, balancer=one["balancer"], **one["spec"])
        )
        those = [
            endpoint(pods[n].ip, "far" if pods[n].far else "node", **conditions)
            for n, conditions in one["endpoints"]
        ]
        objects.append(slice_(one["name"], *those, ports=[port(8080, protocol)]))
        for ip in (cluster_ip, *one["balancer"], *one["spec"]["externalIPs"]):
            targets.append((ip, 80, one["udp"]))
        if one["node_port"]:
            targets.append(("192.168.50.1", one["node_port"], one["udp"]))
    return objects, sorted(set(targets))


def verdict(net: ServiceNet, packet: Packet) -> frozenset[Answer]:
    client, address, number, udp = packet
    found: set[Answer] = set()
    for _ in range(ENOUGH):
        answer = net.ask(client, address, number, udp=udp, timeout=2.0)
        found.add(answer)
        if answer.by in (REFUSED, SILENT) or len(found) == 2:
            break
    return frozenset(found)


def verdicts(net: ServiceNet, packets: list[Packet]) -> dict[Packet, frozenset[Answer]]:
    """Side by side, since silence takes its time."""
    with ThreadPoolExecutor(24) as threads:
        return dict(zip(packets, threads.map(lambda p: verdict(net, p), packets), strict=True))


def test_both_backends_give_every_packet_the_same_verdict(
    net: ServiceNet, pods: tuple[Pod, ...]
) -> None:
    clients = (pods[0].namespace, net.node, net.client, net.far)

    @settings(
        max_examples=8,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate],  # to shrink an example takes minutes
    )
    @given(services_of())
    def check(drawn: list[Json]) -> None:
        objects, targets = world(drawn, pods)
        packets = [(client, *target) for client, target in product(clients, targets)]
        found = {}
        for backend in ("nftables", "iptables"):
            services = Services(net, backend)
            try:
                services.apply(*objects)
                found[backend] = verdicts(net, packets)
            finally:
                services.close()
        nft, ipt = found["nftables"], found["iptables"]
        different = {p: (nft[p], ipt[p]) for p in packets if nft[p] != ipt[p]}
        assert not different

    check()

"""Traffic of every kind, measured where it arrives."""

from __future__ import annotations

import pytest

from tests.component.proxy.conftest import Make, Services
from tests.support.service_net import REFUSED, SILENT, Pod, ServiceNet
from tests.support.services import endpoint, port, service, slice_

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def pods(net: ServiceNet) -> tuple[Pod, Pod, Pod]:
    """Two on this node, one on the other."""
    return net.pod(8080, 8081), net.pod(8080, 8081), net.pod(8080, 8081, far=True)


Pods = tuple[Pod, Pod, Pod]


def of(pod: Pod, **conditions: bool) -> dict[str, object]:
    return endpoint(pod.ip, "far" if pod.far else "node", **conditions)


def of6(pod: Pod) -> dict[str, object]:
    return endpoint(pod.ip6, "far" if pod.far else "node")


@pytest.mark.parametrize("udp", [False, True], ids=["tcp", "udp"])
def test_a_cluster_ip_is_spread_over_all_endpoints(
    net: ServiceNet, services: Services, pods: Pods, udp: bool
) -> None:
    services.apply(
        service("web", "10.96.0.10", ports=[port(80, "UDP" if udp else "TCP")]),
        slice_("web", *map(of, pods), ports=[port(8080, "UDP" if udp else "TCP")]),
    )
    for client in (pods[0].namespace, net.node, net.client):
        seen = net.spread(90, client, "10.96.0.10", 80, udp=udp)
        assert set(seen) == {pod.name for pod in pods}, client
        assert min(seen.values()) >= 10, seen  # 30 expected; 10 or fewer once in 100,000 runs


def test_a_pod_is_seen_by_its_own_address_and_others_by_the_nodes(
    net: ServiceNet, services: Services, pods: Pods
) -> None:
    near, other, far = pods
    services.apply(service("web", "10.96.0.10"), slice_("web", of(far)))
    assert net.ask(near.namespace, "10.96.0.10", 80).saw == near.ip
    assert net.ask(net.client, "10.96.0.10", 80).saw == "192.168.60.1"
    services.apply(slice_("web", of(other)))
    assert net.ask(near.namespace, "10.96.0.10", 80).saw == near.ip


def test_masquerade_all_hides_pods_too(net: ServiceNet, make: Make, pods: Pods) -> None:
    from pykubelet.proxy.config.configuration import IptablesSettings, ModeSettings

    services = make(
        nftables=ModeSettings(masquerade_all=True), iptables=IptablesSettings(masquerade_all=True)
    )
    services.apply(service("web", "10.96.0.10"), slice_("web", of(pods[2])))
    assert net.ask(pods[0].namespace, "10.96.0.10", 80).saw == "192.168.60.1"


def test_a_pod_reaches_itself_through_its_service(
    net: ServiceNet, services: Services, pods: Pods
) -> None:
    services.apply(service("web", "10.96.0.10"), slice_("web", of(pods[0])))
    answer = net.ask(pods[0].namespace, "10.96.0.10", 80)
    assert (answer.by, answer.saw) == (pods[0].name, "10.244.0.1")
    services.apply(service("six", "fd00:96::10"), slice_("six", of6(pods[0]), family="IPv6"))
    answer = net.ask(pods[0].namespace, "fd00:96::10", 80)
    assert (answer.by, answer.saw) == (pods[0].name, "fd00:244::1")


def test_a_dual_stack_service_answers_in_both_families(
    net: ServiceNet, services: Services, pods: Pods
) -> None:
    services.apply(
        service("web", "10.96.0.10", "fd00:96::10", ports=[port(80, node_port=30080)],
                type="NodePort"),
        slice_("web", *map(of, pods)),
        slice_("web", *map(of6, pods), family="IPv6"),
    )  # fmt: skip
    everyone = {pod.name for pod in pods}
    for address, number in (("10.96.0.10", 80), ("fd00:96::10", 80), ("fd00:50::1", 30080)):
        assert set(net.spread(60, net.client, address, number)) == everyone, address
    assert net.ask(pods[0].namespace, "fd00:96::10", 80).saw in (pods[0].ip6, "fd00:244::1")


def test_named_ports_lead_to_the_ports_of_that_name(
    net: ServiceNet, services: Services, pods: Pods
) -> None:
    services.apply(
        service("web", "10.96.0.10", ports=[port(80, name="http"), port(81, name="admin")]),
        slice_("web", of(pods[0]), ports=[port(8080, name="http")]),
        slice_("web", of(pods[1]), ports=[port(8081, name="admin")], name="more"),
    )
    assert net.ask(net.client, "10.96.0.10", 80).by == pods[0].name
    assert net.ask(net.client, "10.96.0.10", 81).by == pods[1].name


def test_a_node_port_answers_at_the_nodes_addresses_and_not_on_localhost(
    net: ServiceNet, services: Services, pods: Pods
) -> None:
    services.apply(
        service("web", "10.96.0.10", ports=[port(80, node_port=30080)], type="NodePort"),
        slice_("web", of(pods[0]), of(pods[2])),
    )
    everyone = {pods[0].name, pods[2].name}
    assert set(net.spread(40, net.client, "192.168.50.1", 30080)) == everyone
    assert set(net.spread(40, pods[1].namespace, "10.244.0.1", 30080)) == everyone
    assert set(net.spread(40, net.node, "192.168.60.1", 30080)) == everyone
    assert net.ask(net.node, "127.0.0.1", 30080).by == REFUSED
    seen = {net.ask(net.client, "192.168.50.1", 30080).saw for _ in range(20)}
    assert seen == {"10.244.0.1", "192.168.60.1"}


def test_node_ports_can_be_kept_to_some_addresses(net: ServiceNet, make: Make, pods: Pods) -> None:
    services = make(node_port_addresses=("192.168.50.0/24",))
    services.apply(
        service("web", "10.96.0.10", ports=[port(80, node_port=30080)], type="NodePort"),
        slice_("web", of(pods[0])),
    )
    assert net.ask(net.client, "192.168.50.1", 30080).by == pods[0].name
    assert net.ask(net.client, "192.168.60.1", 30080).by == REFUSED
    services = make(node_port_addresses=("primary",))
    services.apply(
        service("web", "10.96.0.10", ports=[port(80, node_port=30080)], type="NodePort"),
        slice_("web", of(pods[0])),
    )
    assert net.ask(net.client, "192.168.50.1", 30080).by == pods[0].name
    assert net.ask(pods[1].namespace, "10.244.0.1", 30080).by == REFUSED


def test_external_and_balancer_addresses_lead_to_endpoints(
    net: ServiceNet, services: Services, pods: Pods
) -> None:
    services.apply(
        service("web", "10.96.0.10", externalIPs=["172.16.0.1"], balancer=["172.16.0.2"]),
        slice_("web", *map(of, pods)),
    )
    for address in ("172.16.0.1", "172.16.0.2"):
        for client in (net.client, pods[0].namespace, net.node):
            assert set(net.spread(60, client, address, 80)) == {p.name for p in pods}


def test_source_ranges_keep_others_from_the_balancers_address(
    net: ServiceNet, services: Services, pods: Pods
) -> None:
    services.apply(
        service("web", "10.96.0.10", ports=[port(80, node_port=30080)], balancer=["172.16.0.2"],
                loadBalancerSourceRanges=["192.168.50.0/24", " 203.0.113.0/24 "]),
        slice_("web", of(pods[0])),
    )  # fmt: skip
    assert net.ask(net.client, "172.16.0.2", 80).by == pods[0].name
    assert net.ask(net.far, "172.16.0.2", 80).by == SILENT
    assert net.ask(pods[1].namespace, "172.16.0.2", 80).by == SILENT
    assert net.ask(net.node, "172.16.0.2", 80).by == pods[0].name
    assert net.ask(net.far, "192.168.60.1", 30080).by == pods[0].name
    services.apply(
        service("web", "10.96.0.10", ports=[port(80, node_port=30080)], balancer=["172.16.0.2"],
                loadBalancerSourceRanges=["192.168.60.0/24"])
    )  # fmt: skip
    assert net.ask(net.client, "172.16.0.2", 80).by == SILENT
    assert net.ask(net.far, "172.16.0.2", 80).by == pods[0].name
    services.apply(service("web", "10.96.0.10", balancer=["172.16.0.2"]))
    assert net.ask(pods[1].namespace, "172.16.0.2", 80).by == pods[0].name


def test_a_service_without_endpoints_refuses_until_it_has_one(
    net: ServiceNet, services: Services, pods: Pods
) -> None:
    services.apply(
        service("web", "10.96.0.10", ports=[port(80, node_port=30080)], type="NodePort",
                externalIPs=["172.16.0.1"]),
        slice_("web"),
    )  # fmt: skip
    asked = (("10.96.0.10", 80), ("172.16.0.1", 80), ("192.168.50.1", 30080))
    for client in (net.client, pods[0].namespace, net.node):
        for address, number in asked:
            assert net.ask(client, address, number).by == REFUSED, (client, address)
    services.apply(slice_("web", of(pods[0])))
    for client in (net.client, pods[1].namespace, net.node):
        for address, number in asked:
            assert net.ask(client, address, number).by == pods[0].name, (client, address)
    services.apply(slice_("web"))
    assert net.ask(net.client, "10.96.0.10", 80).by == REFUSED


def test_a_client_stays_with_its_endpoint_if_asked_for(
    net: ServiceNet, services: Services, pods: Pods
) -> None:
    services.apply(
        service("web", "10.96.0.10", "fd00:96::10", sessionAffinity="ClientIP", type="NodePort",
                ports=[port(80, node_port=30080)]),
        slice_("web", *map(of, pods)),
        slice_("web", *map(of6, pods), family="IPv6"),
    )  # fmt: skip
    for address, number in (("10.96.0.10", 80), ("192.168.50.1", 30080), ("fd00:96::10", 80)):
        for client in (net.client, net.node):
            assert len(net.spread(12, client, address, number)) == 1, (address, client)
    chosen = net.ask(net.client, "10.96.0.10", 80).by
    left = [pod for pod in pods if pod.name != chosen]
    services.apply(slice_("web", *map(of, left)))
    moved = net.spread(12, net.client, "10.96.0.10", 80)
    assert len(moved) == 1
    assert set(moved) <= {pod.name for pod in left}
    # Its old endpoint is back, and it stays where it is.
    services.apply(slice_("web", *map(of, pods)))
    assert net.spread(12, net.client, "10.96.0.10", 80) == moved


def test_affinity_is_forgotten_after_its_time(
    net: ServiceNet, services: Services, pods: Pods
) -> None:
    from tests.support.waiting import until

    services.apply(
        service("web", "10.96.0.10", sessionAffinity="ClientIP",
                sessionAffinityConfig={"clientIP": {"timeoutSeconds": 1}}),
        slice_("web", *map(of, pods)),
    )  # fmt: skip
    first = net.ask(net.client, "10.96.0.10", 80).by
    until(lambda: net.ask(net.client, "10.96.0.10", 80).by != first, "another", 30, interval=2.1)


def test_the_internal_local_policy_stays_on_the_node(
    net: ServiceNet, services: Services, pods: Pods
) -> None:
    spec = {"internalTrafficPolicy": "Local"}
    services.apply(service("web", "10.96.0.10", **spec), slice_("web", *map(of, pods)))
    assert set(net.spread(40, net.node, "10.96.0.10", 80)) == {pods[0].name, pods[1].name}
    services.apply(slice_("web", of(pods[2])))
    assert net.ask(pods[0].namespace, "10.96.0.10", 80).by == SILENT


def test_the_external_local_policy_keeps_the_clients_address(
    net: ServiceNet, services: Services, pods: Pods
) -> None:
    near, other, far = pods
    services.apply(
        service("web", "10.96.0.10", ports=[port(80, node_port=30080)], balancer=["172.16.0.2"],
                externalTrafficPolicy="Local"),
        slice_("web", of(near), of(far)),
    )  # fmt: skip
    for address, number in (("172.16.0.2", 80), ("192.168.50.1", 30080)):
        answers = {net.ask(net.client, address, number) for _ in range(12)}
        assert {(a.by, a.saw) for a in answers} == {(near.name, "192.168.50.2")}
        # The node and its pods may go anywhere; pods as themselves.
        answers = {net.ask(other.namespace, address, number) for _ in range(40)}
        assert {(a.by, a.saw) for a in answers} == {(near.name, other.ip), (far.name, other.ip)}
        assert set(net.spread(40, net.node, address, number)) == {near.name, far.name}
    services.apply(slice_("web", of(far)))
    assert net.ask(net.client, "172.16.0.2", 80).by == SILENT
    assert net.ask(net.client, "192.168.50.1", 30080).by == SILENT
    assert net.ask(other.namespace, "172.16.0.2", 80).by == far.name
    services.apply(slice_("web"))
    assert net.ask(net.client, "172.16.0.2", 80).by == REFUSED


def test_terminating_endpoints_serve_when_no_other_is_left(
    net: ServiceNet, services: Services, pods: Pods
) -> None:
    going = {"ready": False, "serving": True, "terminating": True}
    services.apply(service("web", "10.96.0.10"), slice_("web", of(pods[0], **going), of(pods[1])))
    assert set(net.spread(20, net.client, "10.96.0.10", 80)) == {pods[1].name}
    services.apply(slice_("web", of(pods[0], **going)))
    assert net.ask(net.client, "10.96.0.10", 80).by == pods[0].name
    services.apply(slice_("web", of(pods[0], **{**going, "serving": False})))
    assert net.ask(net.client, "10.96.0.10", 80).by == REFUSED


def test_services_that_are_gone_leave_nothing_behind(
    net: ServiceNet, services: Services, pods: Pods
) -> None:
    services.apply(service("one", "10.96.0.10"), slice_("one", of(pods[0])))
    services.apply(service("two", "10.96.0.11"), slice_("two", of(pods[0])))
    services.drop("one")
    assert net.ask(net.client, "10.96.0.10", 80).by != pods[0].name
    assert net.ask(net.client, "10.96.0.11", 80).by == pods[0].name
    assert not services.damage()


def test_no_request_is_lost_while_endpoints_are_replaced(
    net: ServiceNet, services: Services, pods: Pods
) -> None:
    """A rolling update: one by one, endpoints end (they still serve) and others come. At an address
    of its own: the kernel may take a new connection for an old one of another test, if it has the
    same port."""
    import threading

    services.apply(service("web", "10.96.0.77"), slice_("web", of(pods[0]), of(pods[1])))
    lost: list[str] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answer = net.ask(net.client, "10.96.0.77", 80, timeout=2)
            if not answer.saw:
                lost.append(answer.by)

    clients = [threading.Thread(target=ask) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        for _ in range(5):
            for those in ((0, 1), (1, 2), (2, 0), (0,), (2,), (0, 1, 2)):
                services.apply(slice_("web", *(of(pods[n]) for n in those)))
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert not lost

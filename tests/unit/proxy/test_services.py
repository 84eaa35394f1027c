"""What a Service and its slices come to on a node, by values."""

from __future__ import annotations

from typing import Any

import pytest

from pykubelet.proxy.model import Frontend, NodeFacts, Refusal, ServicePort
from pykubelet.proxy.services import NOTHING, decide, service_of
from tests.support.services import endpoint, port, service, slice_

NODE = NodeFacts("node", zone="a", addresses=("192.168.50.1",))
GOING = {"ready": False, "serving": True, "terminating": True}


def ports(*slices: dict[str, Any], **spec: Any) -> tuple[ServicePort, ...]:
    return decide(service("web", "10.96.0.1", **spec), slices, NODE).ports


def one(*slices: dict[str, Any], **spec: Any) -> ServicePort:
    (found,) = ports(*slices, **spec)
    return found


def ips(port_: ServicePort) -> list[str]:
    return [e.ip for e in port_.endpoints]


def local_ips(port_: ServicePort) -> list[str]:
    return [e.ip for e in port_.local]


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "ExternalName"},
        {"clusterIP": "None", "clusterIPs": ["None"]},
        {"clusterIP": "", "clusterIPs": []},
        {"labels": {"service.kubernetes.io/service-proxy-name": "another"}},
        {"labels": {"service.kubernetes.io/headless": ""}},
    ],
)
def test_services_that_are_not_ours_come_to_nothing(spec: dict[str, Any]) -> None:
    assert decide(service("web", "10.96.0.1", **spec), [], NODE) == NOTHING
    assert decide(None, [], NODE) == NOTHING


def test_slices_of_other_proxies_are_not_ours() -> None:
    slice_of = slice_("web")
    assert service_of(slice_of) == "ns/web"
    slice_of["metadata"]["labels"]["service.kubernetes.io/service-proxy-name"] = "another"
    assert service_of(slice_of) == ""
    assert service_of({"metadata": {"namespace": "ns"}}) == ""


def test_endpoints_of_several_slices_are_one_list_and_each_stands_once() -> None:
    found = one(
        slice_("web", endpoint("10.0.0.2", "node"), endpoint("10.0.0.1", "far")),
        slice_("web", endpoint("10.0.0.3"), endpoint("10.0.0.2", "far"), name="more"),
    )
    assert [(e.ip, e.port, e.here) for e in found.endpoints] == [
        ("10.0.0.1", 8080, False),
        ("10.0.0.2", 8080, True),
        ("10.0.0.3", 8080, True),  # nobody says where: it may be here
    ]


def test_a_condition_left_out_counts_as_ready() -> None:
    found = one(slice_("web", {"addresses": ["10.0.0.1"]}, endpoint("10.0.0.2", ready=False)))
    assert ips(found) == ["10.0.0.1"]


def test_only_the_first_of_an_endpoints_addresses_is_taken() -> None:
    assert ips(one(slice_("web", {"addresses": ["10.0.0.1", "10.0.0.2"]}))) == ["10.0.0.1"]


def test_ports_meet_by_name_and_protocol() -> None:
    udp, tcp = ports(
        slice_("web", endpoint("10.0.0.1"), ports=[port(53, "UDP", "dns"), port(54, "TCP", "dns")]),
        slice_("web", endpoint("10.0.0.2"), ports=[port(80, "TCP", "web"), {"name": "dns"}],
               name="b"),
        ports=[port(53, "UDP", "dns"), port(53, "TCP", "dns")],
    )  # fmt: skip
    assert [(e.ip, e.port) for e in udp.endpoints] == [("10.0.0.1", 53)]
    assert [(e.ip, e.port) for e in tcp.endpoints] == [("10.0.0.1", 54)]
    assert udp.title == "ns/web:dns"


def test_a_dual_stack_service_has_a_port_in_each_family() -> None:
    four, six = decide(
        service("web", "10.96.0.1", "FD00:96::0001", externalIPs=["1.2.3.4", "2001:DB8::1"]),
        [
            slice_("web", endpoint("10.0.0.1")),
            slice_("web", endpoint("fd00::0:1"), family="IPv6"),
            slice_("web", {"addresses": ["host.example"]}, family="FQDN"),
        ],
        NODE,
    ).ports
    assert (ips(four), four.external_ips) == (["10.0.0.1"], ("1.2.3.4",))
    assert (six.cluster_ip, ips(six), six.external_ips) == (
        "fd00:96::1",
        ["fd00::1"],
        ("2001:db8::1",),
    )


def test_what_is_left_while_all_end_still_serves() -> None:
    ends, gone = endpoint("10.0.0.1", **GOING), endpoint("10.0.0.2", ready=False, terminating=True)
    assert ips(one(slice_("web", ends, gone, endpoint("10.0.0.3")))) == ["10.0.0.3"]
    assert ips(one(slice_("web", ends, gone))) == ["10.0.0.1", "10.0.0.2"]
    not_yet = endpoint("10.0.0.4", ready=False, serving=False, terminating=False)
    found = one(slice_("web", not_yet))
    assert (ips(found), found.internal_refusal) == ([], Refusal.REJECT)


class TestTopology:
    def test_the_zones_share_is_used_where_all_have_hints(self) -> None:
        mine, theirs = endpoint("10.0.0.1", zones=["a"]), endpoint("10.0.0.2", zones=["b"])
        assert ips(one(slice_("web", mine, theirs))) == ["10.0.0.1"]

    def test_hints_are_passed_over_where_one_is_missing_or_none_is_ours(self) -> None:
        mine, theirs = endpoint("10.0.0.1", zones=["a"]), endpoint("10.0.0.2", zones=["b"])
        plain = endpoint("10.0.0.3")
        assert len(ips(one(slice_("web", mine, theirs, plain)))) == 3
        assert ips(one(slice_("web", theirs))) == ["10.0.0.2"]

    def test_an_unready_endpoints_hints_do_not_count(self) -> None:
        mine = endpoint("10.0.0.1", zones=["a"], ready=False)
        assert ips(one(slice_("web", mine, endpoint("10.0.0.2", zones=["b"])))) == ["10.0.0.2"]

    def test_this_node_comes_before_this_zone(self) -> None:
        here, near = endpoint("10.0.0.1", zones=["a"]), endpoint("10.0.0.2", zones=["a"])
        here["hints"]["forNodes"] = [{"name": "node"}]
        near["hints"]["forNodes"] = [{"name": "far"}]
        assert ips(one(slice_("web", here, near))) == ["10.0.0.1"]

    def test_the_local_policy_knows_no_topology(self) -> None:
        theirs = endpoint("10.0.0.2", "node", zones=["b"])
        mine = endpoint("10.0.0.1", "far", zones=["a"])
        found = one(slice_("web", mine, theirs), internalTrafficPolicy="Local")
        assert local_ips(found) == ["10.0.0.2"]


class TestPolicies:
    def test_internal_local_drops_where_only_others_serve(self) -> None:
        found = one(slice_("web", endpoint("10.0.0.1", "far")), internalTrafficPolicy="Local")
        assert (found.internal_endpoints, found.internal_refusal) == ((), Refusal.DROP)

    def test_external_local_keeps_all_endpoints_for_traffic_from_inside(self) -> None:
        found = one(
            slice_("web", endpoint("10.0.0.1", "far"), endpoint("10.0.0.2", "node")),
            balancer=["1.2.3.4"], externalTrafficPolicy="Local",
        )  # fmt: skip
        assert ips(found) == ["10.0.0.1", "10.0.0.2"]
        assert found.external_endpoints == found.local
        assert local_ips(found) == ["10.0.0.2"]

    def test_external_local_means_nothing_to_what_has_no_external_address(self) -> None:
        found = one(slice_("web", endpoint("10.0.0.1", "far")), externalTrafficPolicy="Local")
        assert not found.external_local

    def test_local_endpoints_that_end_serve_before_those_of_other_nodes(self) -> None:
        found = one(
            slice_("web", endpoint("10.0.0.1", "far"), endpoint("10.0.0.2", "node", **GOING)),
            balancer=["1.2.3.4"], externalTrafficPolicy="Local",
        )  # fmt: skip
        assert (ips(found), local_ips(found)) == (["10.0.0.1"], ["10.0.0.2"])

    def test_the_health_port_counts_this_nodes_addresses(self) -> None:
        found = decide(
            service("web", "10.96.0.1", balancer=["1.2.3.4"], externalTrafficPolicy="Local",
                    healthCheckNodePort=32000, ports=[port(80, name="a"), port(81, name="b")]),
            [slice_("web", endpoint("10.0.0.1", "node"), endpoint("10.0.0.2", "far"),
                    ports=[port(1, name="a"), port(2, name="b")])],
            NODE,
        )  # fmt: skip
        assert found.health
        assert (found.health.port, found.health.local_endpoints) == (32000, 1)
        cluster = service("web", "10.96.0.1", balancer=["1.2.3.4"], healthCheckNodePort=32000)
        assert decide(cluster, [], NODE).health is None


class TestBalancers:
    def test_node_ports_and_addresses_need_their_type(self) -> None:
        with_port = [port(80, node_port=30080)]
        assert list(one(ports=with_port).externals()) == []
        assert list(one(ports=with_port, type="NodePort").externals()) == [
            Frontend(4, "", "tcp", 30080)
        ]

    def test_an_address_in_proxy_mode_is_the_balancers_own(self) -> None:
        web = service("web", "10.96.0.1", balancer=["1.2.3.4", "1.2.3.5"])
        web["status"]["loadBalancer"]["ingress"][0]["ipMode"] = "Proxy"
        (found,) = decide(web, [], NODE).ports
        assert found.balancer_ips == ("1.2.3.5",)

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ([], ()),
            (["0.0.0.0/0", "10.0.0.0/8"], ()),
            ([" 10.0.0.0/8", "10.1.0.0/16 "], ("10.0.0.0/8",)),
            (["fd00::/64"], ("0.0.0.0/32",)),
            (["192.168.50.0/24"], ("1.2.3.4/32", "192.168.50.0/24")),  # the node is in it
        ],
    )
    def test_source_ranges(self, given: list[str], expected: tuple[str, ...]) -> None:
        found = one(balancer=["1.2.3.4"], loadBalancerSourceRanges=given)
        assert found.source_ranges == expected

    def test_affinity_has_upstreams_default_time(self) -> None:
        assert one(sessionAffinity="ClientIP").affinity_seconds == 10800
        short = {"clientIP": {"timeoutSeconds": 10}}
        found = one(sessionAffinity="ClientIP", sessionAffinityConfig=short)
        assert found.affinity_seconds == 10

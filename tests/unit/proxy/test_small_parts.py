"""Configuration, wellness, metrics, stale flows and what nft says, each by values."""

from __future__ import annotations

import json

import pytest

from pykubelet.errors import Failed
from pykubelet.objects import documents
from pykubelet.proxy import nodes
from pykubelet.proxy.config import kinds
from pykubelet.proxy.config.configuration import Configuration
from pykubelet.proxy.config.loading import Rejected, load, read
from pykubelet.proxy.conntrack import Flow, watched
from pykubelet.proxy.health import Wellness
from pykubelet.proxy.metrics import Metrics
from pykubelet.proxy.model import Endpoint, LocalTraffic, NodeFacts, ServicePort
from pykubelet.proxy.nftables import affinity
from pykubelet.proxy.nftables.keys import Keyed
from pykubelet.proxy.plan import Change
from tests.support.services import node

HEAD = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n"


def config(text: str) -> Configuration:
    (document,) = documents.read(HEAD + text, "proxy.yaml")
    return read(document)


class TestConfiguration:
    def test_without_a_file_it_is_the_defaults(self) -> None:
        found = load()
        assert (found.mode, found.healthz, found.metrics) == (
            "",
            ("0.0.0.0", 10256),
            ("127.0.0.1", 10249),
        )
        with pytest.raises(Failed, match="/no/such: No such file"):
            load("/no/such")

    def test_upstreams_fields_are_read(self) -> None:
        found = config(
            "mode: NFTables\nclusterCIDR: 10.244.0.0/16, fd00:244::/56\n"
            'metricsBindAddress: ""\nhealthzBindAddress: "[::]:10256"\n'
            "nodePortAddresses: [primary]\nnftables: {masqueradeAll: true, syncPeriod: 1m30s}\n"
            "clientConnection: {kubeconfig: /etc/proxy.conf}\niptables: {masqueradeBit: null}\n"
        )
        assert (found.mode, found.metrics, found.healthz) == ("nftables", None, ("::", 10256))
        assert found.cluster_cidr == ("10.244.0.0/16", "fd00:244::/56")
        assert (found.nftables.masquerade_all, found.nftables.sync_period) == (True, 90.0)
        assert (found.kubeconfig, found.iptables.masquerade_bit) == ("/etc/proxy.conf", 14)
        assert not found.ignored

    def test_what_is_not_acted_on_is_said_and_upstreams_zero_values_are_not(self) -> None:
        found = config("oomScoreAdj: -999\nconntrack: {}\nipvs: {scheduler: rr}\nportRange: ''\n")
        assert [text.split(": ")[1] for text in found.ignored] == [
            "oomScoreAdj is not acted on",
            "ipvs is not acted on",
        ]

    def test_every_mistake_is_named_with_its_line(self) -> None:
        with pytest.raises(Rejected) as caught:
            config("mode: ipvs\nnftables:\n  masqueradeBits: 3\niptables: {masqueradeBit: 99}\n")
        first, second, third = map(str, caught.value.problems)
        assert "proxy.yaml:3: mode has a wrong value" in first
        assert "nftables or iptables" in first
        assert "proxy.yaml:5: unknown field nftables.masqueradeBits" in second
        assert "did you mean nftables.masqueradeBit?" in second
        assert "expected a whole number from 0 to 31" in third

    def test_a_mode_of_detection_needs_its_field(self) -> None:
        with pytest.raises(Rejected, match=r"needs detectLocal\.bridgeInterface"):
            config("detectLocalMode: BridgeInterface\n")

    @pytest.mark.parametrize("bad", ["5", "1.5", "1m3", "", 3, "-1s"])
    def test_durations_have_units(self, bad: object) -> None:
        with pytest.raises(kinds.Refused):
            kinds.duration(bad)


class TestNodes:
    def test_facts_are_what_the_rules_depend_on(self) -> None:
        found = nodes.facts(
            "n", node("n", "10.0.0.1", "fd00::0:1", zone="a", podCIDR="10.1.0.0/24")
        )
        assert found == NodeFacts("n", "a", ("10.0.0.1", "fd00::1"), ("10.1.0.0/24",))
        assert nodes.facts("n", None) == NodeFacts("n")

    def test_local_traffic_is_told_as_configured(self) -> None:
        facts = NodeFacts("n", pod_cidrs=("10.1.2.3/24",))
        mode = "detectLocalMode: "
        cases = {
            "clusterCIDR: 10.244.0.0/16\n": LocalTraffic(("10.244.0.0/16",)),
            f"{mode}NodeCIDR\n": LocalTraffic(("10.1.2.0/24",)),
            f"{mode}BridgeInterface\ndetectLocal: {{bridgeInterface: br0}}\n": LocalTraffic(
                interface="br0"
            ),
            f"{mode}InterfaceNamePrefix\ndetectLocal: {{interfaceNamePrefix: v}}\n": LocalTraffic(
                interface_prefix="v"
            ),
        }
        for text, expected in cases.items():
            assert nodes.settings(config(text), facts).local_traffic == expected

    def test_primary_is_the_first_address_of_each_family(self) -> None:
        primary = config("nodePortAddresses: [primary]\n")
        facts = NodeFacts("n", addresses=("10.0.0.1", "10.0.0.2", "fd00::1"))
        networks = nodes.settings(primary, facts).node_port_networks
        assert networks == ("10.0.0.1/32", "fd00::1/128")
        nowhere = nodes.settings(primary, NodeFacts("n")).node_port_networks
        assert nowhere == ("0.0.0.0/32", "::/128")

    def test_a_doomed_node_is_not_eligible(self) -> None:
        assert nodes.is_eligible(None)
        assert nodes.is_eligible(node("n"))
        taint = {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}
        assert not nodes.is_eligible(node("n", taints=[taint]))


class Hand:
    """A clock that stands still until it is moved."""

    now = 1000.0

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


class TestWellness:
    def test_it_is_well_until_a_change_waits_too_long(self) -> None:
        clock = Hand()
        wellness = Wellness(clock, patience=10)
        assert wellness.answer(asks_balancer=True).status == 200
        wellness.queued()
        clock.now += 9
        wellness.queued()
        assert wellness.is_well()
        clock.now += 2
        assert wellness.answer(asks_balancer=False).status == 503
        wellness.updated()
        answer = wellness.answer(asks_balancer=True)
        assert json.loads(answer.body) == {
            "lastUpdated": "1970-01-01T00:16:51.000000Z",
            "currentTime": "1970-01-01T00:16:51.000000Z",
            "nodeEligible": True,
        }

    def test_a_node_about_to_go_lives_but_takes_no_new_traffic(self) -> None:
        wellness = Wellness(Hand(), patience=10)
        wellness.eligible = False
        assert wellness.answer(asks_balancer=True).status == 503
        assert wellness.answer(asks_balancer=False).status == 200


def test_metrics_are_prometheus_text() -> None:
    metrics = Metrics()
    metrics.sync_seconds.observe(0.003)
    metrics.healthz.add(code="200")
    metrics.no_local_endpoints.set(2, traffic_policy="internal")
    lines = metrics.text().splitlines()
    assert "# TYPE kubeproxy_sync_proxy_rules_duration_seconds histogram" in lines
    assert 'kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="0.004"} 1' in lines
    assert 'kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="0.002"} 0' in lines
    assert "kubeproxy_sync_proxy_rules_duration_seconds_count 1" in lines
    assert 'kubeproxy_proxy_healthz_total{code="200"} 1' in lines
    expected = 'kubeproxy_sync_proxy_rules_no_local_endpoints_total{traffic_policy="internal"} 2'
    assert expected in lines


class TestStaleFlows:
    CLIENT = ("192.168.1.9", 5353)

    def port(self, *endpoints: str, protocol: str = "udp") -> ServicePort:
        return ServicePort(
            namespace="ns", name="dns", port_name="", created="", family=4, protocol=protocol,
            port=53, cluster_ip="10.96.0.10", node_port=30053,
            endpoints=tuple(Endpoint(ip, 53) for ip in endpoints), served=bool(endpoints),
        )  # fmt: skip

    def flow(self, destination: tuple[str, int], endpoint: tuple[str, int] | None) -> Flow:
        return Flow(self.CLIENT, destination, endpoint or destination, self.CLIENT)

    def test_a_flow_to_a_vanished_endpoint_is_stale_and_others_are_not(self) -> None:
        found = watched([Change("k", (self.port("1.1.1.1", "1.1.1.2"),), (self.port("1.1.1.2"),))])
        service, node_port = ("10.96.0.10", 53), ("192.168.1.1", 30053)
        for at in (service, node_port):
            assert found.is_stale(self.flow(at, ("1.1.1.1", 53)))
            assert not found.is_stale(self.flow(at, ("1.1.1.2", 53)))
        assert not found.is_stale(self.flow(("8.8.8.8", 53), ("1.1.1.1", 53)))

    def test_a_flow_that_was_led_nowhere_is_stale_when_the_first_endpoint_comes(self) -> None:
        found = watched([Change("k", (self.port(),), (self.port("1.1.1.1"),))])
        assert found.is_stale(self.flow(("10.96.0.10", 53), None))

    def test_a_removed_service_leaves_no_flow_that_was_led(self) -> None:
        found = watched([Change("k", (self.port("1.1.1.1"),), ())])
        assert found.is_stale(self.flow(("10.96.0.10", 53), ("1.1.1.1", 53)))
        assert not found.is_stale(self.flow(("192.168.1.1", 30053), None))

    def test_one_that_is_masqueraded_only_was_never_for_a_service(self) -> None:
        found = watched([Change("k", (self.port("1.1.1.1"),), ())])
        outward = Flow(self.CLIENT, ("9.9.9.9", 30053), ("9.9.9.9", 30053), ("192.168.1.1", 40000))
        assert not found.is_stale(outward)

    def test_tcp_and_additions_need_no_look(self) -> None:
        tcp = [Change("k", (self.port("1.1.1.1", protocol="tcp"),), ())]
        assert not watched(tcp).allowed
        more = [Change("k", (self.port("1.1.1.1"),), (self.port("1.1.1.1", "1.1.1.2"),))]
        assert not watched(more).allowed


def test_remembered_clients_are_read_from_two_maps() -> None:
    def map_(*elements: tuple[list[object], object]) -> dict[str, object]:
        elem = [
            [{"elem": {"val": {"concat": key}, "timeout": 10800, "expires": 60}}, value]
            for key, value in elements
        ]
        return {"nftables": [{"metainfo": {}}, {"map": {"elem": elem}}]}

    four, six = (Keyed(4, False), "tcp"), (Keyed(6, False), "tcp")
    key: list[object] = ["192.168.1.9", "10.96.0.1", 80]
    (found,) = affinity.joined(four, map_((key, "10.0.0.1")), map_((key, 8080)))
    assert (found.frontend, found.endpoint) == ("10.96.0.1 . 80", ("10.0.0.1", 8080))
    assert affinity.restoring([found]).splitlines() == [
        "add element inet pykubelet-proxy affinity-tcp4 "
        "{ 192.168.1.9 . 10.96.0.1 . 80 timeout 10800s expires 60s : 10.0.0.1 }",
        "add element inet pykubelet-proxy affinity-port-tcp4 "
        "{ 192.168.1.9 . 10.96.0.1 . 80 timeout 10800s expires 60s : 8080 }",
    ]
    hashed: list[object] = [1, 2, 3, 80]
    (found,) = affinity.joined(six, map_((hashed, "fd00::1")), map_((hashed, 8080)))
    assert found.frontend == ""
    assert list(affinity.joined(four, map_((key, "10.0.0.1")), map_())) == []

"""The cases of the Kubernetes DNS-based service discovery specification, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from pykubelet.dns.answers import answer
from pykubelet.dns.zone import Zone

Json = dict[str, Any]


def service(name: str, ip: str | None = "10.3.0.100", **spec: Any) -> Json:
    ports = [{"name": "https", "port": 443, "protocol": "TCP"}]
    return {
        "metadata": {"namespace": "default", "name": name},
        "spec": {"clusterIP": ip, "ports": ports, **spec},
    }


def slice_of(name: str, *endpoints: Json, number: int = 0, port: int = 8443) -> Json:
    return {
        "metadata": {
            "namespace": "default",
            "name": f"{name}-{number}",
            "labels": {"kubernetes.io/service-name": name},
        },
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


def endpoint(address: str, hostname: str = "", ready: bool = True) -> Json:
    found: Json = {"addresses": [address], "conditions": {"ready": ready}}
    return {**found, "hostname": hostname} if hostname else found


@pytest.fixture
def zone() -> Zone:
    zone = Zone("cluster.local")
    zone.put_service(service("kubernetes"))
    zone.put_service(service("dual", clusterIPs=["10.3.0.9", "fd00::9"]))
    zone.put_service(service("headless", "None"))
    zone.put_slice(
        slice_of("headless", endpoint("10.3.0.1", "my-pod"), endpoint("10.3.0.2"),
                 endpoint("10.3.0.3", "late", ready=False))
    )  # fmt: skip
    zone.put_service(service("outside", None, type="ExternalName", externalName="www.example.com"))
    return zone


def found(zone: Zone, name: str, kind: str = "A") -> list[str] | str:
    """The data of the answer, or the return code where there is none."""
    made = answer(zone, name, kind)
    assert made is not None
    return sorted(r.data for r in made.answer) or made.rcode


def test_a_service_has_its_cluster_address(zone: Zone) -> None:
    assert found(zone, "kubernetes.default.svc.cluster.local") == ["10.3.0.100"]


def test_a_dual_stack_service_has_an_address_of_each_family(zone: Zone) -> None:
    assert found(zone, "dual.default.svc.cluster.local") == ["10.3.0.9"]
    assert found(zone, "dual.default.svc.cluster.local", "AAAA") == ["fd00::9"]


def test_a_name_without_records_of_a_type_exists_all_the_same(zone: Zone) -> None:
    assert found(zone, "kubernetes.default.svc.cluster.local", "AAAA") == "NOERROR"
    assert found(zone, "default.svc.cluster.local") == "NOERROR"


@pytest.mark.parametrize(
    "name",
    ["nobody.default.svc.cluster.local", "x.nowhere.svc.cluster.local", "x.cluster.local",
     "nowhere.svc.cluster.local", "_https._udp.kubernetes.default.svc.cluster.local"],
)  # fmt: skip
def test_a_name_that_does_not_exist_says_so_with_the_zones_soa(zone: Zone, name: str) -> None:
    made = answer(zone, name, "A")
    assert made is not None
    assert made.rcode == "NXDOMAIN"
    assert [r.kind for r in made.authority] == ["SOA"]


def test_a_named_port_has_a_service_record(zone: Zone) -> None:
    name = "_https._tcp.kubernetes.default.svc.cluster.local"
    assert found(zone, name, "SRV") == ["0 100 443 kubernetes.default.svc.cluster.local."]


def test_a_service_record_brings_the_address_of_its_target(zone: Zone) -> None:
    made = answer(zone, "_https._tcp.kubernetes.default.svc.cluster.local", "SRV")
    assert made is not None
    assert [r.data for r in made.additional] == ["10.3.0.100"]


def test_a_headless_service_has_the_addresses_of_its_ready_endpoints(zone: Zone) -> None:
    assert found(zone, "headless.default.svc.cluster.local") == ["10.3.0.1", "10.3.0.2"]


def test_a_headless_service_that_publishes_all_has_those_not_ready_too(zone: Zone) -> None:
    zone.put_service(service("headless", "None", publishNotReadyAddresses=True))
    assert "10.3.0.3" in found(zone, "headless.default.svc.cluster.local")


def test_an_endpoint_with_a_host_name_has_a_name_of_its_own(zone: Zone) -> None:
    assert found(zone, "my-pod.headless.default.svc.cluster.local") == ["10.3.0.1"]
    assert found(zone, "other.headless.default.svc.cluster.local") == "NXDOMAIN"


def test_ports_of_a_headless_service_lead_to_each_endpoint(zone: Zone) -> None:
    assert found(zone, "_https._tcp.headless.default.svc.cluster.local", "SRV") == [
        "0 100 8443 10-3-0-2.headless.default.svc.cluster.local.",
        "0 100 8443 my-pod.headless.default.svc.cluster.local.",
    ]


def test_an_address_leads_back_to_its_service(zone: Zone) -> None:
    assert found(zone, "100.0.3.10.in-addr.arpa", "PTR") == [
        "kubernetes.default.svc.cluster.local."
    ]
    assert found(zone, "1.0.3.10.in-addr.arpa", "PTR") == [
        "my-pod.headless.default.svc.cluster.local."
    ]


def test_an_address_of_nobody_is_asked_for_elsewhere(zone: Zone) -> None:
    assert answer(zone, "4.3.2.1.in-addr.arpa", "PTR") is None
    assert answer(zone, "www.example.org", "A") is None


def test_an_external_name_is_an_alias_to_be_followed_outside(zone: Zone) -> None:
    made = answer(zone, "outside.default.svc.cluster.local", "A")
    assert made is not None
    assert [r.data for r in made.answer] == ["www.example.com."]
    assert made.follow == "www.example.com"


def test_an_external_name_inside_the_zone_is_followed_at_once(zone: Zone) -> None:
    inside = "kubernetes.default.svc.cluster.local"
    zone.put_service(service("alias", None, type="ExternalName", externalName=inside))
    assert found(zone, "alias.default.svc.cluster.local") == ["10.3.0.100", f"{inside}."]


def test_a_pods_address_is_a_name(zone: Zone) -> None:
    assert found(zone, "172-17-0-3.default.pod.cluster.local") == ["172.17.0.3"]
    assert found(zone, "nonsense.default.pod.cluster.local") == "NXDOMAIN"


def test_the_zone_tells_the_version_of_the_specification(zone: Zone) -> None:
    assert found(zone, "dns-version.cluster.local", "TXT") == ['"1.1.0"']


def test_a_slice_that_comes_before_its_service_counts_once_both_are_there() -> None:
    zone = Zone()
    zone.put_slice(slice_of("late", endpoint("10.1.1.1")))
    assert found(zone, "late.default.svc.cluster.local") == "NXDOMAIN"
    zone.put_service(service("late", "None"))
    assert found(zone, "late.default.svc.cluster.local") == ["10.1.1.1"]


def test_what_is_gone_leaves_nothing_behind(zone: Zone) -> None:
    for name in ("kubernetes", "dual", "headless", "outside"):
        zone.drop_service("default", name)
    assert found(zone, "default.svc.cluster.local") == "NXDOMAIN"
    assert answer(zone, "100.0.3.10.in-addr.arpa", "PTR") is None

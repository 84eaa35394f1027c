"""The network configuration: what is read, what is refused and with which code."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.network import install, spec
from pykubelet.network.config import NetworkConfig, read_config
from pykubelet.network.leases import PortMapping
from pykubelet.network.spec import CniError, Invocation

BASE = {
    "cniVersion": "1.0.0",
    "name": "pods",
    "type": "pykubelet",
    "ipam": {"ranges": [[{"subnet": "10.1.2.0/24"}]]},
}
ADD = Invocation("ADD", "c1", "/x", "eth0")


def read(call: Invocation = ADD, **fields: Any) -> NetworkConfig:
    return read_config({**BASE, **fields}, call)


def refusal(call: Invocation = ADD, **fields: Any) -> CniError:
    with pytest.raises(CniError) as caught:
        read(call, **fields)
    return caught.value


def test_little_needs_to_be_said() -> None:
    config = read()
    assert config.default_gateway
    assert config.hairpin
    assert config.masquerade
    assert config.bridge == "pykubelet0"


def test_the_shipped_configuration_is_one_that_we_read() -> None:
    conflist = json.loads((install.SOURCE / install.CONF_NAME).read_text())
    plugin = conflist["plugins"][0]
    read_config({**plugin, "name": conflist["name"], "cniVersion": conflist["cniVersion"]}, ADD)


def test_port_mappings_are_read_as_the_conventions_write_them_and_as_containerd_does() -> None:
    mappings = [
        {"hostPort": 80, "containerPort": 8080, "protocol": "TCP"},
        {"HostPort": 53, "ContainerPort": 53, "Protocol": "udp", "HostIP": "192.0.2.1"},
        {"hostPort": 0, "containerPort": 9090},
    ]
    assert read(runtimeConfig={"portMappings": mappings}).ports == (
        PortMapping(80, 8080),
        PortMapping(53, 53, "udp", "192.0.2.1"),
    )


def test_ranges_from_the_runtime_come_first() -> None:
    config = read(runtimeConfig={"ipRanges": [[{"Subnet": "10.7.0.0/24"}]]})
    assert [str(n) for n in config.subnets] == ["10.7.0.0/24", "10.1.2.0/24"]


def test_an_address_can_be_asked_for_in_three_ways() -> None:
    by_args = Invocation("ADD", "c1", "/x", "eth0", (("IP", "10.1.2.9"),))
    assert str(read(by_args).wanted[0]) == "10.1.2.9"
    assert str(read(runtimeConfig={"ips": ["10.1.2.9/24"]}).wanted[0]) == "10.1.2.9"
    assert str(read(args={"cni": {"ips": ["10.1.2.9"]}}).wanted[0]) == "10.1.2.9"


def test_bandwidth_is_refused_by_name_because_it_would_not_be_kept() -> None:
    error = refusal(runtimeConfig={"bandwidth": {"ingressRate": 1}})
    assert error.code == spec.UNSUPPORTED_FIELD
    assert "bandwidth" in error.details


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "../x"},
        {"bridge": "a-name-too-long-for-it"},
        {"mtu": -1},
        {"mtu": "1500"},
        {"ipMasq": "yes"},
        {"hairpinMode": True, "promiscMode": True},
        {"backend": "ebtables"},
        {"clusterCIDRs": ["nonsense"]},
        {"ipam": {}},
        {"ipam": {"ranges": [[{"subnet": "10.1.2.0/24"}]], "routes": [{"dst": "x"}]}},
        {"runtimeConfig": {"portMappings": [{"hostPort": 99999, "containerPort": 1}]}},
        {"runtimeConfig": {"portMappings": [{"hostPort": 1, "containerPort": 0}]}},
        {"runtimeConfig": {"portMappings": [{"hostPort": 1, "containerPort": 1, "protocol": "x"}]}},
        {"runtimeConfig": {"portMappings": [{"hostPort": 1, "containerPort": 1, "hostIP": "x"}]}},
        {"runtimeConfig": {"ips": ["x"]}},
    ],
)
def test_a_field_that_makes_no_sense_is_error_7(fields: dict[str, Any]) -> None:
    assert refusal(**fields).code == spec.INVALID_CONFIG


def test_a_teardown_asks_for_no_ranges() -> None:
    assert read(Invocation("DEL", "c1", "", "eth0"), ipam={}).range_sets == ()


def test_gc_reads_the_valid_attachments_under_both_names() -> None:
    listed = [{"containerID": "c1", "ifname": "eth0"}]
    call = Invocation("GC")
    for name in ("cni.dev/valid-attachments", "cni.dev/attachments"):
        config = read(call, cniVersion="1.1.0", **{name: listed})
        assert config.valid == {("c1", "eth0")}
    assert refusal(call, cniVersion="1.1.0").code == spec.INVALID_CONFIG


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def objects(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Some of these fields, each right in kind or anything at all."""
    return st.fixed_dictionaries({}, optional={k: v | json_values for k, v in fields.items()})


addresses = st.sampled_from(["10.1.2.0/24", "10.1.2.3", "fd00::/64", "fd00::1", "0.0.0.0/0", ""])
ranges = st.lists(
    st.lists(
        objects(subnet=addresses, rangeStart=addresses, rangeEnd=addresses, gateway=addresses),
        max_size=2,
    ),
    max_size=2,
)
routes = st.lists(objects(dst=addresses, gw=addresses, mtu=st.integers(), scope=st.integers()))
ports = st.lists(
    objects(hostPort=st.integers(1, 9), containerPort=st.integers(1, 9), hostIP=addresses),
    max_size=2,
)


@given(
    objects(
        name=st.just("x"),
        bridge=st.just("b"),
        mtu=st.integers(),
        ipam=objects(ranges=ranges, routes=routes, subnet=addresses),
        runtimeConfig=objects(portMappings=ports, ipRanges=ranges, ips=st.lists(addresses)),
        dns=json_values,
        args=objects(cni=objects(ips=st.lists(addresses))),
        clusterCIDRs=st.lists(addresses),
        backend=st.text(max_size=3),
    )
)
def test_whatever_is_written_is_read_or_refused_as_the_specification_says(
    fields: dict[str, Any],
) -> None:
    try:
        read(**fields)
    except CniError as error:
        code = error.code
    else:
        return
    assert code in (spec.INVALID_CONFIG, spec.UNSUPPORTED_FIELD)

"""ADD, DEL, CHECK, STATUS, GC and VERSION, called as a runtime calls them, in throw-away
namespaces."""

from __future__ import annotations

import concurrent.futures
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.network import Pod, Segment
from tests.support.waiting import until

pytestmark = pytest.mark.root


def addresses(pod: Pod, interface: str = "eth0") -> set[str]:
    listed = json.loads(pod.run("ip", "-j", "addr", "show", "dev", interface))
    return {
        f"{a['local']}/{a['prefixlen']}" for a in listed[0]["addr_info"] if a["scope"] == "global"
    }


@pytest.fixture(params=[True, False], ids=["resident", "alone"])
def either(request: pytest.FixtureRequest) -> Iterator[Segment]:
    """With the agent answering, and with the executable doing all of it by itself."""
    with Segment("10.99.0.0/24", "fd99::/64", resident=request.param) as segment:
        yield segment


def test_a_pod_gets_what_the_answer_says(either: Segment) -> None:
    pod = either.pod()
    answer = pod.add()
    assert answer["cniVersion"] == "1.0.0"
    assert [i["address"] for i in answer["ips"]] == ["10.99.0.2/24", "fd99::2/64"]
    assert [i["gateway"] for i in answer["ips"]] == ["10.99.0.1", "fd99::1"]
    assert [r["dst"] for r in answer["routes"]] == ["0.0.0.0/0", "::/0"]
    bridge, host, inside = answer["interfaces"]
    assert bridge["name"] == "pkbr0"
    assert inside["sandbox"] == pod.path
    assert addresses(pod) == {"10.99.0.2/24", "fd99::2/64"}
    link = json.loads(pod.run("ip", "-j", "link", "show", "dev", "eth0"))[0]
    assert link["address"] == inside["mac"]
    assert "default via 10.99.0.1" in pod.run("ip", "route")
    assert "default via fd99::1" in pod.run("ip", "-6", "route")
    assert host["name"] in either.links()
    pod.delete()
    assert host["name"] not in either.links()
    assert either.leases() == []


def test_pods_reach_each_other_and_the_node_in_both_families(segment: Segment) -> None:
    one, other = segment.pod(), segment.pod()
    one.add()
    other.add()
    server = other.start("python3", "-c", LISTEN.format(family="AF_INET6", host="::"))
    try:
        for host in ("10.99.0.3", "fd99::3"):
            until(lambda host=host: one.run("python3", "-c", CONNECT.format(host=host)), host)
            until(lambda host=host: segment.run("python3", "-c", CONNECT.format(host=host)), host)
    finally:
        server.kill()
        server.wait()


LISTEN = """
import socket
s = socket.create_server(("{host}", 7000), family=socket.{family}, dualstack_ipv6=True)
while True:
    c, a = s.accept()
    c.sendall(a[0].encode())
    c.close()
"""
CONNECT = """
import socket
print(socket.create_connection(("{host}", 7000), 1).recv(99).decode())
"""


def test_add_again_gives_the_same_addresses_and_a_working_link(either: Segment) -> None:
    pod = either.pod()
    first = pod.add()
    assert pod.add() == first
    assert addresses(pod) == {"10.99.0.2/24", "fd99::2/64"}
    assert len(either.leases()) == 1
    pod.delete()


def test_del_is_fine_for_what_was_never_added_and_when_the_namespace_is_gone(
    either: Segment,
) -> None:
    pod = either.pod()
    pod.delete()
    pod.add()
    pod.remove()
    pod.delete()
    pod.delete()
    assert either.leases() == []
    assert either.links() == {"lo", "pkbr0"}


def test_check_is_content_with_what_add_made(either: Segment) -> None:
    pod = either.pod()
    answer = pod.add()
    assert pod.call("CHECK", prevResult=answer) == (0, {})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda s, p, a: p.run("ip", "addr", "flush", "dev", "eth0"), "has lost 10.99.0.2/24"),
        (lambda s, p, a: p.run("ip", "link", "set", "eth0", "down"), "eth0 is down in the pod"),
        (lambda s, p, a: p.run("ip", "route", "del", "default"), "lost its route to 0.0.0.0/0"),
        (lambda s, p, a: p.run("ip", "link", "del", "eth0"), "eth0 is gone from the pod"),
        (
            lambda s, p, a: s.run(
                "ip", "link", "set", a["interfaces"][1]["name"], "nomaster"
            ),
            "is not on pkbr0",
        ),
        (lambda s, p, a: s.run("ip", "addr", "flush", "dev", "pkbr0"), "pkbr0 has lost"),
        (lambda s, p, a: s.run("nft", "flush", "ruleset"), "masquerading rules are gone"),
    ],
)  # fmt: skip
def test_check_says_what_is_no_longer_as_it_was(segment: Segment, damage: Any, said: str) -> None:
    pod = segment.pod()
    answer = pod.add()
    damage(segment, pod, answer)
    code, error = pod.call("CHECK", prevResult=answer)
    assert code == 1
    assert said in error["details"]


def test_a_flushed_bridge_and_flushed_rules_are_back_with_the_next_pod(segment: Segment) -> None:
    segment.pod().add()
    segment.run("nft", "flush", "ruleset")
    segment.run("ip", "addr", "flush", "dev", "pkbr0")
    pod = segment.pod()
    assert pod.call("CHECK", prevResult=pod.add()) == (0, {})


def test_without_a_free_address_add_says_so_but_the_node_stays_ready() -> None:
    with Segment("10.99.0.0/30", cniVersion="1.1.0") as segment:
        assert segment.call("STATUS") == (0, {})
        segment.pod().add()
        code, error = segment.pod().call("ADD")
        assert (code, error["code"], error["details"]) == (
            1,
            100,
            "no free address in 10.99.0.0/30",
        )
        assert segment.call("STATUS") == (0, {})


def test_status_says_when_no_pod_can_ever_be_added(segment: Segment) -> None:
    segment.run("ip", "link", "add", "pkbr0", "type", "veth", "peer", "name", "x")
    code, error = segment.call("STATUS", config={"cniVersion": "1.1.0"})
    assert (code, error["code"]) == (1, 50)
    assert "is no bridge" in error["details"]
    code, error = segment.pod().call("ADD")
    assert (code, error["code"]) == (1, 102)


def test_gc_takes_back_all_that_is_not_listed(either: Segment) -> None:
    kept, lost = either.pod(), either.pod()
    kept.add()
    lost.add()
    valid = [{"containerID": kept.name, "ifname": "eth0"}]
    listed = {"cniVersion": "1.1.0", "cni.dev/valid-attachments": valid}
    assert either.call("GC", config=listed) == (0, {})
    assert either.leases() == [f"pods:{kept.name}:eth0"]
    assert addresses(kept)


def test_version_needs_no_configuration_to_speak_of(either: Segment) -> None:
    code, answer = either.call("VERSION")
    assert code == 0
    assert answer["supportedVersions"][-1] == "1.1.0"


@pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_every_version_of_the_specification_is_spoken(segment: Segment, version: str) -> None:
    pod = segment.pod()
    answer = pod.add(cniVersion=version)
    assert answer["cniVersion"] == version
    assert ("version" in answer["ips"][0]) == version.startswith("0.")
    pod.delete(cniVersion=version)


@pytest.mark.parametrize(
    ("environment", "config", "code"),
    [
        ({}, {"cniVersion": "0.2.0"}, 1),
        ({}, {"runtimeConfig": {"bandwidth": {"ingressRate": 8}}}, 2),
        ({"CNI_NETNS": "/run/netns/nowhere"}, {}, 3),
        ({"CNI_IFNAME": ""}, {}, 4),
        ({}, {"name": "."}, 7),
        ({"CNI_NETNS": "/proc/self/ns/net"}, {}, 8),
    ],
)
def test_errors_have_the_specifications_codes(
    either: Segment, environment: dict[str, str], config: dict[str, Any], code: int
) -> None:
    pod = either.pod()
    exit_code, error = either.call("ADD", {**pod.environment(), **environment}, config)
    assert (exit_code, error["code"]) == (1, code), error
    assert error["msg"]
    assert either.leases() == []


def test_fifty_pods_at_once_get_fifty_addresses(segment: Segment) -> None:
    pods = [segment.pod() for _ in range(50)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda pod: pod.add(), pods))
    given = [ip["address"] for answer in answers for ip in answer["ips"]]
    assert len(set(given)) == 100
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda pod: pod.delete(), pods))
    assert segment.leases() == []
    assert segment.links() == {"lo", "pkbr0"}


def test_the_agent_and_the_lone_executable_never_give_one_address_twice(segment: Segment) -> None:
    """The socket goes away in the midst, as when the agent is stopped while pods start."""
    pods = [segment.pod() for _ in range(12)]
    hidden = segment.socket.with_suffix(".hidden")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(pod.add) for pod in pods[:6]]
        segment.socket.rename(hidden)
        answers += [pool.submit(pod.add) for pod in pods[6:]]
        given = [ip["address"] for answer in answers for ip in answer.result()["ips"]]
    hidden.rename(segment.socket)
    assert len(set(given)) == 24
    for pod in pods:
        pod.delete()
    assert segment.leases() == []


def test_an_agent_that_dies_half_way_is_stood_in_for(segment: Segment) -> None:
    segment.pod().add()
    segment.kill_server()
    assert segment.socket.exists(), "nobody was left to remove it"
    pod = segment.pod()
    pod.add()
    pod.delete()


def test_in_a_chain_the_result_of_the_plugin_before_is_kept(segment: Segment) -> None:
    before = {
        "cniVersion": "1.0.0",
        "interfaces": [{"name": "other0"}],
        "ips": [{"address": "192.0.2.9/24", "interface": 0}],
        "dns": {"nameservers": ["192.0.2.53"]},
    }
    answer = segment.pod().add(prevResult=before)
    assert [i["name"] for i in answer["interfaces"]][:2] == ["other0", "pkbr0"]
    assert [(i["address"], i["interface"]) for i in answer["ips"]] == [
        ("192.0.2.9/24", 0),
        ("10.99.0.2/24", 3),
        ("fd99::2/64", 3),
    ]
    assert answer["dns"] == {"nameservers": ["192.0.2.53"]}


def test_routes_mtu_dns_and_a_second_interface_are_as_configured(segment: Segment) -> None:
    pod = segment.pod()
    ipam = {
        "ranges": [[{"subnet": "10.99.0.0/24"}]],
        "routes": [{"dst": "198.51.100.0/24", "gw": "10.99.0.200", "mtu": 1300}, {"dst": "::/0"}],
    }
    dns = {"nameservers": ["192.0.2.53"], "search": ["test"]}
    answer = pod.add(ipam=ipam, mtu=1400, dns=dns, isDefaultGateway=False)
    assert answer["dns"] == dns
    assert answer["routes"] == [{"dst": "198.51.100.0/24", "gw": "10.99.0.200"}]
    routes = pod.run("ip", "route")
    assert "198.51.100.0/24 via 10.99.0.200 dev eth0 proto static mtu 1300" in routes
    assert "default" not in routes
    assert json.loads(pod.run("ip", "-j", "link", "show", "eth0"))[0]["mtu"] == 1400
    code, _ = segment.call("ADD", pod.environment("eth1"))
    assert code == 0
    assert addresses(pod, "eth1") == {"10.99.0.3/24", "fd99::2/64"}
    pod.delete()
    assert addresses(pod, "eth1"), "the other attachment stays"


def test_the_mtu_is_that_of_the_way_out(segment: Segment) -> None:
    segment.run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1")
    segment.run("ip", "link", "set", "up0", "mtu", "1440", "up")
    segment.run("ip", "link", "set", "up1", "up")
    segment.run("ip", "addr", "add", "192.0.2.1/24", "dev", "up0")
    segment.run("ip", "route", "add", "default", "via", "192.0.2.254")
    pod = segment.pod()
    pod.add()
    assert json.loads(pod.run("ip", "-j", "link", "show", "eth0"))[0]["mtu"] == 1440


def test_the_gateways_mac_stays_while_pods_come_and_go(segment: Segment) -> None:
    def mac() -> str:
        return json.loads(segment.run("ip", "-j", "link", "show", "pkbr0"))[0]["address"]

    first = segment.pod()
    first.add()
    before = mac()
    second = segment.pod()
    second.add()
    first.delete()
    assert mac() == before


def test_a_freed_address_rests_and_is_then_reachable_under_its_next_owner() -> None:
    with Segment("10.99.0.0/29", "fd99::/125") as segment:
        for _ in range(7):
            pod = segment.pod()
            answer = pod.add()
            ip = answer["ips"][1]["address"].partition("/")[0]
            server = pod.start("python3", "-c", LISTEN.format(family="AF_INET6", host="::"))
            until(lambda ip=ip: segment.run("python3", "-c", CONNECT.format(host=ip)), ip, 3)
            server.kill()
            server.wait()
            pod.delete()


def test_a_namespace_with_ipv6_off_still_gets_its_ipv6_address(segment: Segment) -> None:
    pod = segment.pod()
    pod.run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
    pod.add()
    assert "fd99::2/64" in addresses(pod)


@pytest.mark.parametrize("version", ["0.3.1", "1.0.0"])
def test_loopback_is_raised(either: Segment, version: str) -> None:
    pod = either.pod()
    config = {"cniVersion": version, "name": "cni-loopback", "type": "loopback"}
    code, answer = either.call("ADD", pod.environment("lo"), config, plugin="loopback")
    assert code == 0
    assert answer["cniVersion"] == version
    assert answer["ips"][0]["address"] == "127.0.0.1/8"
    assert "127.0.0.1/8" in pod.run("ip", "addr", "show", "lo")
    assert either.call("DEL", pod.environment("lo"), config, plugin="loopback") == (0, {})


def test_loopback_leaves_the_unusual_to_the_executable(segment: Segment) -> None:
    pod = segment.pod()
    config: dict[str, Any] = {"cniVersion": "0.4.0", "name": "cni-loopback", "type": "loopback"}
    environment = pod.environment("lo")
    code, error = segment.call("CHECK", environment, config, plugin="loopback")
    assert (code, error["code"]) == (1, 101)
    chained = {**config, "prevResult": {"cniVersion": "0.4.0", "ips": [], "dns": {"search": ["x"]}}}
    code, answer = segment.call("ADD", environment, chained, plugin="loopback")
    assert (code, answer) == (0, {"cniVersion": "0.4.0", "dns": {"search": ["x"]}})
    assert segment.call("CHECK", environment, config, plugin="loopback") == (0, {})
    nowhere = {**environment, "CNI_NETNS": "/run/netns/nowhere"}
    code, error = segment.call("ADD", nowhere, config, plugin="loopback")
    assert (code, error["code"]) == (1, 3)


def test_with_neither_agent_nor_its_python_the_error_is_still_one_that_runtimes_read(
    segment: Segment,
) -> None:
    segment.kill_server()
    (segment.home / "python").unlink()
    code, error = segment.pod().call("ADD")
    assert (code, error["code"], error["msg"]) == (1, 11, "pykubelet does not run")


def test_rubbish_on_the_socket_hurts_nobody(segment: Segment) -> None:
    for rubbish in (b"", b"\0", b"\0\0", b"x" * 100_000, b"CNI_COMMAND=ADD\0\0{", b"=\0=\0\0{}"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(segment.socket))
            client.sendall(rubbish)
            client.shutdown(socket.SHUT_WR)
            client.recv(4096)
    segment.pod().add()

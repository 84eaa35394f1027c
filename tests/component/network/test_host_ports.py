"""Host ports with real packets: from outside, from the node, from a pod, from the pod itself; by
nftables and by iptables, always inside throw-away namespaces."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.network import Pod, Segment, run
from tests.support.waiting import until

pytestmark = pytest.mark.root

TCP = """
import socket, sys
s = socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    c, a = s.accept()
    c.sendall((sys.argv[1] + " " + a[0].replace("::ffff:", "")).encode())
    c.close()
"""
UDP = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 53))
while True:
    d, a = s.recvfrom(99)
    s.sendto((sys.argv[1] + " " + a[0]).encode(), a)
"""
ASK_TCP = """
import socket, sys
print(socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).recv(99).decode())
"""
ASK_UDP = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(1)
s.bind(("0.0.0.0", int(sys.argv[3]) if len(sys.argv) > 3 else 0))
s.sendto(b"?", (sys.argv[1], int(sys.argv[2])))
print(s.recv(99).decode())
"""
WEB = {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}
NODE, NODE6, OUTSIDE = "192.0.2.1", "2001:db8::1", "192.0.2.2"


@pytest.fixture(params=["nftables", "iptables"])
def node(request: pytest.FixtureRequest) -> Iterator[Segment]:
    """A node with a neighbour outside of it, at OUTSIDE."""
    with Segment("10.99.0.0/24", "fd99::/64", backend=request.param) as segment:
        outside = segment.pod()
        segment.outside = outside  # type: ignore[attr-defined]
        segment.run(
            "ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1", "netns", outside.name
        )
        segment.run("ip", "addr", "add", f"{NODE}/24", "dev", "up0")
        segment.run("ip", "addr", "add", f"{NODE6}/64", "dev", "up0", "nodad")
        segment.run("ip", "link", "set", "up0", "up")
        outside.run("ip", "addr", "add", f"{OUTSIDE}/24", "dev", "up1")
        outside.run("ip", "addr", "add", "2001:db8::2/64", "dev", "up1", "nodad")
        outside.run("ip", "link", "set", "up1", "up")
        outside.run("ip", "link", "set", "lo", "up")
        yield segment


@contextmanager
def serving(pod: Pod, script: str = TCP, name: str = "pod") -> Iterator[None]:
    pod.run("ip", "link", "set", "lo", "up")
    process = pod.start("python3", "-c", script, name)
    port = ":80 " if script is TCP else ":53 "
    try:
        until(lambda: port in pod.run("ss", "-lnut"), "the server in the pod listens")
        yield
    finally:
        process.kill()
        process.wait()


def ask(where: Pod | Segment, host: str, port: int = 8080, script: str = ASK_TCP) -> str:
    return where.run("python3", "-c", script, host, str(port)).strip()


def refused(where: Pod | Segment, host: str, port: int = 8080) -> bool:
    try:
        ask(where, host, port)
    except AssertionError:
        return True
    return False


def add(pod: Pod, *mappings: dict[str, Any]) -> dict[str, Any]:
    return pod.add(runtimeConfig={"portMappings": list(mappings)})


def test_a_host_port_is_reached_from_everywhere(node: Segment) -> None:
    pod, other = node.pod(), node.pod()
    add(pod, WEB)
    other.add()
    outside: Pod = node.outside  # type: ignore[attr-defined]
    with serving(pod):
        assert ask(outside, NODE) == f"pod {OUTSIDE}", "the source is kept"
        assert ask(outside, NODE6) == "pod 2001:db8::2"
        assert ask(node, NODE).startswith("pod ")
        assert ask(node, NODE6).startswith("pod ")
        assert ask(node, "127.0.0.1").startswith("pod ")
        assert ask(other, NODE) == "pod 10.99.0.1", "the answer must come back this way"
        assert ask(other, NODE6) == "pod fd99::1"
        assert ask(pod, NODE) == "pod 10.99.0.1", "a pod reaches itself by its host port"
        assert ask(pod, NODE6) == "pod fd99::1"
        assert ask(other, "10.99.0.2", 80) == "pod 10.99.0.3", "pods see each other as they are"
    pod.delete()
    assert refused(outside, NODE)
    assert refused(node, "127.0.0.1")


def test_a_host_address_limits_a_host_port_to_it(node: Segment) -> None:
    pod, local = node.pod(), node.pod()
    add(pod, {**WEB, "hostIP": NODE})
    add(local, {**WEB, "hostIP": "127.0.0.1"})
    outside: Pod = node.outside  # type: ignore[attr-defined]
    with serving(pod, name="bound"), serving(local, name="local"):
        assert ask(outside, NODE).startswith("bound")
        assert ask(node, "127.0.0.1").startswith("local")
        assert refused(outside, NODE6)


def test_udp_is_mapped_and_an_old_flow_follows_the_new_pod(node: Segment) -> None:
    outside: Pod = node.outside  # type: ignore[attr-defined]
    port = {"hostPort": 5353, "containerPort": 53, "protocol": "udp"}
    asking = ("python3", "-c", ASK_UDP, NODE, "5353", "40000")
    for name in ("first", "second"):
        pod = node.pod()
        outside.run(*asking, check=False)  # an unanswered flow that the kernel now remembers
        add(pod, port)
        with serving(pod, UDP, name):
            assert until(lambda: outside.run(*asking), name, 3).startswith(name)
        pod.delete()


def test_sctp_is_mapped_too(node: Segment) -> None:
    pod = node.pod()
    add(pod, {"hostPort": 3868, "containerPort": 3868, "protocol": "sctp"})
    rules = node.rules()
    assert "sctp . 3868" in rules or "10.99.0.2:3868" in rules


def test_a_pod_cant_reach_the_nodes_loopback_through_its_gateway(node: Segment) -> None:
    """CVE-2020-8558: route_localnet opens 127.0.0.0/8 of the node to its neighbours."""
    pod = node.pod()
    add(pod, WEB)
    pod.run("sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
    pod.run("ip", "route", "add", "127.0.0.2/32", "via", "10.99.0.1", "dev", "eth0")
    server = subprocess.Popen(
        node.enter("python3", "-c", TCP.replace("80)", "81)"), "node"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until(lambda: ask(node, "127.0.0.2", 81), "the node's own server listens")
        assert refused(pod, "127.0.0.2", 81)
    finally:
        server.kill()
        server.wait()


def test_a_host_port_that_is_held_is_refused_by_name(node: Segment) -> None:
    holder, late = node.pod(), node.pod()
    add(holder, WEB)
    code, error = late.call("ADD", runtimeConfig={"portMappings": [WEB]})
    assert (code, error["code"]) == (1, 11)
    assert holder.name in error["details"]
    assert node.leases() == [f"pods:{holder.name}:eth0"]


def test_rules_dont_pile_up(node: Segment) -> None:
    """Complaint 7: duplicate rules pile up."""
    pod = node.pod()
    add(pod, WEB)
    once = everything(node)
    for _ in range(3):
        add(pod, WEB)
    for _ in range(3):
        other = node.pod()
        add(other, {**WEB, "hostPort": 9090})
        other.delete()
    assert everything(node) == once


def test_other_peoples_rules_are_never_touched(node: Segment) -> None:
    """Complaint 6: flushing rules locks people out of SSH."""
    node.run(
        "iptables", "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "22", "-j", "ACCEPT"
    )
    node.run("iptables", "-A", "INPUT", "-p", "tcp", "--dport", "22", "-j", "ACCEPT")
    node.run("nft", "add table inet theirs; add chain inet theirs c")
    before = everything(node)
    pod = node.pod()
    add(pod, WEB)
    assert everything(node) != before
    pod.delete()
    after = everything(node)
    assert "--dport 22" in after
    assert "table inet theirs" in node.rules()
    assert "8080" not in after


def test_a_pod_leaves_the_node_under_the_nodes_address_and_meets_pods_under_its_own(
    node: Segment,
) -> None:
    outside: Pod = node.outside  # type: ignore[attr-defined]
    outside.run("ip", "addr", "add", "198.51.100.1/32", "dev", "lo")
    node.run("ip", "route", "add", "198.51.100.0/24", "via", OUTSIDE)
    outside.run("ip", "route", "add", "10.99.0.0/24", "via", NODE)
    pod = node.pod()
    pod.add(clusterCIDRs=["198.51.100.0/24"])
    with serving(outside, name="outside"):
        assert ask(pod, OUTSIDE, 80) == f"outside {NODE}"
        assert ask(pod, "198.51.100.1", 80) == "outside 10.99.0.2"


def test_a_change_of_backend_leaves_no_rule_of_the_old_one(node: Segment) -> None:
    other = {"nftables": "iptables", "iptables": "nftables"}[node.config["backend"]]
    pod = node.pod()
    add(pod, WEB)
    pod.add(runtimeConfig={"portMappings": [WEB]}, backend=other)
    iptables = node.run("iptables-save", "-t", "nat")
    assert ("PYKUBELET" in iptables) == (other == "iptables")
    assert ("pykubelet-masquerade" in node.rules()) == (other == "nftables")
    with serving(pod):
        assert ask(node, NODE).startswith("pod ")


def everything(node: Segment) -> str:
    """All rules of the namespace, without counters."""
    saved = [node.run(f"{program}-save") for program in ("iptables", "ip6tables")]
    lines = [
        line.partition(" [")[0] for text in saved for line in text.splitlines() if line[0] != "#"
    ]
    tables = run("nsenter", f"--net=/run/netns/{node.netns}", "nft", "list", "ruleset")
    if "iptables" not in node.config["backend"]:
        lines.append(tables)
    return "\n".join(lines)

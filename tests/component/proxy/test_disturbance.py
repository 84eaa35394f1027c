"""What others do to the host's rules, and what ours do to theirs."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

import pytest

from pykubelet.proxy import proxy
from pykubelet.proxy.config.configuration import Configuration
from pykubelet.proxy.watching import Watching
from tests.component.proxy.conftest import PODS, Make, Services
from tests.support.service_net import REFUSED, SILENT, Pod, ServiceNet, inside, run
from tests.support.services import World, endpoint, node, port, service, slice_
from tests.support.waiting import until

pytestmark = pytest.mark.root

FOREIGN = """
table inet firewall {
    set friends {
        type ipv4_addr
        elements = { 192.0.2.1, 192.0.2.2 }
    }
    chain input {
        type filter hook input priority filter + 10; policy accept;
        ip saddr @friends tcp dport 22 counter accept comment "how people get in"
    }
}
"""


def on(net: ServiceNet, *command: str, text: str = "") -> str:
    with inside(net.node):
        return run(*command, text=text)


def ruleset(net: ServiceNet) -> str:
    """All rules of the node, by every tool that shows some; without counters and dates."""
    found = on(net, "nft", "list", "ruleset")
    for program in ("iptables-save", "ip6tables-save"):
        found += on(net, program)
    found = re.sub(r"(packets|bytes) \d+", r"\1 0", re.sub(r"^#.*\n", "", found, flags=re.M))
    return re.sub(r"\[\d+:\d+\]", "", found)


@pytest.fixture(scope="module")
def pod(net: ServiceNet) -> Pod:
    return net.pod(8080)


@pytest.fixture(params=["with other people's rules", "alone on the host"])
def before(net: ServiceNet, request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param.startswith("with"):
        on(net, "nft", "-f", "-", text=FOREIGN)
        on(net, "iptables", "-w", "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "4444",
           "-j", "DNAT", "--to-destination", "10.9.8.7:80")  # fmt: skip
        on(net, "iptables", "-w", "-N", "KUBE-SOMEBODY-ELSE")
    yield ruleset(net)
    on(net, "nft", "flush", "ruleset")


def some(pod: Pod) -> list[dict[str, object]]:
    return [
        service("web", "10.96.0.10", ports=[port(80, node_port=30080)], balancer=["172.16.0.2"],
                loadBalancerSourceRanges=["192.168.0.0/16"], sessionAffinity="ClientIP",
                externalTrafficPolicy="Local", healthCheckNodePort=32000),
        slice_("web", endpoint(pod.ip, "node")),
        service("none", "10.96.0.11", "fd00:96::11", externalIPs=["172.16.0.3"]),
    ]  # fmt: skip


def test_cleaning_up_leaves_the_host_as_it_was(
    net: ServiceNet, before: str, make: Make, pod: Pod
) -> None:
    """Complaint 5: uninstalling leaves iptables rules behind."""
    services = make()
    services.apply(*some(pod))
    net.ask(net.client, "10.96.0.10", 80)
    assert ruleset(net) != before
    with inside(net.node):
        proxy.cleanup()
        assert ruleset(net) == before
        proxy.cleanup()
    assert ruleset(net) == before


def test_programming_leaves_other_peoples_rules_alone(
    net: ServiceNet, before: str, make: Make, pod: Pod
) -> None:
    """Complaint 6: flushing rules locks people out. Complaint 7: duplicate rules pile up."""
    services = make()
    services.apply(*some(pod))
    first = ruleset(net)
    foreign = [line for line in before.splitlines() if re.match(r"\s+ip saddr @friends|-A ", line)]
    for again in range(3):
        services.world.loop._whole = False  # as after a failure, or a restart
        services.apply(slice_("none", *([endpoint(pod.ip, "node")] * (again % 2))))
        assert all(line in ruleset(net) for line in foreign)
    assert sorted(ruleset(net).splitlines()) == sorted(first.splitlines())


def test_switching_the_mode_leaves_nothing_of_the_other(
    net: ServiceNet, before: str, backend: str, make: Make, pod: Pod
) -> None:
    from pykubelet.proxy import backend as backends

    services = make()
    services.apply(*some(pod))
    other = "iptables" if backend == "nftables" else "nftables"
    with inside(net.node):
        backends.cleanup(keep=other)
    assert ruleset(net) == before


@pytest.fixture
def running(net: ServiceNet, backend: str, pod: Pod) -> Iterator[World]:
    """A loop that runs in the node, and hears what others do; no periodic check in sight."""
    with inside(net.node):
        config = Configuration(mode=backend, cluster_cidr=PODS)
        world = World(config, node("node", "192.168.50.1"), period=3600.0)
        watching = Watching(world.loop.rules_changed)
        world.loop.hears = watching.start()
        assert world.loop.hears
        world.put(service("web", "10.96.0.10"), slice_("web", endpoint(pod.ip, "node")))
        thread = threading.Thread(target=world.loop.run)
        thread.start()
    until(lambda: net.ask(net.client, "10.96.0.10", 80).by == pod.name, "the service answers")
    yield world
    world.loop.stop()
    thread.join()
    watching.stop()
    with inside(net.node):
        world.close()


@pytest.mark.parametrize(
    "harm",
    [
        "nft flush ruleset",
        "nft delete table inet pykubelet-proxy",
        "iptables -w -t nat -F",
        "iptables -w -t nat -F KUBE-POSTROUTING",
    ],
)
def test_rules_flushed_by_hand_are_back_within_a_second(
    net: ServiceNet,
    running: World,
    backend: str,
    pod: Pod,
    harm: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if "KUBE" in harm and backend == "nftables":
        pytest.skip("no such chain in this mode")
    if "pykubelet" in harm and backend == "iptables":
        pytest.skip("no such table in this mode")
    ours = not (harm.startswith("iptables") and backend == "nftables")
    caplog.clear()
    on(net, *harm.split())
    until(lambda: net.ask(net.client, "10.96.0.10", 80).by == pod.name, "it answers again", 1.0)
    if ours:
        until(lambda: "written anew" in caplog.text, "it says so", 2.0)
        name = harm.split()[0]
        assert f"changed by {name}" in caplog.text
    with inside(net.node):
        until(lambda: not running.loop.backend.damage(thorough=True), "all is whole")  # type: ignore[union-attr]


def test_damage_of_any_kind_is_seen_by_the_thorough_check(
    net: ServiceNet, make: Make, backend: str, pod: Pod
) -> None:
    services = make()
    services.apply(service("web", "10.96.0.10"), slice_("web", endpoint(pod.ip, "node")))
    assert not services.damage()
    table = "inet pykubelet-proxy"
    harms = {
        "nftables": [
            f"nft delete element {table} endpoints-tcp4 {{ 10.96.0.10 . 80 . 0 }}",
            f"nft flush chain {table} masquerading",
            f"nft add element {table} cluster-ips4 {{ 10.96.0.99 }}",
        ],
        "iptables": [
            "iptables -w -t nat -F KUBE-SERVICES",
            "iptables -w -t nat -D KUBE-MARK-MASQ 1",
            "iptables -w -t nat -D OUTPUT 1",
            "iptables -w -F KUBE-FORWARD",
        ],
    }[backend]
    for harm in harms:
        with inside(net.node):
            run("sh", "-c", harm.replace("{", "'{").replace("}", "}'"))
        assert services.damage(), harm
        services.world.loop._whole = False
        services.program()
        assert not services.damage(), harm
    assert net.ask(net.client, "10.96.0.10", 80).by == pod.name


def test_a_udp_client_that_goes_on_sending_is_led_away_from_a_vanished_endpoint(
    net: ServiceNet, services: Services, pod: Pod
) -> None:
    import socket

    other = net.pod(8080)
    udp = [port(80, "UDP")]
    services.apply(
        service("dns", "10.96.0.53", ports=udp),
        slice_("dns", endpoint(pod.ip, "node"), ports=[port(8080, "UDP")]),
    )
    with inside(net.client):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(0.5)
    client.connect(("10.96.0.53", 80))

    def answers() -> str:
        try:
            client.send(b"?")
            return client.recv(100).decode().split()[0]
        except TimeoutError:
            return SILENT
        except OSError:
            return REFUSED

    with client:
        assert answers() == pod.name
        services.apply(slice_("dns", endpoint(other.ip, "node"), ports=[port(8080, "UDP")]))
        assert answers() == other.name
        services.apply(slice_("dns", ports=[port(8080, "UDP")]))
        assert answers() in (REFUSED, SILENT)
        services.apply(slice_("dns", endpoint(pod.ip, "node"), ports=[port(8080, "UDP")]))
        assert answers() == pod.name


def test_sctp_is_programmed_like_the_others(services: Services, pod: Pod) -> None:
    """Without traffic: not every kernel speaks it."""
    sctp = [port(80, "SCTP", node_port=30080)]
    services.apply(
        service("web", "10.96.0.10", "fd00:96::10", ports=sctp, type="NodePort",
                sessionAffinity="ClientIP"),
        slice_("web", endpoint(pod.ip, "node"), ports=[port(8080, "SCTP")]),
        slice_("web", endpoint(pod.ip6, "node"), ports=[port(8080, "SCTP")], family="IPv6"),
    )  # fmt: skip
    assert not services.damage()


def test_a_storm_of_changes_costs_few_transactions(
    net: ServiceNet, running: World, pod: Pod
) -> None:
    """500 changes in a second, and traffic comes right."""
    import time

    before = running.loop.metrics.sync_seconds.count
    began = time.monotonic()
    for number in range(500):
        ip = pod.ip if number == 499 else f"10.244.0.{100 + number % 100}"
        running.put(slice_("web", endpoint(ip, "node")))
        time.sleep(0.002)
    until(lambda: net.ask(net.client, "10.96.0.10", 80).by == pod.name, "it answers", 2.0)
    took = time.monotonic() - began
    assert running.loop.metrics.sync_seconds.count - before <= took / 0.02 + 2


def test_clients_are_remembered_while_the_rules_are_written_anew(
    net: ServiceNet, services: Services, pod: Pod
) -> None:
    pods = [pod, net.pod(8080), net.pod(8080), net.pod(8080)]
    services.apply(
        service("web", "10.96.0.10", "fd00:96::10", sessionAffinity="ClientIP"),
        slice_("web", *(endpoint(p.ip, "node") for p in pods)),
        slice_("web", *(endpoint(p.ip6, "node") for p in pods), family="IPv6"),
    )
    for address in ("10.96.0.10", "fd00:96::10"):
        first = net.spread(3, net.client, address, 80)
        services.world.loop._whole = False
        services.program()
        assert net.spread(3, net.client, address, 80) == first

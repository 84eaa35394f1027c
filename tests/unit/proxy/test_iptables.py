"""Chains and texts for iptables, by values."""

from __future__ import annotations

from pykubelet.proxy.iptables import names, restore
from pykubelet.proxy.iptables.rules import Rules, node_port_jumps, rules
from pykubelet.proxy.model import Endpoint, LocalTraffic, ServicePort, Settings

PORT = ServicePort(
    namespace="ns1",
    name="svc1",
    port_name="p80",
    created="",
    family=4,
    protocol="tcp",
    port=80,
    cluster_ip="172.30.0.41",
    endpoints=(Endpoint("10.180.0.1", 80, True),),
    served=True,
)


def test_chains_have_the_names_that_kube_proxy_gives_them() -> None:
    """The names that upstream's own tests have for this service."""
    assert names.of_service(names.CLUSTER, PORT) == "KUBE-SVC-XPGD46QRK7WJZT7O"
    assert names.of_endpoint(PORT, PORT.endpoints[0]) == "KUBE-SEP-SXIVWICOYRO3J4NJ"


def test_a_family_sees_its_own_ports_alone() -> None:
    settings = Settings(LocalTraffic(("10.244.0.0/16",)))
    assert rules([PORT], settings, 6) == Rules()
    assert "KUBE-SVC-XPGD46QRK7WJZT7O" in rules([PORT], settings, 4).chains


def test_a_change_of_endpoints_touches_no_chain_that_grows_with_the_services() -> None:
    settings = Settings()
    old = rules([PORT], settings, 4)
    more = (*PORT.endpoints, Endpoint("10.180.0.2", 80))
    new = rules([_with(endpoints=more)], settings, 4)
    text = restore.change(old, new)
    assert "KUBE-SERVICES" not in text
    assert text.count("*nat") == text.count("COMMIT") == 1
    assert restore.change(new, new) == ""


def test_new_lines_go_in_front_so_that_node_ports_stay_last() -> None:
    text = restore.change(Rules(), Rules(lines=[("nat", "KUBE-SERVICES", "-j X")]))
    assert text == "*nat\n-I KUBE-SERVICES 1 -j X\nCOMMIT\n"
    text = restore.change(Rules(lines=[("filter", "KUBE-SERVICES", "-j X")]), Rules())
    assert text == "*filter\n-D KUBE-SERVICES -j X\nCOMMIT\n"


def test_a_piece_has_all_that_its_chains_jump_to() -> None:
    found = [rules([_with(name=f"s{n}")], Settings(), 4) for n in range(7)]
    texts = list(restore.pieces(found, 3))
    assert len(texts) == 3
    for text in texts:
        declared = {line[1:].split()[0] for line in text.splitlines() if line.startswith(":")}
        targets = {
            line.rsplit("-j ", 1)[1].split()[0] for line in text.splitlines() if "-j" in line
        }
        assert targets - declared <= {"KUBE-MARK-MASQ", "DNAT"}


def test_localhost_answers_to_node_ports_only_if_asked_for() -> None:
    assert "! -d 127.0.0.0/8" in node_port_jumps(Settings(), 4)[0]
    assert "127" not in node_port_jumps(Settings(localhost_node_ports=True), 4)[0]
    some = Settings(node_port_networks=("10.0.0.0/8", "fd00::/8"))
    assert [j.count("-d 10.0.0.0/8") for j in node_port_jumps(some, 4)] == [1]


def test_what_iptables_save_says_of_our_chains_is_counted() -> None:
    text = """*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SVC-XPGD46QRK7WJZT7O - [0:0]
:KUBE-KUBELET-CANARY - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A PREROUTING -j SOMETHING
-A KUBE-SVC-XPGD46QRK7WJZT7O -j KUBE-MARK-MASQ
-A KUBE-SVC-XPGD46QRK7WJZT7O -j KUBE-SEP-SXIVWICOYRO3J4NJ
COMMIT
"""
    chains, counts = restore.saved(text)
    assert chains == {("nat", "KUBE-SVC-XPGD46QRK7WJZT7O")}
    assert counts == {("nat", "PREROUTING"): 1, ("nat", "KUBE-SVC-XPGD46QRK7WJZT7O"): 2}


def test_a_shell_is_a_built_in_chain_without_rules() -> None:
    assert restore.shell(":INPUT ACCEPT [0:0]\n") == (["INPUT"], False)
    assert restore.shell(":INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n") == (["OUTPUT"], True)
    assert restore.shell(":INPUT ACCEPT [0:0]\n-A INPUT -j DROP\n") == ([], True)


def _with(**more: object) -> ServicePort:
    from dataclasses import replace

    return replace(PORT, **more)  # type: ignore[arg-type]

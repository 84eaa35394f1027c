"""Host names, hosts files and DNS configuration, by value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.errors import Invalid
from pykubelet.kubelet.pods.names import (
    dns_config,
    hostname_and_domain,
    hosts_file,
    sandbox_hostname,
)
from pykubelet.network import resolv_conf
from pykubelet.network.resolv_conf import ResolvConf
from tests.support.world import Json, pod

NODE = ResolvConf(("192.0.2.53",), ("example.org",), ("timeout:2",), path="/etc/resolv.conf")


def named(name: str = "web", **spec: Any) -> Json:
    it = pod(**spec)
    it["metadata"]["name"] = name
    return it


# -- host name ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, ("web", "")),
        ({"hostname": "db-0"}, ("db-0", "")),
        ({"hostname": "db-0", "subdomain": "db"}, ("db-0", "db.shop.svc.cluster.local")),
        ({"hostnameOverride": "a.b.c", "hostname": "x", "subdomain": "y"}, ("a.b.c", "")),
    ],
)
def test_the_host_name_and_its_domain(spec: Json, expected: tuple[str, str]) -> None:
    assert hostname_and_domain(named(**spec), "cluster.local") == expected


def test_a_long_pod_name_is_cut_to_what_a_host_name_may_be() -> None:
    name = "a" * 62 + "-" + "b" * 30
    assert hostname_and_domain(named(name), "cluster.local") == ("a" * 62, "")


@pytest.mark.parametrize(
    "spec", [{"hostname": "A_b"}, {"subdomain": "x.y"}, {"hostnameOverride": "-x"}]
)
def test_names_that_are_no_dns_names_are_refused(spec: Json) -> None:
    with pytest.raises(Invalid, match="is not a valid DNS"):
        hostname_and_domain(named(**spec), "cluster.local")


def test_the_sandbox_gets_the_full_name_where_asked_if_it_fits() -> None:
    full = {"subdomain": "db", "setHostnameAsFQDN": True}
    assert sandbox_hostname(named(**full), "cluster.local") == "web.db.shop.svc.cluster.local"
    assert sandbox_hostname(named(setHostnameAsFQDN=True), "cluster.local") == "web"
    with pytest.raises(Invalid, match=r"is too long \(64 characters is the max, 8"):
        sandbox_hostname(named("w" * 60, **full), "cluster.local")


def test_on_the_host_network_the_node_keeps_its_name() -> None:
    assert sandbox_hostname(named(hostNetwork=True), "cluster.local") == ""


# -- hosts file ---------------------------------------------------------------------------------


def hosts(it: Json, *ips: str, node: str = "") -> str:
    return hosts_file(it, "cluster.local", pod_ips=ips, node_hosts=node)


def test_a_pod_finds_itself_at_each_of_its_addresses() -> None:
    lines = hosts(named(subdomain="db"), "10.0.0.7", "fd00::7").splitlines()
    assert lines[0] == "# Kubernetes-managed hosts file."
    assert lines[1] == "127.0.0.1\tlocalhost"
    assert lines[-2:] == [
        "10.0.0.7\tweb.db.shop.svc.cluster.local\tweb",
        "fd00::7\tweb.db.shop.svc.cluster.local\tweb",
    ]


def test_host_aliases_come_last() -> None:
    aliases = [{"ip": "203.0.113.5", "hostnames": ["a.example", "b.example"]}, {"ip": "::2"}]
    assert hosts(named(hostAliases=aliases), "10.0.0.7").endswith(
        "10.0.0.7\tweb\n\n# Entries added by HostAliases.\n203.0.113.5\ta.example\tb.example\n::2\n"
    )


def test_on_the_host_network_the_file_is_the_nodes() -> None:
    aliases = [{"ip": "203.0.113.5", "hostnames": ["a"]}]
    text = hosts(named(hostNetwork=True, hostAliases=aliases), node="192.0.2.1 node-1")
    assert text == (
        "# Kubernetes-managed hosts file (host network).\n192.0.2.1 node-1\n"
        "\n# Entries added by HostAliases.\n203.0.113.5\ta\n"
    )


# -- DNS ----------------------------------------------------------------------------------------


def dns(it: Json, **more: Any) -> tuple[Json, list[str]]:
    warnings: list[str] = []
    more = {"node": NODE, "cluster_dns": ["10.96.0.10"], "cluster_domain": "cluster.local", **more}
    return dns_config(it, warn=warnings.append, **more), warnings


def test_cluster_first_asks_the_cluster_and_searches_it_before_the_nodes_domains() -> None:
    assert dns(named())[0] == {
        "servers": ["10.96.0.10"],
        "searches": ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local", "example.org"],
        "options": ["ndots:5"],
    }


OF_THE_NODE = {"servers": ["192.0.2.53"], "searches": ["example.org"], "options": ["timeout:2"]}


@pytest.mark.parametrize("spec", [{"dnsPolicy": "Default"}, {"hostNetwork": True}])
def test_default_and_the_host_network_use_the_nodes_resolver(spec: Json) -> None:
    assert dns(named(**spec)) == (OF_THE_NODE, [])


def test_cluster_first_with_host_net_asks_the_cluster_even_there() -> None:
    config, _ = dns(named(hostNetwork=True, dnsPolicy="ClusterFirstWithHostNet"))
    assert config["servers"] == ["10.96.0.10"]


def test_without_a_cluster_dns_the_nodes_resolver_serves_and_that_is_said() -> None:
    config, warnings = dns(named(), cluster_dns=[])
    assert config == OF_THE_NODE
    assert "does not have ClusterDNS IP configured" in warnings[0]
    assert 'Falling back to "Default"' in warnings[0]


def test_none_is_only_what_the_pod_says() -> None:
    own = {
        "nameservers": ["1.2.3.4"],
        "searches": ["a.b"],
        "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
    }
    config, _ = dns(named(dnsPolicy="None", dnsConfig=own))
    assert config == {
        "servers": ["1.2.3.4"], "searches": ["a.b"], "options": ["ndots:2", "edns0"],
    }  # fmt: skip


def test_a_pods_own_entries_add_to_the_policys_and_its_options_replace_them() -> None:
    own = {
        "nameservers": ["10.96.0.10", "1.2.3.4"],
        "searches": ["example.org", "a.b"],
        "options": [{"name": "ndots", "value": "1"}],
    }
    config, warnings = dns(named(dnsConfig=own))
    assert config["servers"] == ["10.96.0.10", "1.2.3.4"]
    assert config["searches"][-2:] == ["example.org", "a.b"]
    assert config["options"] == ["ndots:1"]
    assert not warnings


def test_a_node_told_to_have_no_resolver_gives_pods_none() -> None:
    config, _ = dns(named(dnsPolicy="Default"), node=ResolvConf())
    assert config == {"servers": ["127.0.0.1"], "searches": ["."], "options": []}


def test_what_exceeds_the_limits_is_left_out_and_said() -> None:
    own = {
        "nameservers": [f"1.1.1.{n}" for n in range(5)],
        "searches": [f"domain-{n}.example" for n in range(40)],
    }
    config, warnings = dns(named(dnsPolicy="None", dnsConfig=own))
    assert config["servers"] == ["1.1.1.0", "1.1.1.1", "1.1.1.2"]
    assert len(config["searches"]) == 32
    assert ["Nameserver limits were exceeded" in w for w in warnings] == [True, False]
    assert ["Search Line limits were exceeded" in w for w in warnings] == [False, True]


@given(st.lists(st.text("abc.", min_size=1, max_size=300), max_size=60))
def test_search_lists_always_fit(searches: list[str]) -> None:
    config, warnings = dns(named(dnsPolicy="None", dnsConfig={"searches": searches}))
    kept = config["searches"]
    assert len(kept) <= 32
    assert len(" ".join(kept)) <= 2048
    assert all(len(domain) <= 253 for domain in kept)
    assert (kept == list(dict.fromkeys(searches))) != bool(warnings)


# -- the node's resolv.conf ---------------------------------------------------------------------


def test_reading_a_resolv_conf() -> None:
    text = """
    # comment
    ; another
    nameserver 192.0.2.1
    nameserver 2001:db8::1%eth0
    search old.example
    domain older.example
    options ndots:1
    search a.example. b.example .
    options timeout:1 rotate
    nameserver
    """
    found = resolv_conf.parse(text)
    assert found.servers == ("192.0.2.1", "2001:db8::1%eth0")
    assert found.searches == ("a.example", "b.example", ".")
    assert found.options == ("timeout:1", "rotate")


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    path = tmp_path / "stub.conf"
    path.write_text("nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n")
    return path


def test_the_servers_behind_a_local_stub_are_found(stub: Path, tmp_path: Path) -> None:
    """Complaint 27: DNS loops with systemd-resolved."""
    real = tmp_path / "real.conf"
    real.write_text("nameserver 192.0.2.1\nsearch example.org\n")
    found = resolv_conf.read(str(stub), (tmp_path / "absent", real))
    assert found.servers == ("192.0.2.1",)
    assert found.path == str(real)
    assert not found.warning


def test_a_stub_with_nothing_behind_it_is_kept_and_said(stub: Path, tmp_path: Path) -> None:
    """Complaint 27: DNS loops with systemd-resolved."""
    also_stub = tmp_path / "also"
    also_stub.write_text("nameserver ::1\n")
    found = resolv_conf.read(str(stub), (tmp_path / "absent", also_stub))
    assert found.servers == ("127.0.0.53",)
    assert "set resolvConf" in found.warning
    assert dns(named(dnsPolicy="Default"), node=found)[1] == [found.warning]


def test_a_file_with_a_real_server_is_believed_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.1\nnameserver 192.0.2.1\n")
    assert resolv_conf.read(str(path)).servers == ("127.0.0.1", "192.0.2.1")


def test_the_old_word_for_a_search_list() -> None:
    assert resolv_conf.parse("search a.b c.d\ndomain e.f").searches == ("e.f",)


def test_no_file_at_all(tmp_path: Path) -> None:
    assert resolv_conf.read("") == ResolvConf()
    missing = resolv_conf.read(str(tmp_path / "none"))
    assert missing.servers == ()
    assert "can't be read" in missing.warning

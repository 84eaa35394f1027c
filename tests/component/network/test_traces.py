"""What an uninstall leaves: nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.network import ROOT, Segment

pytestmark = pytest.mark.root

SYSCTLS = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv6.conf.up0.accept_ra")
PORTS = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}


def picture(segment: Segment) -> dict[str, str]:
    """Everything that a network plugin could change in this namespace."""
    return {
        "links": str(sorted(segment.links())),
        "addresses": segment.run("ip", "-o", "addr"),
        "routes": segment.run("ip", "route", "show", "table", "all"),
        "routes6": segment.run("ip", "-6", "route", "show", "table", "all"),
        "nft": segment.rules(),
        "iptables": _saved(segment, "iptables-save"),
        "ip6tables": _saved(segment, "ip6tables-save"),
        "sysctls": segment.run("sysctl", *SYSCTLS),
        "files": str(sorted(p.name for p in segment.state.glob("**/*"))),
    }


def touch(segment: Segment) -> None:
    """Have iptables make its built-in tables and chains, as it does at first use, for good."""
    for program in ("iptables", "ip6tables"):
        for table, chain in (
            ("nat", "PREROUTING"), ("nat", "OUTPUT"), ("nat", "POSTROUTING"), ("raw", "PREROUTING"),
        ):  # fmt: skip
            for action in ("-A", "-D"):
                segment.run(program, "-t", table, action, chain, "-j", "ACCEPT")


def _saved(segment: Segment, program: str) -> str:
    text = segment.run(program)
    return "\n".join(line.partition(" [")[0] for line in text.splitlines() if line[0] != "#")


@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_an_uninstall_takes_away_every_trace(backend: str) -> None:
    """Complaint 5: uninstall leaves iptables rules, bridges, routes, mounts."""
    with Segment(
        "10.99.0.0/24", "fd99::/64", backend=backend, runtimeConfig=PORTS, resident=False
    ) as segment:
        segment.run("ip", "link", "add", "up0", "type", "veth", "peer", "name", "up1")
        touch(segment)
        segment.run("iptables", "-t", "nat", "-A", "POSTROUTING", "-o", "up0", "-j", "ACCEPT")
        segment.run("ip6tables", "-t", "nat", "-A", "POSTROUTING", "-o", "up0", "-j", "ACCEPT")
        segment.run("iptables", "-t", "raw", "-A", "PREROUTING", "-i", "up0", "-j", "ACCEPT")
        before = picture(segment)
        segment.pod().add()
        during = picture(segment)
        assert {k for k in before if before[k] != during[k]} >= {
            "links", "addresses", "routes", "sysctls", "files",
        }  # fmt: skip
        assert "accept_ra = 2" in during["sysctls"], "forwarding must not cost the node its route"
        subprocess.run(
            segment.enter(
                sys.executable, "-m", "pykubelet.network.install", "--uninstall",
                "--bin-dir", segment.bin, "--conf-dir", segment.home / "conf",
                "--state-dir", segment.state,
            ),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
        )  # fmt: skip
        assert picture(segment) == before
        assert list(segment.bin.iterdir()) == []


def test_a_bridge_that_was_there_before_us_stays(segment: Segment) -> None:
    segment.run("ip", "link", "add", "pkbr0", "type", "bridge")
    segment.pod().add()
    script = "import sys; from pykubelet.network.plugin import Plugin as P; "
    script += "P(sys.argv[1]).operations().remove_all()"
    subprocess.run(
        segment.enter(sys.executable, "-c", script, segment.state),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert segment.links() == {"lo", "pkbr0"}

"""`pykubelet proxy` as a process, beside a real API server: what a person starts and stops."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pykubelet.cli.cluster import api_of
from pykubelet.client.api import Api
from pykubelet.client.resources import ENDPOINT_SLICES, NODES, SERVICES
from tests.support.service_net import REFUSED, Pod, ServiceNet, inside, run
from tests.support.services import endpoint, port
from tests.support.waiting import until

pytestmark = pytest.mark.root

ROOT = Path(__file__).resolve().parents[3]


class Process:
    """A command of pykubelet in the node's network namespace."""

    def __init__(self, net: ServiceNet, log: Path, *words: object) -> None:
        self.log = log
        with inside(net.node), log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pykubelet.cli.main", *map(str, words)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


class Cluster:
    """An API server in the node's namespace; objects are made through it."""

    def __init__(self, net: ServiceNet, folder: Path) -> None:
        self.net = net
        self.folder = folder
        self.server = Process(net, folder / "apiserver.log", "apiserver", "--data-dir", folder)
        self.kubeconfig = folder / "admin.conf"
        until(self.kubeconfig.exists, "the API server writes its files", 60)
        self.api: Api = api_of(self.kubeconfig, "tests")
        until(lambda: self.call("list", NODES) is not None, "the API server answers", 60)

    def call(self, verb: str, *args: Any, **options: Any) -> Any:
        with inside(self.net.node):
            return getattr(self.api, verb)(*args, **options)

    def proxy(self, mode: str, *flags: str) -> Process:
        return Process(
            self.net,
            self.folder / "proxy.log",
            *("proxy", "--kubeconfig", self.kubeconfig, "--hostname-override", "node"),
            *("--proxy-mode", mode, "--cluster-cidr", "10.244.0.0/16", *flags),
        )


@pytest.fixture(scope="module")
def cluster(net: ServiceNet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(net, tmp_path_factory.mktemp("api"))
    made.call("create", NODES, {"metadata": {"name": "node"}})
    yield made
    made.server.stop()


@pytest.fixture(scope="module")
def pods(net: ServiceNet) -> tuple[Pod, Pod]:
    return net.pod(8080), net.pod(8080)


def get(net: ServiceNet, number: int, path: str) -> tuple[int, str]:
    with inside(net.node):
        connection = http.client.HTTPConnection("127.0.0.1", number, timeout=5)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_a_service_of_the_api_is_reached_and_stays_so_without_the_proxy(
    net: ServiceNet, cluster: Cluster, pods: tuple[Pod, Pod], backend: str
) -> None:
    """Complaint 5: uninstalling leaves iptables rules behind."""
    near, other = pods
    name = f"web-{backend}"
    proxy = cluster.proxy(backend)
    made = cluster.call(
        "create",
        SERVICES,
        {"metadata": {"name": name, "namespace": "default"}, "spec": {"ports": [port(80)]}},
    )
    address = made["spec"]["clusterIP"]
    slice_ = {
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": name},
        },
        "addressType": "IPv4",
        "ports": [port(8080)],
        "endpoints": [endpoint(near.ip, "node", ready=True)],
    }
    slice_ = cluster.call("create", ENDPOINT_SLICES, slice_)
    until(lambda: net.ask(net.client, address, 80).by == near.name, "the service answers", 60)

    assert get(net, 10256, "/healthz")[0] == 200
    assert get(net, 10249, "/proxyMode") == (200, backend)
    assert "kubeproxy_sync_proxy_rules_duration_seconds_count" in get(net, 10249, "/metrics")[1]

    slice_ = cluster.call(
        "update",
        ENDPOINT_SLICES,
        {**slice_, "endpoints": [endpoint(other.ip, "node", ready=True)]},
    )
    until(lambda: net.ask(net.client, address, 80).by == other.name, "it follows its endpoints")

    assert proxy.stop() == 0
    assert net.ask(net.client, address, 80).by == other.name
    proxy = cluster.proxy(backend)
    until(lambda: get(net, 10256, "/healthz")[0] == 200, "it is back", 60)
    cluster.call("update", ENDPOINT_SLICES, {**slice_, "endpoints": []})
    until(lambda: net.ask(net.client, address, 80).by == REFUSED, "nobody is left", 60)
    proxy.stop(signal.SIGKILL)

    assert Process(net, cluster.folder / "cleanup.log", "proxy", "--cleanup").process.wait(30) == 0
    with inside(net.node):
        assert run("nft", "list", "ruleset") == ""


def test_without_a_way_to_the_api_it_says_what_is_missing(net: ServiceNet, tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert Process(net, log, "proxy").process.wait(30) != 0
    assert "expected --kubeconfig FILE" in log.read_text()

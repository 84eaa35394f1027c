"""10,000 services × 2 endpoints: the first sync and one endpoint changed, for both backends, beside
the bare programs loading as much; and what a connection costs on such a node.

The rules are in a network namespace of their own. Times are wall times from the objects as decoded
(first sync), and from the event (change), until the kernel has the rules.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

from pykubelet.proxy.config.configuration import Configuration
from pykubelet.proxy.services import service_of
from tests.bench.rows import Row, median
from tests.support.service_net import ServiceNet, inside
from tests.support.services import Json, World, endpoint, node, service, slice_

SERVICES = 10_000
CHANGES = 15
CONNECTIONS = 300
PODS = ("10.128.0.0/9", "10.244.0.0/16")


def rows() -> Iterator[Row]:
    objects = [one for number in range(SERVICES) for one in _service(number)]
    with ServiceNet() as net:
        pod = net.pod(8080)
        empty = _latency(net, pod.ip, 8080)
        for backend in ("nftables", "iptables"):
            with inside(net.node):
                raw = _raw_nft() if backend == "nftables" else _raw_iptables()
                yield from _measure(backend, objects, raw)
                yield from _with_traffic(net, backend, objects, pod.ip, empty)


def _service(number: int) -> tuple[Json, Json]:
    low = f"{number >> 8}.{number & 255}"
    name = f"s{number}"
    those = [endpoint(f"10.{128 + n}.{low}", f"node{number % 50}", ready=True) for n in range(2)]
    return service(name, f"10.96.{low}"), slice_(name, *those)


def _world(backend: str, objects: list[Json]) -> World:
    """Everything told, nothing programmed."""
    world = World(Configuration(mode=backend, cluster_cidr=PODS[:1]), node("node", "192.168.50.1"))
    for one in objects:
        if "addressType" in one:
            world.by_service.setdefault(service_of(one), {})[one["metadata"]["name"]] = one
        else:
            world.services[f"ns/{one['metadata']['name']}"] = one
    world.loop.attach(world)
    return world


def _measure(backend: str, objects: list[Json], raw: tuple[float, float]) -> Iterator[Row]:
    before = _rss()
    world = _world(backend, objects)
    began = time.perf_counter()
    world.program()
    first = time.perf_counter() - began
    yield Row(f"{backend}: {SERVICES:,} services x 2, first sync", first, "s", raw[0],
              "the program alone", "2 s or less", first <= 2)  # fmt: skip
    yield Row(f"{backend}: memory for them", (_rss() - before) / 1e6, "MB")
    took = []
    for round_ in range(CHANGES):
        number = 77 + round_
        those = [endpoint(f"10.{129 + n}.0.{number}", "elsewhere") for n in range(2)]
        began = time.perf_counter()
        world.put(slice_(f"s{number}", *those))
        world.program()
        took.append(time.perf_counter() - began)
    change = median(took) * 1000
    yield Row(f"{backend}: one endpoint changed among them", change, "ms", raw[1] * 1000,
              "the program alone", "20 ms or less", change <= 20)  # fmt: skip
    world.close()


def _with_traffic(
    net: ServiceNet, backend: str, objects: list[Json], ip: str, bare: float
) -> Iterator[Row]:
    for count in (10, SERVICES):
        world = _world(backend, objects[: 2 * count])
        web = (service("web", "10.97.0.1"), slice_("web", endpoint(ip, "node")))
        world.put(*web)
        world.program()
        took = _latency(net, "10.97.0.1", 80)
        yield Row(f"{backend}: a connection through {count:,} services, p50", took * 1000, "ms",
                  bare * 1000, "no service")  # fmt: skip
        world.close()


def _latency(net: ServiceNet, address: str, port: int) -> float:
    took = []
    for _ in range(CONNECTIONS):
        began = time.perf_counter()
        net.ask(net.client, address, port, timeout=5)
        took.append(time.perf_counter() - began)
    return median(took)


def _rss() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# -- the raw limit: the same rules' worth, with no thought -----------------------------------------


def _raw_nft() -> tuple[float, float]:
    """Seconds to load as many elements of a like map, and to change one."""
    elements = ", ".join(
        f"10.96.{number >> 8}.{number & 255} . 80 . {slot} : 10.128.0.{slot} . 8080"
        for number in range(SERVICES)
        for slot in range(2)
    )
    key = "ip daddr . tcp dport . numgen random mod 2 : ip daddr . tcp dport"
    load = (
        f"table ip raw {{\n map m {{\n typeof {key}\n }}\n}}\nadd element ip raw m {{ {elements} }}"
    )
    first = _timed("nft", load)
    old, new = ("{ 10.96.0.77 . 80 . 0" + more + " }" for more in ("", " : 10.128.0.9 . 8080"))
    change = f"delete element ip raw m {old}\nadd element ip raw m {new}\n"
    one = median([_timed("nft", change) for _ in range(CHANGES)])
    _timed("nft", "delete table ip raw")
    return first, one


def _raw_iptables() -> tuple[float, float]:
    """The same of chains of the like shape, in the same pieces, with nothing leading to them."""
    first = 0.0
    for start in range(0, SERVICES, 500):
        chains, rules = [], []
        for number in range(start, start + 500):
            chains += [
                f":RAW-{number} - [0:0]",
                f":RAW-{number}-0 - [0:0]",
                f":RAW-{number}-1 - [0:0]",
            ]
            rules.append(
                f"-A RAW-{number} -m statistic --mode random --probability 0.5 -j RAW-{number}-0"
            )
            rules.append(f"-A RAW-{number} -j RAW-{number}-1")
            for slot in range(2):
                rules.append(
                    f"-A RAW-{number}-{slot} -p tcp -j DNAT --to-destination 10.128.0.1:80"
                )
        first += _timed("iptables", "\n".join(["*nat", *chains, *rules, "COMMIT", ""]))
    rule = "-A RAW-77-0 -p tcp -j DNAT --to-destination 10.128.0.9:80"
    text = f"*nat\n:RAW-77-0 - [0:0]\n{rule}\nCOMMIT\n"
    one = median([_timed("iptables", text) for _ in range(CHANGES)])
    subprocess.run(["nft", "delete", "table", "ip", "nat"], check=False, capture_output=True)
    return first, one


def _timed(program: str, text: str) -> float:
    command = ["nft", "-f", "-"] if program == "nft" else ["iptables-restore", "--noflush", "-w"]
    began = time.perf_counter()
    subprocess.run(command, input=text.encode(), check=True)
    return time.perf_counter() - began

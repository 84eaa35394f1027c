"""One network of namespaces per module, and for each test a world of services on either backend.
What is measured is real traffic; nobody reads the text of rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pykubelet.proxy.config.configuration import Configuration
from tests.support.service_net import ServiceNet, inside
from tests.support.services import Json, World, node

PODS = ("10.244.0.0/16", "fd00:244::/32")


@pytest.fixture(scope="module")
def net() -> Iterator[ServiceNet]:
    with ServiceNet() as made:
        yield made


@pytest.fixture(params=["nftables", "iptables"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Services:
    """The world, seen from the tests: everything happens in the node's namespace."""

    def __init__(self, net: ServiceNet, backend: str, **config: Any) -> None:
        self.net = net
        config.setdefault("cluster_cidr", PODS)
        self.node: Json = node("node", "192.168.50.1", "fd00:50::1")
        with inside(net.node):
            self.world = World(Configuration(mode=backend, **config), self.node)

    def apply(self, *objects: Json) -> None:
        self.world.put(*objects)
        self.program()

    def drop(self, *names: str) -> None:
        for name in names:
            self.world.drop(name)
        self.program()

    def program(self) -> None:
        with inside(self.net.node):
            self.world.program()

    def damage(self) -> str:
        assert self.world.loop.backend
        with inside(self.net.node):
            return self.world.loop.backend.damage(thorough=True)

    def close(self) -> None:
        with inside(self.net.node):
            self.world.close()


Make = Callable[..., Services]


@pytest.fixture
def make(net: ServiceNet, backend: str) -> Iterator[Make]:
    """`make(masquerade_all=…)` for a world with settings of its own."""
    made: list[Services] = []

    def new(**config: Any) -> Services:
        made.append(Services(net, backend, **config))
        return made[-1]

    yield new
    for one in made:
        one.close()


@pytest.fixture
def services(make: Make) -> Services:
    return make()

"""The ports that load balancers and probes ask."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from pykubelet.errors import Failed
from pykubelet.proxy.health import Server
from tests.component.proxy.conftest import Services
from tests.support.service_net import ServiceNet, inside
from tests.support.services import endpoint, service, slice_
from tests.support.waiting import until

pytestmark = pytest.mark.root


def get(net: ServiceNet, url: str) -> tuple[int, dict[str, str], dict[str, object]]:
    """From the node itself: (status, headers, body)."""
    with inside(net.node):
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, dict(answer.headers), json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), json.loads(error.read())


def test_a_services_health_port_says_whether_this_node_has_an_endpoint(
    net: ServiceNet, services: Services
) -> None:
    spec = {"externalTrafficPolicy": "Local", "healthCheckNodePort": 32010}
    services.apply(
        service("web", "10.96.0.10", balancer=["172.16.0.2"], **spec),
        slice_("web", endpoint("10.244.0.9", "node"), endpoint("10.244.1.9", "far")),
    )
    url = "http://127.0.0.1:32010/"
    status, headers, body = get(net, url)
    assert status == 200
    assert headers["X-Load-Balancing-Endpoint-Weight"] == "1"
    assert body == {
        "service": {"namespace": "ns", "name": "web"},
        "localEndpoints": 1,
        "serviceProxyHealthy": True,
    }
    services.apply(slice_("web", endpoint("10.244.1.9", "far")))
    status, headers, body = get(net, url)
    assert (status, body["localEndpoints"]) == (503, 0)
    services.drop("web")
    with pytest.raises(urllib.error.URLError):
        get(net, url)


def test_a_health_port_that_is_taken_stops_nothing_else(
    net: ServiceNet, services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    with inside(net.node):
        taken = Server(("", 32011), lambda _: None)
    spec = {"externalTrafficPolicy": "Local", "healthCheckNodePort": 32011}
    services.apply(service("web", "10.96.0.10", balancer=["172.16.0.2"], **spec))
    assert "health checks of ns/web will not be answered" in caplog.text
    taken.stop()
    services.apply(service("web", "10.96.0.10", balancer=["172.16.0.2"], **spec, created="x"))
    until(lambda: get(net, "http://127.0.0.1:32011/")[0] == 503, "it answers")


def test_a_port_in_use_is_named(net: ServiceNet) -> None:
    with inside(net.node):
        first = Server(("127.0.0.1", 0), lambda _: None)
        with pytest.raises(Failed, match=f"can't listen on 127.0.0.1:{first.port}"):
            Server(("127.0.0.1", first.port), lambda _: None)
    first.stop()

"""What a path asks for."""

from __future__ import annotations

import pytest

from pykubelet.apiserver.routes import Route, parse


@pytest.mark.parametrize(
    ("method", "path", "query", "expected"),
    [
        ("GET", "/api/v1/pods", {}, ("list", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/pods", {"watch": "1"}, ("watch", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/pods", {"watch": "false"}, ("list", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/pods", {"watch": ""}, ("watch", "", "v1", "pods", "", "", "")),
        ("GET", "/api/v1/namespaces/a/pods/b", {}, ("get", "", "v1", "pods", "a", "b", "")),
        ("GET", "/api/v1/namespaces/a/pods/b/log", {},
         ("get", "", "v1", "pods", "a", "b", "log")),
        ("POST", "/apis/apps/v1/namespaces/a/deployments", {},
         ("create", "apps", "v1", "deployments", "a", "", "")),
        ("PUT", "/apis/apps/v1/namespaces/a/deployments/d/scale", {},
         ("update", "apps", "v1", "deployments", "a", "d", "scale")),
        ("PATCH", "/api/v1/nodes/n/status", {}, ("patch", "", "v1", "nodes", "", "n", "status")),
        ("DELETE", "/api/v1/namespaces/a/pods", {},
         ("deletecollection", "", "v1", "pods", "a", "", "")),
        ("DELETE", "/api/v1/namespaces/a", {}, ("delete", "", "v1", "namespaces", "a", "a", "")),
        ("PUT", "/api/v1/namespaces/a/finalize", {},
         ("update", "", "v1", "namespaces", "a", "a", "finalize")),
        ("GET", "/api/v1/namespaces", {}, ("list", "", "v1", "namespaces", "", "", "")),
        ("GET", "/api/v1/watch/pods", {}, ("watch", "", "v1", "pods", "", "", "")),
    ],
)  # fmt: skip
def test_resources(
    method: str, path: str, query: dict[str, str], expected: tuple[str, ...]
) -> None:
    route = parse(method, path, query)
    assert (route.verb, route.group, route.version, route.resource, route.namespace, route.name,
            route.subresource) == expected  # fmt: skip


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz", "/x/y/z/a"]
)
def test_everything_else(path: str) -> None:
    assert parse("GET", path, {}) == Route("get", path)


def test_what_a_proxy_passes_on() -> None:
    assert parse("GET", "/api/v1/namespaces/a/services/s/proxy/x/y", {}).rest == "x/y"

"""Discovery and OpenAPI say the same as the registry."""

from __future__ import annotations

from typing import Any

import orjson

from pykubelet.apiserver.discovery import Discovery
from pykubelet.apiserver.front.messages import Request, Response
from pykubelet.apiserver.openapi.documents import Documents
from pykubelet.apiserver.resources.registry import builtin

Json = dict[str, Any]
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
REGISTRY = builtin()


def asked(path: str, **headers: str) -> Json:
    request = Request("GET", path, headers=headers)
    answer = Discovery(REGISTRY).answer(request) or Documents(REGISTRY).answer(request)
    assert isinstance(answer, Response)
    assert isinstance(answer.body, bytes)
    found: Json = orjson.loads(answer.body)
    return found


def test_old_and_aggregated_discovery_list_the_same() -> None:
    old = {
        (group["name"], version["version"], resource["name"])
        for group in asked("/apis")["groups"]
        for version in group["versions"]
        for resource in asked(f"/apis/{version['groupVersion']}")["resources"]
        if "/" not in resource["name"]
    }
    new = {
        (group["metadata"]["name"], version["version"], resource["resource"])
        for group in asked("/apis", accept=AGGREGATED)["items"]
        for version in group["versions"]
        for resource in version["resources"]
    }
    assert old == new
    assert ("apps", "v1", "deployments") in new


def test_discovery_is_kept_by_clients_that_know_its_tag() -> None:
    discovery = Discovery(REGISTRY)
    first = discovery.answer(Request("GET", "/apis"))
    assert first
    tag = dict(first.headers)["ETag"]
    again = discovery.answer(Request("GET", "/apis", headers={"if-none-match": tag}))
    assert again
    assert again.status == 304


def test_every_reference_in_every_document_leads_somewhere() -> None:
    for path in asked("/openapi/v3")["paths"]:
        document = asked(f"/openapi/v3/{path}")
        schemas = document["components"]["schemas"]
        for reference in _references(document):
            assert reference.removeprefix("#/components/schemas/") in schemas
        assert document["paths"]


def test_the_second_version_is_whole_too() -> None:
    document = asked("/openapi/v2")
    for reference in _references(document):
        assert reference.removeprefix("#/definitions/") in document["definitions"]
    containers = document["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-list-map-keys"] == ["name"]


def test_clients_find_that_the_server_validates_fields() -> None:
    document = asked("/openapi/v3/apis/apps/v1")
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert "fieldValidation" in [one["name"] for one in patch["parameters"]]
    assert patch["x-kubernetes-group-version-kind"] == {
        "group": "apps", "kind": "Deployment", "version": "v1"
    }  # fmt: skip


def _references(tree: Any) -> list[str]:
    if isinstance(tree, dict):
        own = [tree["$ref"]] if isinstance(tree.get("$ref"), str) else []
        return own + [r for value in tree.values() for r in _references(value)]
    if isinstance(tree, list):
        return [r for value in tree for r in _references(value)]
    return []

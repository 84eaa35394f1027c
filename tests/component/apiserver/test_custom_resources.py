"""Custom resources: defined, served at once, checked by a schema, gone with what defines them."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.component.apiserver.conftest import Api, ServerUnderTest
from tests.support.waiting import until

Json = dict[str, Any]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

SCHEMA: Json = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "maximum": 10},
                "colour": {"type": "string", "default": "blue", "enum": ["blue", "red"]},
                "code": {"type": "string", "pattern": "^[a-z]+$"},
                "parts": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
                    },
                },
                "anything": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "port": {"x-kubernetes-int-or-string": True},
            },
        },
        "status": {
            "type": "object",
            "properties": {"size": {"type": "integer"}, "selector": {"type": "string"}},
        },
    },
}


def definition(plural: str, **version: Any) -> Json:
    kind = plural[:-1].capitalize()
    served = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": copy.deepcopy(SCHEMA)},
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.size", "statusReplicasPath": ".status.size",
                      "labelSelectorPath": ".status.selector"},
        },
        "additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
        "selectableFields": [{"jsonPath": ".spec.colour"}],
        **version,
    }  # fmt: skip
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind, "shortNames": [plural[:2]],
                      "categories": ["all"]},
            "versions": [served],
        },
    }  # fmt: skip


def define(api: Api, given: Json) -> None:
    code, made = api("POST", DEFINITIONS, given)
    assert code == 201, made["message"]
    name = given["metadata"]["name"]

    def established() -> bool:
        conditions = api("GET", f"{DEFINITIONS}/{name}")[1]["status"].get("conditions") or ()
        return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

    until(established, f"{name} is established")


@pytest.fixture(scope="module")
def widgets(server: ServerUnderTest) -> str:
    define(Api(server), definition("widgets"))
    return "widgets"


def path(namespace: str, plural: str = "widgets", version: str = "v1") -> str:
    return f"/apis/example.com/{version}/namespaces/{namespace}/{plural}"


def widget(name: str, **spec: Any) -> Json:
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name},
            "spec": {"size": 1, **spec}}  # fmt: skip


def test_objects_are_defaulted_pruned_and_kept(api: Api, namespace: str, widgets: str) -> None:
    given = widget("a", extra=1, anything={"x": {"y": 1}}, port="http")
    code, made = api("POST", path(namespace), given)
    assert code == 201
    assert made["spec"] == {"size": 1, "colour": "blue", "anything": {"x": {"y": 1}},
                            "port": "http"}  # fmt: skip
    assert made["metadata"]["generation"] == 1
    assert api("GET", f"{path(namespace)}/a") == (200, made)
    _, listed = api("GET", path(namespace))
    assert listed["kind"] == "WidgetList"
    assert listed["items"][0]["kind"] == "Widget"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"size": 0}, "spec.size: Invalid value: 0: spec.size in body should be greater than or "
         "equal to 1"),
        ({"size": "big"}, 'spec.size: Invalid value: "string": spec.size in body must be of type '
         'integer: "string"'),
        ({"size": None}, "spec.size"),
        ({"colour": "green"}, 'spec.colour: Unsupported value: "green": supported values: "blue", '
         '"red"'),
        ({"code": "X1"}, "spec.code: Invalid value: \"X1\": spec.code in body should match "
         "'^[a-z]+$'"),
        ({"parts": [{"n": 1}]}, "spec.parts[0].name: Required value"),
        ({"parts": [{"name": "a"}, {"name": "a"}]}, "spec.parts[1]: Duplicate value"),
        ({"port": 1.5}, "spec.port"),
    ],
)  # fmt: skip
def test_objects_are_checked_by_their_schema(
    api: Api, namespace: str, widgets: str, spec: Json, says: str
) -> None:
    code, status = api("POST", path(namespace), widget("a", **spec))
    assert (code, status["reason"]) == (422, "Invalid")
    assert says in status["message"]
    assert status["details"]["group"] == "example.com"


def test_status_scale_and_generation(api: Api, namespace: str, widgets: str) -> None:
    _, made = api("POST", path(namespace), {**widget("a"), "status": {"size": 9}})
    assert "status" not in made
    merge = "application/merge-patch+json"
    patch = {"status": {"size": 1, "selector": "a=b"}, "spec": {"size": 5}}
    _, changed = api("PATCH", f"{path(namespace)}/a/status", patch, merge)
    assert changed["status"]["size"] == 1
    assert changed["spec"]["size"] == 1
    assert changed["metadata"]["generation"] == 1
    _, scale = api("GET", f"{path(namespace)}/a/scale")
    assert scale["spec"] == {"replicas": 1}
    assert scale["status"] == {"replicas": 1, "selector": "a=b"}
    api("PATCH", f"{path(namespace)}/a/scale", {"spec": {"replicas": 4}}, merge)
    _, scaled = api("GET", f"{path(namespace)}/a")
    assert scaled["spec"]["size"] == 4
    assert scaled["metadata"]["generation"] == 2


def test_watches_and_selectors(api: Api, namespace: str, widgets: str) -> None:
    _, listed = api("GET", path(namespace))
    events = api.watch(path(namespace), resourceVersion=listed["metadata"]["resourceVersion"],
                       fieldSelector="spec.colour=red", timeoutSeconds=20)  # fmt: skip
    api("POST", path(namespace), widget("a"))
    api("POST", path(namespace), widget("b", colour="red"))
    event = next(events)
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "b")
    _, found = api("GET", f"{path(namespace)}?fieldSelector=spec.colour%3Dred")
    assert len(found["items"]) == 1


def test_server_side_apply_knows_the_lists_of_the_schema(
    api: Api, namespace: str, widgets: str
) -> None:
    def apply(manager: str, *parts: str) -> Json:
        config = widget("a", parts=[{"name": name, "n": 1} for name in parts])
        code, made = api("PATCH", f"{path(namespace)}/a?fieldManager={manager}", config,
                         "application/apply-patch+yaml")  # fmt: skip
        assert code in (200, 201), made
        return made

    apply("one", "x", "y")
    both = apply("two", "z")
    assert [part["name"] for part in both["spec"]["parts"]] == ["x", "y", "z"]
    left = apply("one", "x")
    assert [part["name"] for part in left["spec"]["parts"]] == ["x", "z"]


def test_kubectl_lives_with_them(server: ServerUnderTest, namespace: str, widgets: str) -> None:
    ns = ("-n", namespace)
    assert "widgets.example.com" in server.kubectl("api-resources", "-o", "name").split()
    server.kubectl(*ns, "apply", "-f", "-", stdin=json.dumps(widget("a", size=3)))
    assert server.kubectl(*ns, "apply", "-f", "-", stdin=json.dumps(widget("a", size=3))).endswith(
        "unchanged\n"
    )
    table = server.kubectl(*ns, "get", "wi").split()
    assert table[:3] == ["NAME", "SIZE", "AGE"]
    assert table[3:5] == ["a", "3"]
    assert "colour\t<string>" in server.kubectl("explain", "widget.spec")
    said = server.kubectl(*ns, "apply", "-f", "-", stdin=json.dumps(widget("b", sise=1)),
                          check=False)  # fmt: skip
    assert 'unknown field "spec.sise"' in said
    server.kubectl(*ns, "scale", "widget", "a", "--replicas=7")
    assert server.kubectl(*ns, "get", "widget", "a", "-o", "jsonpath={.spec.size}") == "7"
    server.kubectl(*ns, "delete", "widget", "a")


def test_a_second_version_is_served_at_once(api: Api, namespace: str) -> None:
    given = definition("gadgets")
    define(api, given)
    api("POST", path(namespace, "gadgets"), {"metadata": {"name": "a"}, "spec": {"size": 2}})
    newer = {**given["spec"]["versions"][0], "name": "v2", "storage": False}
    patch = {"spec": {"versions": [given["spec"]["versions"][0], newer]}}
    name = given["metadata"]["name"]
    assert api("PATCH", f"{DEFINITIONS}/{name}", patch, "application/merge-patch+json")[0] == 200
    until(lambda: api("GET", path(namespace, "gadgets", "v2"))[0] == 200, "v2 is served")
    _, shown = api("GET", f"{path(namespace, 'gadgets', 'v2')}/a")
    assert shown["apiVersion"] == "example.com/v2"
    assert shown["spec"]["size"] == 2
    _, groups = api("GET", "/apis/example.com")
    assert [v["version"] for v in groups["versions"]] == ["v2", "v1"]


def test_a_definition_takes_its_objects_with_it(api: Api, namespace: str) -> None:
    given = definition("things")
    define(api, given)
    things = path(namespace, "things")
    api("POST", things, {"metadata": {"name": "a", "finalizers": ["example.com/x"]},
                         "spec": {"size": 1}})  # fmt: skip
    name = given["metadata"]["name"]
    api("DELETE", f"{DEFINITIONS}/{name}")
    until(
        lambda: api("GET", f"{things}/a")[1]["metadata"].get("deletionTimestamp"),
        "the object is being deleted",
    )
    assert api("GET", f"{DEFINITIONS}/{name}")[0] == 200
    api("PATCH", f"{things}/a", {"metadata": {"finalizers": None}}, "application/merge-patch+json")
    until(lambda: api("GET", f"{DEFINITIONS}/{name}")[0] == 404, "the definition is gone")
    until(lambda: api("GET", things)[0] == 404, "its objects are served no more")


def test_everything_is_there_after_a_restart(
    server: ServerUnderTest, api: Api, widgets: str
) -> None:
    code, _ = api("POST", path("default"), widget("kept", size=5))
    assert code == 201
    server.kill()
    server.start()
    _, found = Api(server)("GET", f"{path('default')}/kept")
    assert found["spec"]["size"] == 5

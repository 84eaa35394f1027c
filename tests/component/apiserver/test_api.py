"""The API over HTTP, as other clients see it: codes, reasons, versions, pages, events."""

from __future__ import annotations

import itertools
import json
import threading
from typing import Any

import pytest

from tests.component.apiserver.conftest import Api, ServerUnderTest

Json = dict[str, Any]


def config_map(name: str, **data: str) -> Json:
    return {"metadata": {"name": name}, "data": data}


@pytest.fixture
def maps(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps"


def test_create_read_update_delete(api: Api, maps: str) -> None:
    code, made = api("POST", maps, config_map("a", k="1"))
    assert code == 201
    assert made["kind"] == "ConfigMap"
    meta = made["metadata"]
    assert meta["uid"]
    assert meta["creationTimestamp"].endswith("Z")
    assert api("GET", f"{maps}/a") == (200, made)
    code, changed = api("PUT", f"{maps}/a", {**made, "data": {"k": "2"}})
    assert code == 200
    assert int(changed["metadata"]["resourceVersion"]) > int(meta["resourceVersion"])
    assert changed["metadata"]["uid"] == meta["uid"]
    code, status = api("DELETE", f"{maps}/a")
    assert (code, status["status"]) == (200, "Success")
    assert status["details"] == {"name": "a", "kind": "configmaps", "uid": meta["uid"]}
    code, status = api("GET", f"{maps}/a")
    assert (code, status["reason"], status["message"]) == (
        404, "NotFound", 'configmaps "a" not found'
    )  # fmt: skip


def test_an_update_of_an_old_version_is_a_conflict(api: Api, maps: str) -> None:
    _, first = api("POST", maps, config_map("a"))
    api("PUT", f"{maps}/a", {**first, "data": {"x": "1"}})
    code, status = api("PUT", f"{maps}/a", {**first, "data": {"x": "2"}})
    assert (code, status["reason"]) == (409, "Conflict")
    assert status["message"] == (
        'Operation cannot be fulfilled on configmaps "a": the object has been modified; please '
        "apply your changes to the latest version and try again"
    )
    unconditional = {"metadata": {"name": "a"}, "data": {"x": "3"}}
    assert api("PUT", f"{maps}/a", unconditional)[0] == 200


def test_an_update_that_changes_nothing_writes_nothing(api: Api, maps: str) -> None:
    """Complaint: flash wears out from writes that change nothing."""
    _, made = api("POST", maps, config_map("a", k="1"))
    _, same = api("PUT", f"{maps}/a", made)
    assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "reason"),
    [
        ("GET", "/api/v1/nonsense", None, 404, "NotFound"),
        ("GET", "/apis/nowhere.io/v1/things", None, 404, "NotFound"),
        ("GET", "/api/v1/namespaces/none/configmaps/x", None, 404, "NotFound"),
        ("POST", "/api/v1/namespaces/none/configmaps", {"metadata": {"name": "a"}}, 404,
         "NotFound"),
        ("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {}}, 422, "Invalid"),
        ("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "A"}}, 422,
         "Invalid"),
        ("POST", "/api/v1/namespaces/default/configmaps", {"kind": "Pod"}, 400, "BadRequest"),
        ("POST", "/api/v1/namespaces/default/configmaps", {"data": []}, 400, "BadRequest"),
        ("POST", "/api/v1/namespaces/default/configmaps", b"{", 400, "BadRequest"),
        ("POST", "/api/v1/namespaces/default/configmaps", b"[1]", 400, "BadRequest"),
        ("POST", "/api/v1/configmaps", {"metadata": {"name": "a"}}, 405, "MethodNotAllowed"),
        ("PUT", "/api/v1/namespaces/default/configmaps/a", {"metadata": {"name": "b"}}, 400,
         "BadRequest"),
        ("GET", "/api/v1/pods?labelSelector=a%20b", None, 400, "BadRequest"),
        ("GET", "/api/v1/pods?fieldSelector=spec.x%3Da", None, 400, "BadRequest"),
        ("GET", "/api/v1/pods?limit=x", None, 400, "BadRequest"),
        ("GET", "/api/v1/pods?continue=x", None, 400, "BadRequest"),
        ("GET", "/api/v1/pods?resourceVersionMatch=Exact", None, 422, "Invalid"),
    ],
)  # fmt: skip
def test_refusals_have_upstreams_codes_and_reasons(
    api: Api, method: str, path: str, body: Any, code: int, reason: str
) -> None:
    found, status = api(method, path, body)
    assert (found, status["reason"], status["kind"], status["status"]) == (
        code, reason, "Status", "Failure"
    )  # fmt: skip
    assert status["code"] == code


def test_too_large_bodies_and_unknown_formats(api: Api, maps: str) -> None:
    assert api("POST", maps, b"x" * 4_000_000)[0] == 413
    assert api("POST", maps, b"x", kind="text/csv")[1]["reason"] == "UnsupportedMediaType"
    assert api("GET", maps, headers={"Accept": "text/csv"})[0] == 406


def test_depth_bombs_are_refused(api: Api, maps: str) -> None:
    assert api("POST", maps, b'{"a":' * 100_000)[0] == 400
    assert api("POST", maps, b"[" * 100_000, kind="application/yaml")[0] == 400


def test_patches(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    containers = [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}]
    api("POST", path, {"metadata": {"name": "p"}, "spec": {"containers": containers}})
    strategic = {"spec": {"containers": [{"name": "b", "image": "2"}]}}
    code, pod = api("PATCH", f"{path}/p", strategic, "application/strategic-merge-patch+json")
    assert code == 200
    assert [c["image"] for c in pod["spec"]["containers"]] == ["1", "2"]
    merge = {"metadata": {"labels": {"x": "y"}}}
    _, pod = api("PATCH", f"{path}/p", merge, "application/merge-patch+json")
    assert pod["metadata"]["labels"] == {"x": "y"}
    operations = [{"op": "test", "path": "/metadata/labels/x", "value": "y"},
                  {"op": "remove", "path": "/metadata/labels/x"}]  # fmt: skip
    _, pod = api("PATCH", f"{path}/p", operations, "application/json-patch+json")
    assert not pod["metadata"].get("labels")
    code, status = api("PATCH", f"{path}/p", operations, "application/json-patch+json")
    assert code == 422
    immutable = {"spec": {"hostNetwork": True}}
    code, status = api("PATCH", f"{path}/p", immutable, "application/merge-patch+json")
    assert code == 422
    assert "pod updates may not change fields other than" in status["message"]


def test_lists_in_pages_are_of_one_moment(api: Api, maps: str) -> None:
    for n in range(10):
        api("POST", maps, config_map(f"c{n}"))
    _, page = api("GET", f"{maps}?limit=4")
    assert page["metadata"]["remainingItemCount"] == 6
    names = [item["metadata"]["name"] for item in page["items"]]
    api("DELETE", f"{maps}/c5")
    api("POST", maps, config_map("c99"))
    while token := page["metadata"].get("continue"):
        _, page = api("GET", f"{maps}?limit=4&continue={token}")
        names += [item["metadata"]["name"] for item in page["items"]]
    assert names == [f"c{n}" for n in range(10)]
    _, now = api("GET", maps)
    assert len(now["items"]) == 10
    assert "kind" not in now["items"][0]


def test_selectors(api: Api, maps: str) -> None:
    for name, tier in (("a", "front"), ("b", "back"), ("c", "")):
        labels = {"labels": {"tier": tier}} if tier else {}
        api("POST", maps, {"metadata": {"name": name, **labels}})
    for query, expected in (
        ("labelSelector=tier%3Dfront", ["a"]), ("labelSelector=tier", ["a", "b"]),
        ("labelSelector=!tier", ["c"]), ("fieldSelector=metadata.name%3Db", ["b"]),
        ("fieldSelector=metadata.name!%3Db", ["a", "c"]),
        ("labelSelector=tier%20in%20(back,x)", ["b"]),
    ):  # fmt: skip
        _, found = api("GET", f"{maps}?{query}")
        assert [item["metadata"]["name"] for item in found["items"]] == expected, query


def test_a_watch_tells_every_change_once(api: Api, maps: str) -> None:
    _, empty = api("GET", maps)
    version = empty["metadata"]["resourceVersion"]
    events = api.watch(maps, resourceVersion=version, timeoutSeconds=20)
    api("POST", maps, config_map("a", k="1"))
    api("PATCH", f"{maps}/a", {"data": {"k": "2"}}, "application/merge-patch+json")
    api("DELETE", f"{maps}/a")
    seen = list(itertools.islice(events, 3))
    assert [e["type"] for e in seen] == ["ADDED", "MODIFIED", "DELETED"]
    assert [e["object"]["data"]["k"] for e in seen] == ["1", "2", "2"]
    versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in seen]
    assert versions == sorted(set(versions))


def test_a_watch_with_a_selector_says_what_comes_and_goes(api: Api, maps: str) -> None:
    _, made = api("POST", maps, config_map("a"))
    version = made["metadata"]["resourceVersion"]
    events = api.watch(maps, labelSelector="x=1", resourceVersion=version, timeoutSeconds=20)
    for value in ("1", "1", "2"):
        patch = {"metadata": {"labels": {"x": value}, "annotations": {"n": value * 2}}}
        api("PATCH", f"{maps}/a", patch, "application/merge-patch+json")
        api("PATCH", f"{maps}/a", {"data": {"v": value}}, "application/merge-patch+json")
    seen = [event["type"] for event in itertools.islice(events, 3)]
    assert seen == ["ADDED", "MODIFIED", "DELETED"]


def test_a_watch_list_ends_with_a_bookmark(api: Api, maps: str) -> None:
    api("POST", maps, config_map("a"))
    events = api.watch(
        maps, sendInitialEvents="true", resourceVersionMatch="NotOlderThan",
        allowWatchBookmarks="true", timeoutSeconds=20,
    )  # fmt: skip
    first, second = itertools.islice(events, 2)
    assert first["type"] == "ADDED"
    assert second["type"] == "BOOKMARK"
    assert second["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_many_watchers_see_the_same(api: Api, maps: str) -> None:
    _, empty = api("GET", maps)
    version = empty["metadata"]["resourceVersion"]
    seen: list[list[str]] = []

    def follow() -> None:
        events = api.watch(maps, resourceVersion=version, timeoutSeconds=20)
        seen.append([e["object"]["metadata"]["name"] for e in itertools.islice(events, 20)])

    threads = [threading.Thread(target=follow) for _ in range(10)]
    for thread in threads:
        thread.start()
    for n in range(20):
        api("POST", maps, config_map(f"c{n:02}"))
    for thread in threads:
        thread.join(30)
    assert seen == [[f"c{n:02}" for n in range(20)]] * 10


def test_a_dry_run_changes_nothing(api: Api, maps: str) -> None:
    code, made = api("POST", f"{maps}?dryRun=All", config_map("a"))
    assert code == 201
    assert made["metadata"]["uid"]
    assert api("GET", f"{maps}/a")[0] == 404


def test_finalizers_hold_an_object(api: Api, maps: str) -> None:
    api("POST", maps, {"metadata": {"name": "a", "finalizers": ["example.com/x"]}})
    assert api("DELETE", f"{maps}/a")[0] == 200
    _, marked = api("GET", f"{maps}/a")
    assert marked["metadata"]["deletionTimestamp"]
    patch = {"metadata": {"finalizers": None}}
    api("PATCH", f"{maps}/a", patch, "application/merge-patch+json")
    assert api("GET", f"{maps}/a")[0] == 404


def test_status_and_spec_are_kept_apart(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "x"}]},
           "status": {"phase": "Running"}}  # fmt: skip
    _, made = api("POST", path, pod)
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    patch = {"status": {"phase": "Running"}, "metadata": {"labels": {"a": "b"}},
             "spec": {"containers": [{"name": "c", "image": "y"}]}}  # fmt: skip
    _, changed = api("PATCH", f"{path}/p/status", patch, "application/merge-patch+json")
    assert changed["status"]["phase"] == "Running"
    assert changed["spec"]["containers"][0]["image"] == "x"


def test_a_pod_is_bound_once_and_deleted_gracefully(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods"
    api("POST", path, {"metadata": {"name": "p"},
                       "spec": {"containers": [{"name": "c", "image": "x"}]}})  # fmt: skip
    assert api("POST", f"{path}/p/binding", {"target": {"name": "n1"}})[0] == 201
    code, status = api("POST", f"{path}/p/binding", {"target": {"name": "n2"}})
    assert code == 409
    assert 'pod p is already assigned to node "n1"' in status["message"]
    _, found = api("GET", f"/api/v1/pods?fieldSelector=spec.nodeName%3Dn1,metadata.namespace%3D"
                   f"{namespace}")  # fmt: skip
    assert len(found["items"]) == 1
    _, leaving = api("DELETE", f"{path}/p")
    assert leaving["metadata"]["deletionGracePeriodSeconds"] == 30
    api("DELETE", f"{path}/p?gracePeriodSeconds=0")
    assert api("GET", f"{path}/p")[0] == 404


def test_names_are_generated(api: Api, maps: str) -> None:
    _, one = api("POST", maps, {"metadata": {"generateName": "x-"}})
    _, two = api("POST", maps, {"metadata": {"generateName": "x-"}})
    assert one["metadata"]["name"] != two["metadata"]["name"]
    assert len(one["metadata"]["name"]) == 7


def test_services_get_addresses_and_ports(api: Api, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/services"
    spec = {"type": "NodePort", "ports": [{"port": 80}]}
    _, one = api("POST", path, {"metadata": {"name": "a"}, "spec": spec})
    _, two = api("POST", path, {"metadata": {"name": "b"}, "spec": spec})
    assert one["spec"]["clusterIP"] != two["spec"]["clusterIP"]
    assert 30000 <= one["spec"]["ports"][0]["nodePort"] < 32768
    taken = {"clusterIP": one["spec"]["clusterIP"], "ports": [{"port": 80}]}
    code, status = api("POST", path, {"metadata": {"name": "c"}, "spec": taken})
    assert code == 422
    assert "provided IP is already allocated" in status["message"]


def test_tokens_certificates_and_nobody(api: Api, server: ServerUnderTest) -> None:
    assert server.plain("/healthz").status_code == 200
    assert server.plain("/version").status_code == 200
    answer = server.plain("/api/v1/pods")
    assert answer.status_code == 403
    assert answer.json()["message"] == (
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" '
        "at the cluster scope"
    )
    assert server.plain("/api", headers={"Authorization": "Bearer wrong"}).status_code == 401
    jane = {"Authorization": "Bearer secret-of-jane"}
    assert server.plain("/api", headers=jane).status_code == 200
    assert server.plain("/api/v1/pods", headers=jane).status_code == 403
    _, review = api("POST", "/apis/authentication.k8s.io/v1/tokenreviews",
                    {"spec": {"token": "secret-of-jane"}})  # fmt: skip
    assert review["status"]["user"]["username"] == "jane"
    assert "dev" in review["status"]["user"]["groups"]


def test_yaml_and_tables_and_metadata_alone(api: Api, server: ServerUnderTest, maps: str) -> None:
    code, _ = api("POST", maps, b"metadata: {name: m}\ndata: {a: b}", kind="application/yaml")
    assert code == 201
    table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    _, found = api("GET", maps, headers=table)
    assert [c["name"] for c in found["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert found["rows"][0]["cells"][:2] == ["m", 1]
    only = {"Accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
    _, found = api("GET", maps, headers=only)
    assert "data" not in found["items"][0]
    text = server.session().get(f"{server.url}{maps}/m", headers={"Accept": "application/yaml"})
    assert "kind: ConfigMap" in text.text


def test_warnings_and_strictness(api: Api, server: ServerUnderTest, maps: str) -> None:
    body = json.dumps({"metadata": {"name": "a"}, "dataa": {}})
    answer = server.session().post(server.url + maps, data=body)
    assert answer.status_code == 201
    assert answer.headers["Warning"] == '299 - "unknown field \\"dataa\\""'
    code, status = api("POST", f"{maps}?fieldValidation=Strict", {"dataa": {}})
    assert code == 400
    assert 'strict decoding error: unknown field "dataa"' in status["message"]
    twice = b'{"metadata":{"name":"b"},"metadata":{"name":"c"}}'
    code, status = api("POST", f"{maps}?fieldValidation=Strict", twice)
    assert 'duplicate field "metadata"' in status["message"]


def test_two_versions_of_one_object(api: Api, namespace: str) -> None:
    new = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
    old = new.replace("v2", "v1")
    spec = {"maxReplicas": 3, "targetCPUUtilizationPercentage": 60,
            "scaleTargetRef": {"kind": "Deployment", "name": "d"}}  # fmt: skip
    code, made = api("POST", old, {"metadata": {"name": "h"}, "spec": spec})
    assert code == 201
    assert made["apiVersion"] == "autoscaling/v1"
    _, shown = api("GET", f"{new}/h")
    assert shown["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 60
    assert shown["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    patch = {"spec": {"maxReplicas": 5}}
    api("PATCH", f"{new}/h", patch, "application/merge-patch+json")
    assert api("GET", f"{old}/h")[1]["spec"]["maxReplicas"] == 5
    event = {"metadata": {"name": "e"},
             "regarding": {"kind": "Pod", "name": "p", "namespace": namespace},
             "note": "hello", "reason": "R", "type": "Normal", "action": "A",
             "reportingController": "example.com/test", "reportingInstance": "one",
             "eventTime": "2020-01-01T00:00:00.000000Z"}  # fmt: skip
    path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
    assert api("POST", path, event)[0] == 201
    _, core = api("GET", f"/api/v1/namespaces/{namespace}/events/e")
    assert core["message"] == "hello"
    _, found = api("GET", f"{path}?fieldSelector=regarding.name%3Dp")
    assert len(found["items"]) == 1


def test_metrics_count_requests_by_upstreams_names(
    api: Api, server: ServerUnderTest, maps: str
) -> None:
    api("POST", maps, config_map("a"))
    api("GET", f"{maps}/none")
    lines = server.session().get(f"{server.url}/metrics", timeout=20).text.splitlines()
    found = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines
             if not line.startswith("#")}  # fmt: skip
    labels = 'group="",resource="configmaps",scope="{}",subresource="",verb="{}",version="v1"'
    posted = f'apiserver_request_total{{{labels.format("namespace", "POST")},code="201"}}'
    missed = f'apiserver_request_total{{{labels.format("resource", "GET")},code="404"}}'
    assert found[posted] >= 1
    assert found[missed] >= 1
    assert found['apiserver_storage_objects{resource="configmaps"}'] >= 1
    assert found["process_resident_memory_bytes"] > 10_000_000
    assert server.plain("/metrics").status_code == 403

"""Which addresses stand behind a service, and how little is written to say so."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pykubelet.controllers.endpointslice import MOST_IN_SLICE, Decision, decide

Json = dict[str, Any]


def service(**spec: Any) -> Json:
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
    return {
        "metadata": {"name": "web", "namespace": "default", "uid": "s"},
        "spec": {"clusterIP": "10.96.0.9", "selector": {"app": "web"}, "ports": ports, **spec},
    }


def pod(number: int, ready: bool = True, **more: Any) -> Json:
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    metadata = {"name": f"p{number}", "namespace": "default", "uid": f"u{number}"}
    spec = {"nodeName": "n1", "containers": [{"name": "c", "ports": [
        {"name": "web", "containerPort": 9090}]}]}  # fmt: skip
    ip = f"10.0.{number // 250}.{number % 250 + 1}"
    status = {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": conditions}
    return {
        "metadata": {**metadata, **more.pop("metadata", {})},
        "spec": spec | more.pop("spec", {}),
        "status": status | more,
    }


def stored(decision: Decision, slices: list[Json]) -> list[Json]:
    """The slices after a decision was carried out."""
    gone = {id(s) for s in decision.delete}
    updated = {s["metadata"]["name"]: s for s in decision.update}
    kept = [updated.get(s["metadata"]["name"], s) for s in slices if id(s) not in gone]
    made = []
    for number, new in enumerate(decision.create):
        metadata = {**new["metadata"], "name": f"web-{len(slices)}-{number}"}
        made.append({**new, "metadata": metadata})
    return kept + made


def addresses(slices: list[Json]) -> list[str]:
    return sorted(a for s in slices for e in s["endpoints"] for a in e["addresses"])


def test_ready_pods_are_the_endpoints_of_their_service() -> None:
    made = decide(service(), [pod(1), pod(2)], [], {"n1": "north"})
    (slice_,) = made.create
    assert slice_["ports"] == [{"name": "http", "protocol": "TCP", "port": 8080}]
    assert [e["zone"] for e in slice_["endpoints"]] == ["north", "north"]
    assert slice_["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
    assert slice_["metadata"]["ownerReferences"][0]["kind"] == "Service"


def test_a_pod_that_is_not_ready_is_listed_as_not_ready() -> None:
    (slice_,) = decide(service(), [pod(1, ready=False)], [], {}).create
    conditions = slice_["endpoints"][0]["conditions"]
    assert conditions == {"ready": False, "serving": False, "terminating": False}


def test_a_terminating_pod_that_still_serves_is_not_ready() -> None:
    going = pod(1, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    (slice_,) = decide(service(), [going], [], {}).create
    conditions = slice_["endpoints"][0]["conditions"]
    assert conditions == {"ready": False, "serving": True, "terminating": True}


def test_a_service_that_publishes_all_calls_them_ready() -> None:
    (slice_,) = decide(service(publishNotReadyAddresses=True), [pod(1, ready=False)], [], {}).create
    assert slice_["endpoints"][0]["conditions"]["ready"] is True


def test_a_finished_pod_is_no_endpoint() -> None:
    (slice_,) = decide(service(), [pod(1, phase="Succeeded")], [], {}).create
    assert slice_["endpoints"] == []


def test_a_named_target_port_is_looked_up_in_each_pod() -> None:
    ports = [{"name": "http", "port": 80, "targetPort": "web"}]
    (slice_,) = decide(service(ports=ports), [pod(1)], [], {}).create
    assert slice_["ports"][0]["port"] == 9090


def test_a_headless_service_labels_its_slices_and_keeps_host_names() -> None:
    named = pod(1, spec={"hostname": "db-0", "subdomain": "web"})
    (slice_,) = decide(service(clusterIP="None"), [named], [], {}).create
    assert "service.kubernetes.io/headless" in slice_["metadata"]["labels"]
    assert slice_["endpoints"][0]["hostname"] == "db-0"


def test_a_service_without_pods_has_one_empty_slice() -> None:
    slices = stored(decide(service(), [], [], {}), [])
    assert [s["endpoints"] for s in slices] == [[]]
    assert decide(service(), [], slices, {}) == Decision()


def test_more_than_a_hundred_endpoints_take_more_slices() -> None:
    made = decide(service(), [pod(n) for n in range(250)], [], {})
    assert [len(s["endpoints"]) for s in made.create] == [100, 100, 50]


def test_one_pod_more_changes_one_slice() -> None:
    slices = stored(decide(service(), [pod(n) for n in range(150)], [], {}), [])
    again = decide(service(), [pod(n) for n in range(151)], slices, {})
    assert (len(again.create), len(again.update), len(again.delete)) == (0, 1, 0)


@given(st.lists(st.sets(st.integers(0, 400), max_size=260), min_size=1, max_size=5))
def test_the_slices_always_hold_exactly_the_pods_and_come_to_rest(stages: list[set[int]]) -> None:
    slices: list[Json] = []
    for numbers in stages:
        pods = [pod(n) for n in sorted(numbers)]
        slices = stored(decide(service(), pods, slices, {}), slices)
        assert addresses(slices) == sorted(p["status"]["podIP"] for p in pods)
        assert all(len(s["endpoints"]) <= MOST_IN_SLICE for s in slices)
        assert decide(service(), pods, slices, {}) == Decision()

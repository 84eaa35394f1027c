"""Which pods nobody else will ever see off."""

from __future__ import annotations

from typing import Any

from pykubelet.controllers.pod_gc import never_bound, stranded, surplus

Json = dict[str, Any]


def pod(name: str, phase: str = "Running", node: str = "", **metadata: Any) -> Json:
    return {
        "metadata": {"name": name, "namespace": "default", **metadata},
        "spec": {"nodeName": node} if node else {},
        "status": {"phase": phase},
    }


def names(pods: list[Json]) -> list[str]:
    return [p["metadata"]["name"] for p in pods]


def test_the_oldest_finished_pods_go_first_and_running_ones_never() -> None:
    pods = [
        pod("new", "Failed", creationTimestamp="2026-01-03T00:00:00Z"),
        pod("old", "Succeeded", creationTimestamp="2026-01-01T00:00:00Z"),
        pod("older", creationTimestamp="2025-01-01T00:00:00Z"),
        pod("middle", "Failed", creationTimestamp="2026-01-02T00:00:00Z"),
    ]
    assert names(surplus(pods, 1)) == ["old", "middle"]
    assert surplus(pods, 5) == []


def test_a_pod_deleted_before_it_had_a_node_is_let_go() -> None:
    deleted = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    pods = [pod("a", **deleted), pod("b", node="n", **deleted), pod("c")]
    assert names(never_bound(pods)) == ["a"]


def test_pods_of_nodes_that_are_gone_are_stranded() -> None:
    assert names(stranded([pod("a", node="n1"), pod("b", node="n2"), pod("c")], {"n1"})) == ["b"]

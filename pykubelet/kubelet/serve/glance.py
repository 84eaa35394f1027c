"""The node and its pods at a glance: what /status on the local socket answers. Pure.

The agent calls `glance` with what it reports anyway; `pykubelet status` prints it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]


def glance(
    node: Mapping[str, Any],
    pods: Iterable[Mapping[str, Any]],
    sentences: Mapping[str, str],
    refused: Mapping[str, str],
    about: Mapping[str, Any] | None = None,
) -> Json:
    """`node` is v1.Node, `pods` are v1.Pod with status, `sentences` the latest decision by pod UID,
    `refused` the reason by manifest path, `about` further facts of the agent (version, startedAt,
    manifests folder), copied as they are.

    Shape: {"node": {name, ready, reason, addresses, conditions: [{type, status, message}], runtime,
    kernel, os}, "agent": about, "pods": [{namespace, name, uid, phase, ready, containers, restarts,
    startTime, ip, sentence}], "refused": [{path, sentence}]}.
    """
    return {
        "node": _node(node),
        "agent": dict(about or {}),
        "pods": sorted(
            (_pod(pod, sentences) for pod in pods), key=lambda p: (p["namespace"], p["name"])
        ),
        "refused": [{"path": p, "sentence": s} for p, s in sorted(refused.items())],
    }


def _node(node: Mapping[str, Any]) -> Json:
    status = node.get("status") or {}
    info = status.get("nodeInfo") or {}
    conditions = status.get("conditions") or ()
    ready: Json = next((c for c in conditions if c.get("type") == "Ready"), {})
    return {
        "name": (node.get("metadata") or {}).get("name", ""),
        "ready": ready.get("status") == "True",
        "reason": ready.get("message", ""),
        "addresses": [
            a["address"] for a in status.get("addresses") or () if a["type"] != "Hostname"
        ],
        "conditions": [
            {k: c.get(k, "") for k in ("type", "status", "message")} for c in conditions
        ],
        "runtime": info.get("containerRuntimeVersion", ""),
        "kernel": info.get("kernelVersion", ""),
        "os": info.get("osImage", ""),
    }


def _pod(pod: Mapping[str, Any], sentences: Mapping[str, str]) -> Json:
    metadata, status = pod["metadata"], pod.get("status") or {}
    regular = status.get("containerStatuses") or []
    sidecars = [
        c
        for c in status.get("initContainerStatuses") or ()
        if "running" in (c.get("state") or {}) and c["name"] in _sidecars(pod)
    ]
    counted = [*regular, *sidecars]
    everyone = [*counted, *(status.get("initContainerStatuses") or ())]
    return {
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata.get("uid", ""),
        "phase": _phase(pod, status, everyone),
        "ready": sum(bool(c.get("ready")) for c in counted),
        "containers": len(pod["spec"].get("containers") or ()) + len(sidecars),
        "restarts": sum(c.get("restartCount", 0) for c in counted),
        "startTime": status.get("startTime", ""),
        "ip": status.get("podIP", ""),
        "sentence": sentences.get(metadata.get("uid", ""), status.get("message", "")),
    }


def _sidecars(pod: Mapping[str, Any]) -> set[str]:
    init = pod["spec"].get("initContainers") or ()
    return {c["name"] for c in init if c.get("restartPolicy") == "Always"}


def _phase(pod: Mapping[str, Any], status: Mapping[str, Any], containers: Iterable[Json]) -> str:
    """The phase, or the more telling reason that kubectl would show in its place."""
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    if status.get("reason"):
        return status["reason"]
    for container in containers:
        reason = ((container.get("state") or {}).get("waiting") or {}).get("reason", "")
        if reason not in ("", "ContainerCreating", "PodInitializing"):
            return reason
    return status.get("phase") or "Pending"

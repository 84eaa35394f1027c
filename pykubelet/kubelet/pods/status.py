"""What is reported of a pod: its v1.PodStatus, composed in this one place from values. Pure.

The manager calls `compose` after every turn and hands the result on where it differs. Transition
times are kept from the previous status as long as the condition's value does not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pykubelet.clock import rfc3339
from pykubelet.kubelet.pods import lifecycle, spec
from pykubelet.kubelet.pods.container_status import Facts, container_status
from pykubelet.kubelet.pods.records import TERMINAL
from pykubelet.kubelet.pods.snapshot import ResizeContainer, Snapshot, StartContainer
from pykubelet.kubelet.pods.spec import Kind
from pykubelet.kubelet.runtime.model import ContainerState
from pykubelet.objects.resources import qos_class

Json = dict[str, Any]

_LISTS = {
    Kind.INIT: "initContainerStatuses",
    Kind.SIDECAR: "initContainerStatuses",
    Kind.REGULAR: "containerStatuses",
    Kind.EPHEMERAL: "ephemeralContainerStatuses",
}

#: Conditions that this module computes; all others (readiness gates) belong to someone else.
OWNED_CONDITIONS = (
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
    "PodResizeInProgress",
)


def compose(s: Snapshot, facts: Facts, previous: Mapping[str, Any]) -> Json:
    """The status of the pod in `s`. `previous` is the last one composed (or adopted), may be {}."""
    status: Json = {"qosClass": previous.get("qosClass") or qos_class(s.pod)}
    if s.verdict and s.active_since is None and not s.runtime.sandboxes and not s.ended:
        return _refused(s, status)
    known = {c["name"]: c for each in set(_LISTS.values()) for c in previous.get(each) or ()}
    for kind, container in spec.containers(s.pod):
        said = _last_said(s, container, known.get(container["name"]))
        said = said or container_status(s, facts, kind, container)
        status.setdefault(_LISTS[kind], []).append(said)
    status["phase"] = _phase(s, status, previous.get("phase"))
    _reason(s, status, previous)
    _addresses(s, facts, status)
    if s.start_time:
        status["startTime"] = s.start_time
    generation = s.pod["metadata"].get("generation")
    if generation is not None:
        status["observedGeneration"] = generation
    status["conditions"] = _conditions(s, facts, status, previous.get("conditions") or [])
    return status


def _last_said(s: Snapshot, container: Json, known: Json | None) -> Json | None:
    """Of a pod at its end whose dead containers are collected: what was last known of this one."""
    collected = s.runtime.latest(container["name"]) is None
    return known if collected and (s.ended or s.verdict) else None


def _refused(s: Snapshot, status: Json) -> Json:
    """Of a pod that the node never took up there is nothing to say but why."""
    assert s.verdict
    return {
        **status,
        "phase": "Failed",
        "reason": s.verdict.reason,
        "message": s.verdict.message,
    }


# -- phase ------------------------------------------------------------------------------------


def _phase(s: Snapshot, status: Json, previous: str | None) -> str:
    if previous in TERMINAL:
        return previous  # nothing comes back from there
    ended = "Failed" if s.verdict else s.ended or lifecycle.outcome(s)
    if ended and not _may_run(s):
        return ended
    if not _initialized(s, status):
        return "Pending"
    regular = status.get("containerStatuses") or []
    if any("waiting" in c["state"] and not c["lastState"] for c in regular):
        return "Pending"
    return "Running"


def _may_run(s: Snapshot) -> bool:
    """Something of the pod runs, or may do so in a moment: it is not at its end yet."""
    live = any(c.state is not ContainerState.EXITED for c in s.runtime.containers)
    return live or any(isinstance(u.action, StartContainer) for u in s.busy.values())


def _reason(s: Snapshot, status: Json, previous: Mapping[str, Any]) -> None:
    if s.verdict:
        status["reason"], status["message"] = s.verdict.reason, s.verdict.message
    elif previous.get("phase") in TERMINAL and previous.get("reason"):
        status["reason"], status["message"] = previous["reason"], previous.get("message", "")


def _addresses(s: Snapshot, facts: Facts, status: Json) -> None:
    if facts.host_ips:
        status["hostIP"] = facts.host_ips[0]
        status["hostIPs"] = [{"ip": ip} for ip in facts.host_ips]
    sandbox = s.runtime.sandbox
    ips = facts.host_ips if spec.host_network(s.pod) else (sandbox.ips if sandbox else ())
    if sandbox and ips and not s.released:
        status["podIP"] = ips[0]
        status["podIPs"] = [{"ip": ip} for ip in ips]


# -- conditions -------------------------------------------------------------------------------


def _conditions(s: Snapshot, facts: Facts, status: Json, previous: list[Json]) -> list[Json]:
    said = (s.pod.get("status") or {}).get("conditions") or []
    foreign = {c["type"]: c for c in (*previous, *said) if c["type"] not in OWNED_CONDITIONS}
    containers_ready = _containers_ready(s, status)
    wanted = [
        _condition("PodReadyToStartContainers", _ready_to_start(s)),
        _initialized_condition(s, status),
        _ready(s, containers_ready, foreign),
        containers_ready,
        _condition("PodScheduled", True),
        *_resizing(s),
    ]
    generation = s.pod["metadata"].get("generation")
    result = []
    for condition in wanted:
        if generation is not None:
            condition["observedGeneration"] = generation
        result.append(_since(condition, previous, rfc3339(s.wall)))
    return result + list(foreign.values())


def _resizing(s: Snapshot) -> list[Json]:
    """KEP-1287: there while some container's limits are not what its spec says, gone after."""
    busy = any(isinstance(u.action, ResizeContainer) for u in s.busy.values())
    if not s.resize and not busy:
        return []
    troubles = [s.failures[key] for key in s.failures if key.startswith("ResizeContainer:")]
    if troubles:
        return [_condition("PodResizeInProgress", True, "Error", troubles[0].message)]
    return [_condition("PodResizeInProgress", True)]


def _since(condition: Json, previous: list[Json], now: str) -> Json:
    for old in previous:
        if old["type"] == condition["type"] and old["status"] == condition["status"]:
            return {**condition, "lastTransitionTime": old.get("lastTransitionTime", now)}
    return {**condition, "lastTransitionTime": now}


def _condition(kind: str, true: bool, reason: str = "", message: str = "") -> Json:
    condition: Json = {"type": kind, "status": "True" if true else "False", "lastProbeTime": None}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def _ready_to_start(s: Snapshot) -> bool:
    sandbox = s.runtime.sandbox
    return bool(
        sandbox and sandbox.ready and (sandbox.ips or spec.host_network(s.pod)) and not s.released
    )


def _incomplete_init(s: Snapshot, status: Json) -> list[str]:
    """Init containers that have not succeeded, sidecars that have not started."""
    done = any("running" in c["state"] or c["lastState"] or "terminated" in c["state"]
               for c in status.get("containerStatuses") or [])  # fmt: skip
    if done:
        return []  # regular containers have run, so initialization is behind us
    kinds = {c["name"]: kind for kind, c in spec.containers(s.pod)}
    return [
        c["name"]
        for c in status.get("initContainerStatuses") or []
        if not (c["started"] if kinds[c["name"]] is Kind.SIDECAR else c["ready"])
    ]


def _initialized(s: Snapshot, status: Json) -> bool:
    return not _incomplete_init(s, status)


def _initialized_condition(s: Snapshot, status: Json) -> Json:
    if status["phase"] == "Succeeded":
        return _condition("Initialized", True, "PodCompleted")
    names = _incomplete_init(s, status)
    if not names:
        return _condition("Initialized", True)
    return _condition(
        "Initialized",
        False,
        "ContainersNotInitialized",
        f"containers with incomplete status: [{' '.join(names)}]",
    )


def _containers_ready(s: Snapshot, status: Json) -> Json:
    if status["phase"] in TERMINAL:
        reason = "PodCompleted" if status["phase"] == "Succeeded" else "PodFailed"
        return _condition("ContainersReady", False, reason)
    sidecars = {c["name"] for kind, c in spec.containers(s.pod) if kind is Kind.SIDECAR}
    counted = [
        *(c for c in status.get("initContainerStatuses") or [] if c["name"] in sidecars),
        *(status.get("containerStatuses") or []),
    ]
    unready = [c["name"] for c in counted if not c["ready"]]
    if not unready:
        return _condition("ContainersReady", True)
    return _condition(
        "ContainersReady",
        False,
        "ContainersNotReady",
        f"containers with unready status: [{' '.join(unready)}]",
    )


def _ready(s: Snapshot, containers_ready: Json, foreign: Mapping[str, Json]) -> Json:
    if containers_ready["status"] != "True":
        return {**containers_ready, "type": "Ready"}
    values = {kind: c["status"] for kind, c in foreign.items()}
    missing = []
    for gate in s.pod["spec"].get("readinessGates") or ():
        kind = gate["conditionType"]
        if kind not in values:
            missing.append(
                f'corresponding condition of pod readiness gate "{kind}" does not exist.'
            )
        elif values[kind] != "True":
            missing.append(
                f'the status of pod readiness gate "{kind}" is not "True", but {values[kind]}'
            )
    if missing:
        return _condition("Ready", False, "ReadinessGatesNotReady", ", ".join(missing))
    return _condition("Ready", True)

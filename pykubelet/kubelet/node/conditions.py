"""The node's conditions, decided from facts.

The node is ready when the runtime answers and its network is set up: no single pod, hanging or not,
has a say in it. Reasons and messages are the ones that upstream's tools and people know
(API reference, NodeCondition). Pure; `status` puts the result into the Node.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pykubelet.clock import rfc3339

Json = dict[str, Any]

MEMORY, DISK, PID = "MemoryPressure", "DiskPressure", "PIDPressure"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of the node now. `runtime_answers` is about the runtime itself, not its pods.

    `pressures` are the names of the pressure conditions in force, as `eviction` decided them.
    `problems` are further sentences that keep the node from being ready.
    """

    runtime_answers: bool = True
    runtime_message: str = ""
    network_ready: bool = True
    network_message: str = ""
    pressures: frozenset[str] = frozenset()
    shutting_down: bool = False
    problems: tuple[str, ...] = ()


_PRESSURE = (
    (MEMORY, "KubeletHasInsufficientMemory", "kubelet has insufficient memory available",
     "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    (DISK, "KubeletHasDiskPressure", "kubelet has disk pressure",
     "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    (PID, "KubeletHasInsufficientPID", "kubelet has insufficient PID available",
     "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)  # fmt: skip


def conditions(facts: Facts, previous: Iterable[Json], now: float) -> list[Json]:
    """v1.NodeCondition of each kind. `previous` are those reported last, `now` in wall seconds.

    A condition's transition time moves only when its status does; conditions of other kinds, made
    by others, are kept as they are.
    """
    before = {c["type"]: c for c in previous}
    made = [_ready(facts)]
    for kind, bad, why_bad, good, why_good in _PRESSURE:
        pressed = kind in facts.pressures
        made.append(_condition(kind, pressed, bad if pressed else good,
                               why_bad if pressed else why_good))  # fmt: skip
    made.append(_network(facts))
    stamped = [_stamp(c, before.get(c["type"]), now) for c in made]
    ours = {c["type"] for c in made}
    return [*(c for kind, c in before.items() if kind not in ours), *stamped]


def changed(old: Iterable[Json], new: Iterable[Json]) -> list[Json]:
    """Those whose status, reason or message differ: worth a line in the log, and a report."""
    before = {c["type"]: c for c in old}
    return [
        c
        for c in new
        if any(
            c.get(k) != before.get(c["type"], {}).get(k) for k in ("status", "reason", "message")
        )
    ]


def is_ready(found: Iterable[Json]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in found)


def steady(status: Json) -> Json:
    """A v1.NodeStatus without its heartbeats: what is worth a write when it changes."""
    kept = [
        {key: value for key, value in condition.items() if key != "lastHeartbeatTime"}
        for condition in status["conditions"]
    ]
    return {**status, "conditions": kept}


def _ready(facts: Facts) -> Json:
    problems = []
    if not facts.runtime_answers:
        problems.append(_with("container runtime is down", facts.runtime_message))
    elif not facts.network_ready:
        problems.append(_with("container runtime network not ready", facts.network_message))
    if facts.shutting_down:
        problems.append("node is shutting down")
    problems.extend(facts.problems)
    if not problems:
        return _condition("Ready", True, "KubeletReady", "kubelet is posting ready status")
    message = problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]"
    return _condition("Ready", False, "KubeletNotReady", message)


def _network(facts: Facts) -> Json:
    if facts.network_ready or not facts.runtime_answers:
        return _condition("NetworkUnavailable", False, "NetworkPluginReady",
                          "the pod network is set up")  # fmt: skip
    message = _with("the pod network is not set up", facts.network_message)
    return _condition("NetworkUnavailable", True, "NetworkPluginNotReady", message)


def _with(what: str, why: str) -> str:
    return f"{what}: {why}" if why else what


def _condition(kind: str, status: bool, reason: str, message: str) -> Json:
    return {"type": kind, "status": str(status), "reason": reason, "message": message}


def _stamp(made: Json, before: Json | None, now: float) -> Json:
    same = before is not None and before.get("status") == made["status"]
    since = before.get("lastTransitionTime") if before and same else None
    return {
        **made,
        "lastHeartbeatTime": rfc3339(now),
        "lastTransitionTime": since or rfc3339(now),
    }

"""A pod in one row: what state it is in, in one word, is the hard part.

The word is the reason of the first thing that keeps the pod from running: its init containers in
order, then its containers, then its phase.
"""

from __future__ import annotations

from typing import Any

from pykubelet.apiserver.printing.cells import NONE, age, at, condition
from pykubelet.clock import from_rfc3339

Json = dict[str, Any]


def row(pod: Json, now: float) -> list[Any]:
    """Ready, Status, Restarts, Age, IP, Node, Nominated Node, Readiness Gates."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    restarts, restarted_at = 0, 0.0
    sidecars = {
        c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"
    }
    initializing = _initializing(pod, sidecars)
    ready = sum(bool(s.get("started") and s.get("ready"))
                for s in status.get("initContainerStatuses") or ()
                if s.get("name") in sidecars)  # fmt: skip
    word = initializing or status.get("reason") or status.get("phase") or ""
    counted = [
        s for s in status.get("initContainerStatuses") or ()
        if initializing or s.get("name") in sidecars
    ]  # fmt: skip
    if not initializing:
        word, running_ready = _running(status, word)
        ready += running_ready
        counted += status.get("containerStatuses") or ()
    for one in counted:
        restarts += one.get("restartCount", 0)
        finished = at(one, "lastState.terminated.finishedAt")
        if finished:
            restarted_at = max(restarted_at, from_rfc3339(finished))
    if at(pod, "metadata.deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            word = "Unknown"
        elif status.get("phase") not in ("Failed", "Succeeded"):
            word = "Terminating"
    shown = str(restarts)
    if restarts and restarted_at:
        from pykubelet.apiserver.printing.cells import duration

        shown = f"{restarts} ({duration(now - restarted_at)} ago)"
    total = len(spec.get("containers") or ()) + len(sidecars)
    addresses = status.get("podIPs") or ()
    gates = spec.get("readinessGates") or ()
    passed = sum(condition(pod, g["conditionType"]).get("status") == "True" for g in gates)
    return [
        f"{ready}/{total}",
        word,
        shown,
        age(at(pod, "metadata.creationTimestamp"), now),
        addresses[0].get("ip") if addresses else status.get("podIP") or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        f"{passed}/{len(gates)}" if gates else NONE,
    ]


def _initializing(pod: Json, sidecars: set[str]) -> str:
    """`Init:...`, while init containers are not through."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    total = len(spec.get("initContainers") or ())
    if condition(pod, "Initialized").get("status") == "True":
        return ""
    for index, one in enumerate(status.get("initContainerStatuses") or ()):
        state = one.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting")
        if terminated and terminated.get("exitCode") == 0:
            continue
        if one.get("name") in sidecars and one.get("started"):
            continue
        if terminated:
            if terminated.get("reason"):
                return f"Init:{terminated['reason']}"
            if terminated.get("signal"):
                return f"Init:Signal:{terminated['signal']}"
            return f"Init:ExitCode:{terminated.get('exitCode', 0)}"
        if waiting and waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{total}"
    return ""


def _running(status: Json, word: str) -> tuple[str, int]:
    """The word of the containers that should be running, and how many are ready."""
    ready, any_running = 0, False
    for one in reversed(status.get("containerStatuses") or ()):
        state = one.get("state") or {}
        waiting, terminated = state.get("waiting"), state.get("terminated")
        if waiting and waiting.get("reason"):
            word = waiting["reason"]
        elif terminated:
            word = terminated.get("reason") or (
                f"Signal:{terminated['signal']}"
                if terminated.get("signal")
                else f"ExitCode:{terminated.get('exitCode', 0)}"
            )
        elif one.get("ready") and "running" in state:
            any_running = True
            ready += 1
    if word == "Completed" and any_running:
        conditions = status.get("conditions") or ()
        is_ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
        word = "Running" if is_ready else "NotReady"
    return word, ready

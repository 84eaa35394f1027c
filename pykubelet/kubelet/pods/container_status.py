"""What is reported of one container: its v1.ContainerStatus, from values. Pure.

Neighbour of `status`, which puts the containers' states together to a pod's. Reasons and messages
are upstream's, since people and controllers match on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pykubelet.clock import rfc3339
from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.pods.snapshot import Snapshot, health_of, start_key
from pykubelet.kubelet.pods.spec import Kind
from pykubelet.kubelet.probes.schedule import ProbeResult
from pykubelet.kubelet.runtime.model import Container, ContainerState

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a status needs beside the snapshot. `messages` are termination messages by container
    id; `resources` are those in force, by container name, in the API's words."""

    runtime_name: str = "containerd"
    host_ips: tuple[str, ...] = ()
    messages: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, Json] = field(default_factory=dict)
    #: Delay in force by container name, for the message of a crash loop.
    backoff: Mapping[str, float] = field(default_factory=dict)


def container_status(s: Snapshot, facts: Facts, kind: Kind, container: Json) -> Json:
    name = container["name"]
    attempts = [c for c in s.runtime.containers if c.name == name]
    latest = attempts[0] if attempts else None
    previous = attempts[1] if len(attempts) > 1 else None
    health = health_of(s, container)
    running = latest is not None and _runs(s, container, latest)
    status: Json = {
        "name": name,
        "image": container.get("image", ""),
        "imageID": latest.image_ref or latest.image_id if latest else "",
        "restartCount": latest.attempt if latest else 0,
        "started": running and health.started,
        "ready": _ready(kind, latest, running, health),
        "state": {},
        "lastState": {},
    }
    if latest is None:
        status["state"] = {"waiting": _waiting(s, facts, kind, container)}
    else:
        status["image"] = latest.image or status["image"]
        status["containerID"] = f"{facts.runtime_name}://{latest.id}"
        _fill_states(s, facts, kind, container, latest, previous, status)
        if running:
            _fill_facts(container, facts, latest, status)
    return status


def _runs(s: Snapshot, container: Json, latest: Container) -> bool:
    """Running, as the API means it: before its postStart hook is over, a container waits."""
    hooked = "postStart" in (container.get("lifecycle") or {})
    starting = hooked and start_key(container["name"]) in s.busy
    return latest.state is ContainerState.RUNNING and not starting


def _ready(kind: Kind, latest: Container | None, running: bool, health: ProbeResult) -> bool:
    if kind is Kind.INIT:
        ended = latest is not None and latest.state is ContainerState.EXITED
        return ended and latest is not None and latest.exit_code == 0
    return kind is not Kind.EPHEMERAL and running and health.started and health.ready


def _fill_states(
    s: Snapshot,
    facts: Facts,
    kind: Kind,
    container: Json,
    latest: Container,
    previous: Container | None,
    status: Json,
) -> None:
    if previous is not None and previous.state is ContainerState.EXITED:
        status["lastState"] = {"terminated": _terminated(facts, previous)}
    if _runs(s, container, latest):
        status["state"] = {"running": {"startedAt": rfc3339(latest.started_at / 1e9)}}
    elif latest.state is ContainerState.EXITED:
        waits = _held_up(s, facts, container)
        ended = {"terminated": _terminated(facts, latest)}
        if waits:
            status["state"], status["lastState"] = {"waiting": waits}, ended
        else:
            status["state"] = ended
    else:
        status["state"] = {"waiting": _waiting(s, facts, kind, container)}


def _fill_facts(container: Json, facts: Facts, latest: Container, status: Json) -> None:
    requested = (container.get("resources") or {}).get("requests")
    if requested:
        status["allocatedResources"] = requested
    status["resources"] = facts.resources.get(container["name"], container.get("resources") or {})
    if latest.user:
        uid, gid, groups = latest.user
        status["user"] = {"linux": {"uid": uid, "gid": gid, "supplementalGroups": list(groups)}}
    mounts = [
        {
            "name": mount["name"],
            "mountPath": mount["mountPath"],
            **({"readOnly": True} if mount.get("readOnly") else {}),
            **({"recursiveReadOnly": "Disabled"} if mount.get("readOnly") else {}),
        }
        for mount in container.get("volumeMounts") or ()
    ]
    if mounts:
        status["volumeMounts"] = mounts


def _waiting(s: Snapshot, facts: Facts, kind: Kind, container: Json) -> Json:
    held_up = _held_up(s, facts, container)
    if held_up:
        return held_up
    if kind is Kind.REGULAR and not spec.init_containers(s.pod):
        return {"reason": "ContainerCreating"}
    return {"reason": "PodInitializing"}


def _held_up(s: Snapshot, facts: Facts, container: Json) -> Json | None:
    """Why a start that is due has not happened, or None."""
    name = container["name"]
    failure = s.failures.get(start_key(name))
    backs_off = s.restart_at.get(name, 0.0) > s.now
    # What failed shows until it is tried again, or longer where nothing else is to be said.
    if failure and (failure.until > s.now or not backs_off):
        return {"reason": failure.reason, "message": failure.message}
    if backs_off and s.wanted and not s.verdict and not s.ended:
        delay = _go_duration(facts.backoff.get(name, 0.0))
        pod = f"{spec.name(s.pod)}_{spec.namespace(s.pod)}({spec.uid(s.pod)})"
        return {
            "reason": "CrashLoopBackOff",
            "message": f"back-off {delay} restarting failed container={name} pod={pod}",
        }
    return None


def _terminated(facts: Facts, ended: Container) -> Json:
    reason = ended.reason or ("Completed" if ended.exit_code == 0 else "Error")
    terminated: Json = {
        "exitCode": ended.exit_code,
        "reason": reason,
        "startedAt": rfc3339(ended.started_at / 1e9) if ended.started_at else None,
        "finishedAt": rfc3339(ended.finished_at / 1e9) if ended.finished_at else None,
        "containerID": f"{facts.runtime_name}://{ended.id}",
    }
    message = facts.messages.get(ended.id) or ended.message
    if message:
        terminated["message"] = message
    return terminated


def _go_duration(seconds: float) -> str:
    """As Go prints it: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"

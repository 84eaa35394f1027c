"""What the agent remembers of a pod between its turns.

Everything here can be lost: after a restart of the agent it is found again from the runtime, the
folders, the manifests and the last known status (`memory`). `manager` owns the records; their
fields are read and written under its lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.pods.snapshot import (
    Action,
    Decision,
    Failure,
    KillContainer,
    Prepare,
    Snapshot,
    Underway,
    Verdict,
)
from pykubelet.kubelet.probes.hooks import Interrupt
from pykubelet.kubelet.runtime import labels
from pykubelet.kubelet.runtime.model import PodRuntime

Json = dict[str, Any]

TERMINAL = ("Succeeded", "Failed")
_STATUSES = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")


@dataclass(slots=True)
class Record:
    pod: Json
    #: Which source wants it: `file`, `api`; empty for one that only the runtime knows of.
    source: str
    wanted: bool = True
    #: Wanted anew, by (source, pod), while its end is carried through.
    again: tuple[str, Json] | None = None
    #: The node has taken it: it holds its name and its resources.
    admitted: bool = False
    active_since: float | None = None
    start_time: str = ""
    verdict: Verdict | None = None
    ended: str = ""
    grace: int | None = None
    terminating_since: float | None = None
    mounted: Mapping[str, Any] | None = None
    released: bool = False
    removed: bool = False
    terminated: bool = False
    #: The runtime did not answer at the last turn.
    silent: bool = False
    sandbox_floor: int = 0
    container_floors: dict[str, int] = field(default_factory=dict)
    busy: dict[str, Underway] = field(default_factory=dict)
    interrupts: dict[str, Interrupt] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
    #: By container id: what we did to it, or know of it.
    replaced: set[str] = field(default_factory=set)
    messages: dict[str, str] = field(default_factory=dict)
    resized: dict[str, Json] = field(default_factory=dict)
    runtime: PodRuntime = field(default_factory=lambda: PodRuntime(""))
    snapshot: Snapshot | None = None
    decision: Decision | None = None
    status: Json = field(default_factory=dict)

    @property
    def uid(self) -> str:
        return spec.uid(self.pod)

    @property
    def full_name(self) -> str:
        return spec.full_name(self.pod)

    def terminate(self, now: float) -> None:
        """Its end has been asked for, or has come: what is being started gives up."""
        if self.terminating_since is None:
            self.terminating_since = now
        for key, underway in self.busy.items():
            if not isinstance(underway.action, KillContainer):
                self.interrupts[key].set()

    # -- actions ----------------------------------------------------------------------------------

    def begin(self, action: Action, now: float) -> Interrupt:
        """Take note that `action` is under way. A quicker kill breaks off the slower one's hook."""
        if isinstance(action, KillContainer):
            for key, other in self.busy.items():
                slower = other.action
                if isinstance(slower, KillContainer) and slower.container == action.container:
                    self.interrupts[key].set()
            if action.replace:
                self.replaced.add(action.container)
        interrupt = Interrupt()
        self.busy[action.key] = Underway(action, now)
        self.interrupts[action.key] = interrupt
        return interrupt

    def over(self, action: Action) -> None:
        self.busy.pop(action.key, None)
        self.interrupts.pop(action.key, None)

    def fail(self, action: Action, reason: str, message: str, until: float) -> None:
        self.failures[action.key] = Failure(reason, message, until)
        self.tries[action.key] = self.tries.get(action.key, 0) + 1

    def succeed(self, action: Action) -> None:
        self.failures.pop(action.key, None)
        self.tries.pop(action.key, None)

    def retry(self, *, only_configuration: bool = False) -> bool:
        """Forget what failed, since its cause may be gone; whether there was anything.

        `only_configuration`: of volumes and containers that wait for an object they refer to.
        """
        keys = [
            key
            for key, failure in self.failures.items()
            if not only_configuration
            or key == Prepare().key
            or failure.reason == "CreateContainerConfigError"
        ]
        for key in keys:
            del self.failures[key]
            self.tries.pop(key, None)
        return bool(keys)

    # -- what was known before --------------------------------------------------------------------

    def resume(self, status: Json) -> None:
        """Go on from the last known status, which an earlier agent has left."""
        self.status = status
        self.start_time = status.get("startTime") or ""
        if status.get("phase") in TERMINAL:
            self.ended, self.admitted = status["phase"], True
            if status.get("reason"):
                self.verdict = Verdict(status["reason"], status.get("message", ""))
        for each in _statuses(status):
            for state in (each.get("state") or {}, each.get("lastState") or {}):
                ended = state.get("terminated") or {}
                if ended.get("message"):
                    self.messages[_id(ended)] = ended["message"]

    def last_known(self, container_id: str) -> tuple[bool, bool]:
        """Whether this very container had started and was ready, as far as was said."""
        for each in _statuses(self.status):
            if _id(each) == container_id:
                return bool(each.get("started")), bool(each.get("ready"))
        return False, False

    def count_lost(self) -> None:
        """Containers that were reported and are gone from the runtime count as attempts all the
        same: numbers of theirs don't come again."""
        here = {c.id for c in self.runtime.containers}
        for each in _statuses(self.status):
            name, count = each["name"], each.get("restartCount") or 0
            if each.get("containerID") and _id(each) not in here:
                state, last = each.get("state") or {}, each.get("lastState") or {}
                ran = "running" in state or "terminated" in state
                ran |= _id(last.get("terminated") or {}) == _id(each)
                floor = max(self.container_floors.get(name, 0), count + (1 if ran else 0))
                self.container_floors[name] = floor

    def prune(self) -> None:
        """Forget what was known of containers and sandboxes that are gone."""
        ids = {c.id for c in self.runtime.containers}
        self.replaced &= ids
        self.stopped &= {b.id for b in self.runtime.sandboxes}
        self.messages = {id: each for id, each in self.messages.items() if id in ids}
        self.resized = {id: each for id, each in self.resized.items() if id in ids}


def _statuses(status: Json) -> Iterator[Json]:
    for kind in _STATUSES:
        yield from status.get(kind) or ()


def _id(status: Json) -> str:
    return (status.get("containerID") or "").partition("://")[2]


def orphan(runtime: PodRuntime) -> Json:
    """A pod's outline, made from the labels of what runs of it, enough to end it properly."""
    containers: dict[str, Json] = {}
    grace = spec.DEFAULT_GRACE_SECONDS
    for c in runtime.containers:
        outline: Json = {"name": c.name, "image": c.image}
        hook = c.annotations.get(labels.PRE_STOP_HANDLER)
        if hook:
            outline["lifecycle"] = {"preStop": json.loads(hook)}
        containers.setdefault(c.name, outline)
        text = c.annotations.get(labels.POD_TERMINATION_GRACE_PERIOD, "")
        grace = int(text) if text.isdigit() else grace
    source = {}
    if runtime.sandbox:
        source = {
            key: value
            for key, value in runtime.sandbox.annotations.items()
            if key in (spec.CONFIG_SOURCE, spec.CONFIG_HASH)
        }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": runtime.name,
            "namespace": runtime.namespace,
            "uid": runtime.uid,
            "annotations": source,
        },
        "spec": {
            "containers": list(containers.values()),
            "terminationGracePeriodSeconds": grace,
        },
    }

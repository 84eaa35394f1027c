"""What the agent remembers of a pod between its turns.

Everything here can be lost: after a restart of the agent it is found again from the runtime, the
folders and the manifests. `manager` owns the records; their fields are read and written under its
lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.pods.snapshot import Action, Decision, Failure, Snapshot, Verdict
from pykubelet.kubelet.probes.hooks import Interrupt
from pykubelet.kubelet.runtime import labels
from pykubelet.kubelet.runtime.model import PodRuntime

Json = dict[str, Any]


@dataclass(slots=True)
class Record:
    pod: Json
    #: Which source wants it: `file`, `api`; empty for one that only the runtime knows of.
    source: str
    wanted: bool = True
    #: The same pod wanted anew while its end was under way: begun when that is complete.
    successor: Json | None = None
    admitted: bool = False
    active_since: float | None = None
    start_time: str = ""
    verdict: Verdict | None = None
    grace: int | None = None
    terminating_since: float | None = None
    mounted: Mapping[str, Any] | None = None
    released: bool = False
    terminated: bool = False
    attempt_floor: int = 0
    busy: dict[str, Interrupt] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    stopped: set[str] = field(default_factory=set)
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

    def interrupt(self) -> None:
        """Have hooks and waits that are under way give up."""
        for event in self.busy.values():
            event.set()

    def fail(self, action: Action, reason: str, message: str, until: float) -> None:
        self.failures[action.key] = Failure(reason, message, until)
        self.tries[action.key] = self.tries.get(action.key, 0) + 1

    def succeed(self, action: Action) -> None:
        self.failures.pop(action.key, None)
        self.tries.pop(action.key, None)


def orphan(runtime: PodRuntime) -> Json:
    """A pod's outline, made from the labels of what runs of it, enough to end it properly."""
    grace = next(
        (
            int(value)
            for c in runtime.containers
            if (value := c.annotations.get(labels.POD_TERMINATION_GRACE_PERIOD, "")).isdigit()
        ),
        spec.DEFAULT_GRACE_SECONDS,
    )
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
        "spec": {"containers": [], "terminationGracePeriodSeconds": grace},
    }

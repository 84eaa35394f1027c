"""The values between the loop's steps: what is known of one pod, and what is to be done about it.

`manager` makes a `Snapshot`, `lifecycle` turns it into a `Decision`, `perform` carries its actions
out. Nothing here has behaviour beyond naming itself. Instants called `now`, `until` or `look_at`
are monotonic seconds; `wall` is seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from pykubelet.kubelet.probes.schedule import ProbeResult
from pykubelet.kubelet.runtime.model import PodRuntime

Json = dict[str, Any]


class Phase(Enum):
    """Where a pod stands on this node, whatever its containers do."""

    WAITING = "waiting to start"
    SYNCING = "syncing"
    TERMINATING = "terminating"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a pod has to end although it is still wanted: rejected, evicted, past its deadline."""

    reason: str
    message: str
    #: Seconds that its containers get to stop; None leaves it to the pod's own spec.
    grace: int | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A step that did not work. Not tried again before `until`."""

    reason: str
    message: str
    until: float


@dataclass(frozen=True, slots=True)
class Action:
    """Base of all actions. `key` is what at most one of may be under way for a pod."""

    @property
    def key(self) -> str:
        return type(self).__name__


@dataclass(frozen=True, slots=True)
class Underway:
    """An action that has been begun at monotonic `since` and has not ended."""

    action: Action
    since: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that the decision on one pod rests on, as it was at one moment.

    What is in `busy` was under way when the look at `runtime` began, or still is: an action that
    ended in between may or may not show in `runtime`, so nobody may conclude from its absence.
    """

    pod: Json
    runtime: PodRuntime
    now: float
    wall: float
    wanted: bool = True
    #: When this node took the pod up: monotonic, and as stamped.
    active_since: float | None = None
    start_time: str = ""
    #: Overrides the grace period of the spec where someone asked for a quicker end.
    grace: int | None = None
    #: Monotonic instant at which the end was asked for.
    terminating_since: float | None = None
    verdict: Verdict | None = None
    #: `Succeeded` or `Failed`, once it has run to its end: nothing brings it back.
    ended: str = ""
    #: The UID of the pod of the same name that is still here.
    predecessor: str = ""
    #: Volumes are mounted and the cgroup is made.
    prepared: bool = False
    #: By action key.
    busy: Mapping[str, Underway] = field(default_factory=dict)
    #: By action key.
    failures: Mapping[str, Failure] = field(default_factory=dict)
    #: By container name: not started again before this instant.
    restart_at: Mapping[str, float] = field(default_factory=dict)
    health: Mapping[str, ProbeResult] = field(default_factory=dict)
    #: Sandboxes for which StopPodSandbox has succeeded; stopping again would be harmless.
    stopped: Set[str] = frozenset()
    #: Containers that were stopped only to be replaced: whatever their policy, they come back.
    replaced: Set[str] = frozenset()
    #: No sandbox attempt below this: the runtime says that the name is reserved.
    sandbox_floor: int = 0
    #: The same for containers, by name; also how often one was restarted whose dead are forgotten.
    container_floors: Mapping[str, int] = field(default_factory=dict)
    #: Deeds of the end that are done: volumes unmounted and cgroup gone; files and logs gone too.
    released: bool = False
    removed: bool = False
    #: In-place resize: by container name, which of `cpu` and `memory` it should have otherwise.
    resize: Mapping[str, Set[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prepare(Action):
    """Make the pod's folder, cgroup and volumes."""


@dataclass(frozen=True, slots=True)
class RunSandbox(Action):
    attempt: int


@dataclass(frozen=True, slots=True)
class StopSandbox(Action):
    """Stop what is left in a sandbox and give its addresses back."""

    sandbox: str

    @property
    def key(self) -> str:
        return f"StopSandbox:{self.sandbox}"


@dataclass(frozen=True, slots=True)
class RemoveSandbox(Action):
    """Remove a stopped sandbox with all its containers."""

    sandbox: str

    @property
    def key(self) -> str:
        return f"RemoveSandbox:{self.sandbox}"


@dataclass(frozen=True, slots=True)
class StartContainer(Action):
    """Pull, create and start one container, then run its postStart hook."""

    name: str
    attempt: int

    @property
    def key(self) -> str:
        return start_key(self.name)


@dataclass(frozen=True, slots=True)
class KillContainer(Action):
    """Run the preStop hook, ask to stop, and kill after `grace` seconds in all.

    `hook` is False for one that overtakes a slower kill, which has run the hook already.
    `replace` says that the container is to come back, whatever its restart policy.
    """

    name: str
    container: str
    grace: int
    message: str = ""
    hook: bool = True
    replace: bool = False

    @property
    def key(self) -> str:
        # One that overtakes is another deed than the one that is still waiting.
        return f"KillContainer:{self.container}" + ("" if self.hook else f":{self.grace}")


@dataclass(frozen=True, slots=True)
class RemoveContainer(Action):
    """Remove a container that never ran."""

    container: str

    @property
    def key(self) -> str:
        return f"RemoveContainer:{self.container}"


@dataclass(frozen=True, slots=True)
class ResizeContainer(Action):
    """Give a running container other CPU and memory limits."""

    name: str
    container: str

    @property
    def key(self) -> str:
        return f"ResizeContainer:{self.name}"


@dataclass(frozen=True, slots=True)
class Release(Action):
    """Unmount the volumes and remove the cgroup; `remove` also takes the pod's files and logs."""

    remove: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now, the one sentence that explains it, and when to look again unasked.

    `phase` is where the pod stands. Actions of one decision are independent of each other and
    may run side by side.
    """

    phase: Phase
    sentence: str
    actions: tuple[Action, ...] = ()
    look_at: float | None = None


def start_key(name: str) -> str:
    return f"StartContainer:{name}"


def health_of(s: Snapshot, container: Mapping[str, Any]) -> ProbeResult:
    """What a running container's probes say; before they were asked once, what that means."""
    known = s.health.get(container["name"])
    if known is not None:
        return known
    started = not container.get("startupProbe")
    return ProbeResult(started, started and not container.get("readinessProbe"), live=True)


def kill_under_way(s: Snapshot, container: str) -> Underway | None:
    """The quickest kill of this container that is under way, if any."""
    kills = [
        u
        for u in s.busy.values()
        if isinstance(u.action, KillContainer) and u.action.container == container
    ]
    return min(kills, key=dies_at, default=None)


def dies_at(kill: Underway) -> float:
    """The monotonic instant at which the grace of a kill is over."""
    assert isinstance(kill.action, KillContainer)
    return kill.since + kill.action.grace

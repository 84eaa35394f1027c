"""What the brain asks to be done. `acting` does it against the API server; a simulation does it to
its own world."""

from __future__ import annotations

from dataclasses import dataclass

from pykubelet.scheduler.plugins.volume_binding import VolumePlan
from pykubelet.scheduler.pods import PodInfo

UNSCHEDULABLE, SCHEDULER_ERROR = "Unschedulable", "SchedulerError"


@dataclass(frozen=True, slots=True)
class Bind:
    """Give the pod its node. To be answered by `bound` or `not_bound`."""

    pod: PodInfo
    node: str


@dataclass(frozen=True, slots=True)
class Prepare:
    """Write what the pod's volumes need first. To be answered by `prepared` or `not_bound`."""

    pod: PodInfo
    node: str
    volumes: VolumePlan


@dataclass(frozen=True, slots=True)
class Mark:
    """Write into the pod's status why it has no node; `nominated` None leaves that as it is."""

    pod: PodInfo
    reason: str
    message: str
    nominated: str | None = None


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Take a nomination back: somebody more important has got the place."""

    pod: PodInfo


@dataclass(frozen=True, slots=True)
class Evict:
    """Delete the pod, in favour of another."""

    pod: PodInfo
    node: str
    preemptor: PodInfo


@dataclass(frozen=True, slots=True)
class Tell:
    """An event about the pod."""

    pod: PodInfo
    kind: str
    reason: str
    message: str


Action = Bind | Prepare | Mark | Withdraw | Evict | Tell

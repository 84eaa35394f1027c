"""What a plugin is.

A plugin is a rule about pods and nodes. For one pod (in truth, for one template) it gives plain
functions over nodes: `filter` one that says why the pod can't run there, `score` one that says how
good a place it is. Where the rule has nothing to say about the pod it gives None, and costs
nothing. Such functions look at their node alone, and of the pod at its shape alone, so their
verdicts are kept until that node changes, for all pods of that shape. A rule about where *other*
pods are (affinity, spreading) gives a `Joint` instead, which is told of every pod that comes and
goes and is asked anew for each decision.

Names, weights, reasons and events are upstream's (the scheduling framework, KEP-624, and queueing
hints, KEP-4247).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

from pykubelet.scheduler.nodes import NodeInfo
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.snapshot import Snapshot

MAX_SCORE = 100


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a node, or any node at all, does not do."""

    plugin: str
    reasons: tuple[str, ...]
    resolvable: bool = True
    """Whether pods that leave the node could change it."""


NodeFilter = Callable[[NodeInfo], Rejection | None]
NodeScore = Callable[[NodeInfo], int]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has changed; see the names below. What it is about is given where known."""

    name: str
    node: NodeInfo | None = None
    pod: PodInfo | None = None
    kind: str = ""
    """Of an object of the catalog."""


NODE_ADD = "NodeAdd"
NODE_CHANGE = "NodeUpdate"
NODE_DELETE = "NodeDelete"
POD_ADD = "AssignedPodAdd"
POD_DELETE = "AssignedPodDelete"
POD_CHANGE = "AssignedPodUpdate"
OBJECT = "Object"
UNSCHEDULED_POD_CHANGE = "UnscheduledPodUpdate"

NODE_EVENTS = frozenset((NODE_ADD, NODE_CHANGE))
ROOM_EVENTS = frozenset((NODE_ADD, NODE_CHANGE, POD_DELETE, POD_CHANGE))


class Bar(NamedTuple):
    """Nodes whose label `key` has one of `values` (None: that don't have it) are forbidden."""

    key: str
    values: Container[str | None]
    rejection: Rejection


class Joint(Protocol):
    """A rule about where other pods are, for one template; it keeps its counts up to date."""

    def change(self, node: NodeInfo, pod: PodInfo, sign: int) -> None:
        """A pod has come to the node (1) or left it (-1)."""

    def bars(self) -> Sequence[Bar]:
        """What the rule forbids at this moment."""

    def scores(self, found: Sequence[int]) -> list[int] | None:
        """0 to 100 for each of the nodes by number; None where all are alike."""

    def fresh(self, view: Snapshot) -> bool:
        """Whether it still holds after the catalog has changed."""


class Plugin:
    """The base of all plugins; a method that a rule does not need stays as it is here."""

    name: ClassVar[str]
    #: Events that may make a pod schedulable that this plugin rejected.
    events: ClassVar[frozenset[str]] = ROOM_EVENTS
    #: Kinds of the catalog whose objects may do so.
    kinds: ClassVar[frozenset[str]] = frozenset()
    #: Whether the `max` or the `min` raw score becomes 100; None where they are 0 to 100 already.
    normalize: ClassVar[str | None] = None
    #: Whether the rule is about other pods, so that an event on one node can matter to another.
    about_others: ClassVar[bool] = False

    def prefilter(self, pod: PodInfo, view: Snapshot) -> Rejection | Collection[str] | None:
        """A reason why no node at all does, or the names of the only ones that might."""
        return None

    def filter(self, pod: PodInfo, view: Snapshot) -> NodeFilter | None:
        """What the rule says about nodes, for this pod."""
        return None

    def score(self, pod: PodInfo, view: Snapshot) -> NodeScore | None:
        """How good a node is, for this pod; looks at the node alone."""
        return None

    def joint(self, pod: PodInfo, view: Snapshot) -> Joint | None:
        """The rule about other pods, for this pod."""
        return None

    def hint(self, pod: PodInfo, event: Event, view: Snapshot) -> bool:
        """Whether the event may make this plugin let the pod pass. For an event of one node, it
        is what the rule says about that node now."""
        if event.node is not None:
            verdict = self.filter(pod, view)
            return verdict is None or verdict(event.node) is None
        return True


def normalized(raw: list[int], reverse: bool = False) -> list[int]:
    """Raw scores (0 or more) stretched so that the highest is 100; reversed, it becomes 0."""
    highest = max(raw, default=0)
    if highest == 0:
        return [MAX_SCORE] * len(raw) if reverse else raw
    if reverse:
        return [MAX_SCORE - MAX_SCORE * one // highest for one in raw]
    return [MAX_SCORE * one // highest for one in raw]

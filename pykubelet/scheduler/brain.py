"""The scheduler as a state machine: what is observed goes in, what to do comes out.

No I/O, no threads, no clock: `now` (monotonic seconds) is an argument, and the same calls give the
same actions. The loop around it observes, calls `turn` for one decision at a time, carries out the
actions, and reports how those went. Between a decision and its confirmation by the API server the
pod counts as being on its node; if the binding fails it is taken off again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pykubelet.scheduler import framework, preempting
from pykubelet.scheduler.actions import (
    SCHEDULER_ERROR,
    UNSCHEDULABLE,
    Action,
    Bind,
    Evict,
    Mark,
    Prepare,
    Tell,
    Withdraw,
)
from pykubelet.scheduler.deciding import Found, NotFound, decide
from pykubelet.scheduler.equivalence import Equivalence, Verdicts
from pykubelet.scheduler.framework import Event
from pykubelet.scheduler.hints import Hints
from pykubelet.scheduler.nodes import NodeFacts
from pykubelet.scheduler.plugins.volume_binding import SELECTED_NODE, VolumeBinding, ready
from pykubelet.scheduler.plugins.volumes import CLAIM, VOLUME
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.profile import Profile
from pykubelet.scheduler.queue import SchedulingQueue, Waiting
from pykubelet.scheduler.snapshot import Snapshot

Json = dict[str, Any]

SCHEDULED, NOT_SCHEDULED, ERROR = "scheduled", "unschedulable", "error"


@dataclass(frozen=True, slots=True)
class Turn:
    """One decision."""

    pod: PodInfo
    result: str
    sentence: str
    actions: tuple[Action, ...] = ()
    attempts: int = 1
    since: float = 0.0
    victims: int | None = None
    """How many pods are to leave; None where preemption was not tried."""


@dataclass(slots=True)
class _Preparing:
    """A pod whose volumes are being bound."""

    pod: PodInfo
    deadline: float
    claims: tuple[str, ...]
    marked: set[str] = field(default_factory=set)
    """Claims that were seen to be marked with the node; unmarked again means: could not be made."""
    written: bool = False


class Brain:
    def __init__(
        self,
        profiles: Mapping[str, Profile],
        *,
        first_backoff: float = 1.0,
        longest_backoff: float = 10.0,
        longest_wait: float = 300.0,
    ) -> None:
        """Seconds: between tries, and after which a pod is tried even if nothing has happened."""
        self.view = Snapshot()
        self._profiles = profiles
        self._equivalence = Equivalence(self.view)
        self._hints = Hints(self.view, profiles)
        self.queue = SchedulingQueue(
            self._hints.worth_trying,
            first_backoff=first_backoff,
            longest_backoff=longest_backoff,
            longest_wait=longest_wait,
        )
        self._start = 0
        self._preparing: dict[str, _Preparing] = {}
        self._unsaid: list[Turn] = []

    # -- observe ---------------------------------------------------------------------------------

    def pod(self, pod: PodInfo, now: float) -> None:
        """A pod that is not over, new or changed."""
        if pod.node:
            self._placed(pod, now)
        elif pod.scheduler not in self._profiles:
            return
        elif self._is_assumed(pod):
            waiting = self.queue.get(pod.key)
            if waiting is not None:
                waiting.pod = pod  # should the binding fail, this is what is tried again
        elif pod.terminating:
            self.pod_gone(pod.key, now)
        else:
            self._unplaced(pod, now)

    def pod_gone(self, key: str, now: float) -> None:
        """A pod was deleted, or has ended."""
        waiting = self.queue.drop(key)
        self._preparing.pop(key, None)
        if waiting is not None:
            self._release_volumes(waiting.pod)
            self._no_longer_nominated(waiting.pod, now)
        old = self.view.drop_pod(key)
        if old is not None:
            self._left(old, now)

    def node(self, facts: NodeFacts, now: float) -> None:
        known = self.view.node(facts.name) is not None
        if self.view.put_node(facts):
            name = framework.NODE_CHANGE if known else framework.NODE_ADD
            self.queue.happened(Event(name, node=self.view.node(facts.name)), now)
            self._stir(facts.name, now)

    def node_gone(self, name: str, now: float) -> None:
        self.view.drop_node(name)
        self.queue.happened(Event(framework.NODE_DELETE), now)
        self._stir(name, now)

    def thing(self, kind: str, key: str, object_: Json | None, now: float) -> None:
        """Something of the catalog, new or changed; None when it is gone."""
        catalog = self.view.catalog
        if object_ is None:
            catalog.drop(kind, key)
        else:
            catalog.put(kind, key, object_)
        if kind == VOLUME and (object_ is None or (object_["spec"].get("claimRef"))):
            catalog.reserved.pop(key, None)  # it says so itself now
        self.queue.happened(Event(framework.OBJECT, kind=kind), now)

    def _placed(self, pod: PodInfo, now: float) -> None:
        waiting = self.queue.drop(pod.key)
        self._preparing.pop(pod.key, None)
        if waiting is not None or pod.nominated:
            self._no_longer_nominated(pod, now)
        old = self.view.pod(pod.key)
        news = old is None or self.view.assumed(pod.key)
        if old is not None and (old.uid != pod.uid or old.node != pod.node):
            self.view.drop_pod(pod.key)
            self._left(old, now)
        self.view.put_pod(pod)
        if news:
            self.queue.happened(Event(framework.POD_ADD, pod=pod), now)
        elif old is not None and old.template is not pod.template:
            node = self.view.node(pod.node)
            self.queue.happened(Event(framework.POD_CHANGE, node=node, pod=pod), now)

    def _unplaced(self, pod: PodInfo, now: float) -> None:
        gated = bool(pod.gates) and self._profiles[pod.scheduler].gates
        if pod.nominated:
            known = self.view.nominated.get(pod.nominated, {}).get(pod.key)
            if known is None or known.template is not pod.template:
                self.view.nominate(pod, pod.nominated)
        if pod.key in self.queue:
            self.queue.update(pod, now, gated)
        else:
            self.queue.add(pod, now, gated)

    def _is_assumed(self, pod: PodInfo) -> bool:
        """Whether it is on its way to a node; an older word about it changes nothing."""
        if not self.view.assumed(pod.key):
            return False
        old = self.view.pod(pod.key)
        if old is not None and old.uid == pod.uid:
            return True
        self.view.drop_pod(pod.key)
        return False

    def _left(self, pod: PodInfo, now: float) -> None:
        node = self.view.node(pod.node)
        self.queue.happened(Event(framework.POD_DELETE, node=node, pod=pod), now)
        self._stir(pod.node, now)

    def _stir(self, node: str, now: float) -> None:
        """Something has changed where pods wait for room. Even if it does not help them they look
        again: what was kept free for them may be of no use to them any more, or not suffice. Those
        with rules about other pods do so wherever they wait."""
        for name, waiting in list(self.view.nominated.items()):
            for key, pod in list(waiting.items()):
                if name == node or pod.template.affinity or pod.template.spread:
                    self.queue.activate(key, now)

    def _no_longer_nominated(self, pod: PodInfo, now: float) -> None:
        for name, waiting in list(self.view.nominated.items()):
            if pod.key in waiting:
                self.view.nominate(pod, "")
                if name != pod.node:
                    node = self.view.node(name)
                    self.queue.happened(Event(framework.POD_DELETE, node=node, pod=pod), now)

    # -- decide ----------------------------------------------------------------------------------

    def turn(self, now: float) -> Turn | None:
        """One decision, or None where there is nothing to decide at this moment."""
        if self._preparing:
            self._look_at_volumes(now)
        if self._unsaid:
            return self._unsaid.pop(0)
        waiting = self.queue.pop(now)
        if waiting is None:
            return None
        pod = waiting.pod
        profile = self._profiles[pod.scheduler]
        verdicts = self._equivalence.verdicts(pod, profile)
        result: Found | NotFound | None = self._failed_alike(pod, verdicts)
        if result is None:
            result = decide(pod, self.view, verdicts, profile, self._start)
            self._start = (self._start + result.evaluated) % max(len(self.view), 1)
        if isinstance(result, Found):
            return self._found(waiting, result, profile, now)
        return self._not_found(waiting, result, verdicts, profile, now)

    def due(self) -> float | None:
        """When `turn` may next have something to do without anything being observed."""
        times = [p.deadline for p in self._preparing.values()]
        if self._unsaid:
            return 0.0
        due = self.queue.due()
        return min(times if due is None else [*times, due], default=None)

    def _found(self, waiting: Waiting, found: Found, profile: Profile, now: float) -> Turn:
        pod = waiting.pod
        binder = profile.plugin(VolumeBinding.name)
        node = self.view.node(found.node)
        assert node is not None
        assumed = replace(pod, node=found.node)
        action: Action = Bind(assumed, found.node)
        if isinstance(binder, VolumeBinding) and pod.shape.has_claims:
            plan = binder.plan(pod, node, self.view)
            self.view.catalog.reserved.update(plan.bind)
            if plan or not ready(pod, self.view):
                claims = tuple(f"{pod.namespace}/{name}" for name, _ in pod.claims())
                deadline = now + profile.bind_timeout
                self._preparing[pod.key] = _Preparing(assumed, deadline, claims)
                action = Prepare(assumed, found.node, plan)
        self.view.nominate(pod, "")
        self.view.assume(assumed)
        self._stir(found.node, now)
        sentence = f"{pod.key} goes to {found.node}: {found.feasible} of {found.evaluated} nodes do"
        return Turn(pod, SCHEDULED, sentence, (action,), waiting.attempts, waiting.since)

    def _not_found(
        self,
        waiting: Waiting,
        failure: NotFound,
        verdicts: Verdicts,
        profile: Profile,
        now: float,
    ) -> Turn:
        pod = waiting.pod
        message = failure.message
        actions: list[Action] = []
        nominated: str | None = None
        victims: int | None = None
        if profile.preemption is not None and len(self.view):
            outcome = self._preempt(pod, failure, verdicts, profile)
            if isinstance(outcome, preempting.Victims):
                victims = len(outcome.pods)
                nominated = outcome.node
                actions += self._make_room(pod, outcome, now)
            else:
                victims = 0
                message = f"{message} preemption: {outcome.message}"
                if not outcome.keeps and pod.nominated:
                    nominated = ""
                    self._no_longer_nominated(pod, now)
        self.queue.failed(waiting, failure.plugins, now)
        if message != pod.explained or (nominated is not None and nominated != pod.nominated):
            actions.append(Mark(pod, UNSCHEDULABLE, message, nominated))
        actions.append(Tell(pod, "Warning", "FailedScheduling", message))
        view_of = waiting.attempts, waiting.since, victims
        return Turn(pod, NOT_SCHEDULED, f"{pod.key}: {message}", tuple(actions), *view_of)

    def _preempt(
        self, pod: PodInfo, failure: NotFound, verdicts: Verdicts, profile: Profile
    ) -> preempting.Victims | preempting.Helpless:
        assert profile.preemption is not None
        stamp = self._stamp(pod)
        if verdicts.helpless is not None and verdicts.helpless[0] == stamp:
            known: preempting.Helpless = verdicts.helpless[1]
            return known
        outcome = preempting.preempt(
            pod, failure, self.view, verdicts, profile.preemption, self._start
        )
        if isinstance(outcome, preempting.Helpless):
            verdicts.helpless = stamp, outcome
        verdicts.failure = stamp, failure
        return outcome

    def _failed_alike(self, pod: PodInfo, verdicts: Verdicts) -> NotFound | None:
        """The failure of another pod of this template, if nothing has happened since."""
        if verdicts.failure is not None and verdicts.failure[0] == self._stamp(pod):
            known: NotFound = verdicts.failure[1]
            return known
        return None

    def _stamp(self, pod: PodInfo) -> tuple[object, ...]:
        view = self.view
        own = pod.key if pod.nominated else ""
        return (view.version, view.now, view.nominations, pod.priority, pod.preempts, own,
                view.catalog.version)  # fmt: skip

    def _make_room(self, pod: PodInfo, chosen: preempting.Victims, now: float) -> Iterable[Action]:
        # Less important pods that wait for the same place have lost it.
        for other in list(self.view.nominated.get(chosen.node, {}).values()):
            if other.priority < pod.priority:
                self.view.nominate(other, "")
                self.queue.activate(other.key, now)
                yield Withdraw(other)
        self.view.nominate(pod, chosen.node)
        for victim in chosen.pods:
            if not victim.terminating:
                yield Evict(victim, chosen.node, pod)

    # -- how it went -----------------------------------------------------------------------------

    def bound(self, pod: PodInfo) -> Iterable[Action]:
        """The API server has taken the binding."""
        self.queue.drop(pod.key)
        message = f"Successfully assigned {pod.key} to {pod.node}"
        yield Tell(pod, "Normal", "Scheduled", message)

    def prepared(self, pod: PodInfo) -> None:
        """What the pod's volumes need is written; now they have to be bound."""
        preparing = self._preparing.get(pod.key)
        if preparing is not None and preparing.pod.uid == pod.uid:
            preparing.written = True

    def not_bound(self, pod: PodInfo, why: str, now: float) -> Iterable[Action]:
        """The binding has failed: the place is free again, and the pod waits for another try."""
        self._preparing.pop(pod.key, None)
        self._release_volumes(pod)
        waiting = self.queue.get(pod.key)
        if self.view.assumed(pod.key):
            self.view.drop_pod(pod.key)
            self._left(pod, now)
        if waiting is None or waiting.pod.uid != pod.uid:
            return
        if waiting.pod.terminating:
            self.pod_gone(pod.key, now)
            return
        self.queue.retry(waiting, now)
        yield Mark(pod, SCHEDULER_ERROR, why)
        yield Tell(pod, "Warning", "FailedScheduling", why)

    def _release_volumes(self, pod: PodInfo) -> None:
        mine = {f"{pod.namespace}/{name}" for name, _ in pod.claims()}
        reserved = self.view.catalog.reserved
        for volume in [v for v, claim in reserved.items() if claim in mine]:
            del reserved[volume]

    def _look_at_volumes(self, now: float) -> None:
        for key, one in list(self._preparing.items()):
            why = self._trouble(one, now)
            if why:
                actions = tuple(self.not_bound(one.pod, why, now))
                self._unsaid.append(Turn(one.pod, ERROR, f"{key}: {why}", actions))
            elif one.written and ready(one.pod, self.view):
                del self._preparing[key]
                sentence = f"{key}: its volumes are bound"
                bind = Bind(one.pod, one.pod.node)
                self._unsaid.append(Turn(one.pod, SCHEDULED, sentence, (bind,)))

    def _trouble(self, one: _Preparing, now: float) -> str:
        if now >= one.deadline:
            return "binding volumes: context deadline exceeded"
        for key in one.claims:
            claim = self.view.catalog.get(CLAIM, key)
            if claim is None:
                return f'binding volumes: persistentvolumeclaim "{key}" not found'
            chosen = (claim["metadata"].get("annotations") or {}).get(SELECTED_NODE)
            if chosen:
                one.marked.add(key)
            elif key in one.marked and not (claim.get("spec") or {}).get("volumeName"):
                return f'binding volumes: provisioning failed for PVC "{key}"'
        return ""

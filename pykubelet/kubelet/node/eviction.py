"""Which pressure the node is under, and which pod has to go for it.

Pure. `decide` compares what `pressure` observed with the thresholds and keeps, in its `State`, when
each was first met and each condition last seen; `choose` ranks the pods and words the eviction;
`refusal` says whether a new pod may come in meanwhile. `evictor` carries it out: first garbage
goes, then one pod at a time. Pods that break a limit of their own are `storage_limits`' business.

Times are monotonic seconds. Source: the reference on node-pressure eviction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pykubelet.kubelet.cgroups.limits import is_critical
from pykubelet.kubelet.node import conditions, figures
from pykubelet.objects import quantity, resources

Json = dict[str, Any]

REASON = "Evicted"
TRANSITION = 300.0
#: Seconds that a pod gets to end when the node can't wait.
IMMEDIATE = 1

MEMORY, DISK, INODES, PIDS = "memory", "ephemeral-storage", "inodes", "pids"

#: Signal → (the node's condition, the resource that is short).
SIGNALS: dict[str, tuple[str, str]] = {
    "memory.available": (conditions.MEMORY, MEMORY),
    "allocatableMemory.available": (conditions.MEMORY, MEMORY),
    "nodefs.available": (conditions.DISK, DISK),
    "nodefs.inodesFree": (conditions.DISK, INODES),
    "imagefs.available": (conditions.DISK, DISK),
    "imagefs.inodesFree": (conditions.DISK, INODES),
    "containerfs.available": (conditions.DISK, DISK),
    "containerfs.inodesFree": (conditions.DISK, INODES),
    "pid.available": (conditions.PID, PIDS),
}


@dataclass(frozen=True, slots=True)
class Amount:
    """A quantity, or a share of the capacity (0.1 for 10 %)."""

    fixed: int = 0
    share: float | None = None

    def of(self, capacity: int) -> int:
        return self.fixed if self.share is None else int(capacity * self.share)


@dataclass(frozen=True, slots=True)
class Threshold:
    """Met while less than `amount` is available. `grace` None: hard, acted upon at once."""

    signal: str
    amount: Amount
    grace: float | None = None
    reclaim: Amount = Amount()

    @property
    def hard(self) -> bool:
        return self.grace is None


@dataclass(frozen=True, slots=True)
class Observation:
    """Bytes, inodes or processes."""

    available: int
    capacity: int


Observations = Mapping[str, Observation]  # by signal


@dataclass(frozen=True, slots=True)
class State:
    """What has to be remembered from one look to the next."""

    first_met: Mapping[Threshold, float] = field(default_factory=dict)
    acting_on: tuple[Threshold, ...] = ()
    last_seen: Mapping[str, float] = field(default_factory=dict)  # by condition


@dataclass(frozen=True, slots=True)
class Decision:
    """`threshold`: what to reclaim for now; None if nothing. `pressures`: conditions in force."""

    state: State
    pressures: frozenset[str]
    threshold: Threshold | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Eviction:
    """One pod has to go. `grace` in seconds; `message` for its status, `signal` for the metric."""

    uid: str
    signal: str
    message: str
    grace: int
    annotations: Mapping[str, str] = field(default_factory=dict)


def thresholds(
    hard: Mapping[str, str],
    soft: Mapping[str, str] | None = None,
    soft_grace: Mapping[str, float] | None = None,
    minimum_reclaim: Mapping[str, str] | None = None,
    *,
    enforce_pods: bool = True,
) -> tuple[Threshold, ...]:
    """From the configuration's evictionHard, evictionSoft and so on.

    With `enforce_pods` (enforceNodeAllocatable holds `pods`) the hard memory threshold holds for
    the pods' own cgroup too. A threshold of 0 or 100 % is switched off.
    """
    reclaim = {signal: _amount(text) for signal, text in (minimum_reclaim or {}).items()}
    found: list[Threshold] = []
    for written, graces in ((hard, None), (soft or {}, soft_grace or {})):
        for signal, text in written.items():
            amount = _amount(text)
            if amount.share in (0.0, 1.0) or (amount.share is None and not amount.fixed):
                continue
            grace = None if graces is None else graces.get(signal, 0.0)
            found.append(Threshold(signal, amount, grace, reclaim.get(signal, Amount())))
            if signal == "memory.available" and grace is None and enforce_pods:
                found.append(
                    Threshold(
                        "allocatableMemory.available", amount, None, reclaim.get(signal, Amount())
                    )
                )
    return tuple(found)


def decide(
    state: State,
    known: Iterable[Threshold],
    observed: Observations,
    now: float,
    transition: float = TRANSITION,
) -> Decision:
    """Compare, remember, and name the one threshold to act upon: memory before all others."""
    known = tuple(known)
    met = [t for t in known if _met(t, observed)]
    # What was acted upon stays met until the minimum reclaim is reached too; what the
    # configuration has no more is forgotten.
    acting_on = [t for t in state.acting_on if t in known and t not in met]
    met += [t for t in acting_on if _met(t, observed, reclaim=True)]
    first_met = {t: state.first_met.get(t, now) for t in met}
    last_seen = {**state.last_seen, **{SIGNALS[t.signal][0]: now for t in met}}
    last_seen = {kind: at for kind, at in last_seen.items() if now - at < transition or at == now}
    ripe = tuple(t for t, at in first_met.items() if now - at >= (t.grace or 0.0))
    chosen = min(ripe, key=lambda t: SIGNALS[t.signal][1] != MEMORY, default=None)
    return Decision(
        State(first_met, ripe, last_seen), frozenset(last_seen), chosen, _why(chosen, met, observed)
    )


def satisfied(known: Iterable[Threshold], observed: Observations) -> bool:
    """Whether reclaiming was enough: no threshold is met, minimum reclaim included."""
    return not any(_met(t, observed, reclaim=True) for t in known)


def choose(
    threshold: Threshold,
    pods: Iterable[Json],
    measured: Mapping[str, figures.Pod],
    observed: Observations,
    max_grace: int = 0,
) -> Eviction | None:
    """The one pod to evict, or None if none may be: critical and static pods never are.

    First those that use more than they asked for (or whose use nobody knows), of these the least
    important, of these the one that is furthest above its request.
    """
    resource = SIGNALS[threshold.signal][1]
    ranked = rank(resource, [pod for pod in pods if not is_critical(pod)], measured)
    if not ranked:
        return None
    pod = ranked[0]
    uid = pod["metadata"]["uid"]
    message, annotations = _message(threshold, resource, pod, measured.get(uid), observed)
    return Eviction(
        uid, threshold.signal, message, IMMEDIATE if threshold.hard else max_grace, annotations
    )


def rank(resource: str, pods: Iterable[Json], measured: Mapping[str, figures.Pod]) -> list[Json]:
    """The pods, the first to be evicted first."""

    def key(pod: Json) -> tuple[bool, bool, int, int]:
        priority = (pod.get("spec") or {}).get("priority") or 0
        found = measured.get(pod["metadata"]["uid"])
        if found is None:
            return (False, False, priority, 0)
        used, request = _used(resource, found), _request(resource, pod)
        if resource == PIDS:
            return (True, False, priority, -used)  # nobody can ask for processes
        return (True, used <= request, priority, request - used)

    return sorted(pods, key=key)


def refusal(pod: Json, pressures: frozenset[str]) -> str | None:
    """Why a new pod can't come in under these pressures; None if it can.

    Under memory pressure alone only best-effort pods are kept out, unless they tolerate it.
    """
    if not pressures or is_critical(pod):
        return None
    if pressures == {conditions.MEMORY}:
        if resources.qos_class(pod) != resources.BEST_EFFORT:
            return None
        taint = "node.kubernetes.io/memory-pressure"
        if any(_tolerates(t, taint) for t in (pod.get("spec") or {}).get("tolerations") or ()):
            return None
    return f"The node had condition: [{' '.join(sorted(pressures))}]. "


# -- thresholds ---------------------------------------------------------------------------------


def _amount(text: str) -> Amount:
    if text.endswith("%"):
        return Amount(share=float(text[:-1]) / 100)
    return Amount(fixed=quantity.to_int(quantity.parse(text)))


def _met(threshold: Threshold, observed: Observations, *, reclaim: bool = False) -> bool:
    seen = observed.get(threshold.signal)
    if seen is None:
        return False
    needed = threshold.amount.of(seen.capacity)
    if reclaim:
        needed += threshold.reclaim.of(seen.capacity)
    return seen.available < needed


def _why(chosen: Threshold | None, met: Sequence[Threshold], observed: Observations) -> str:
    if chosen:
        seen = observed[chosen.signal]
        return (
            f"{chosen.signal} is {_spelled(chosen, seen.available)}, below its "
            f"{'hard' if chosen.hard else 'soft'} threshold of "
            f"{_spelled(chosen, chosen.amount.of(seen.capacity))}"
        )
    if met:
        return f"{met[0].signal} is below its soft threshold, in its grace period"
    return "no resource is short"


def _spelled(threshold: Threshold, amount: int) -> str:
    resource = SIGNALS[threshold.signal][1]
    return _spell(resource, amount)


# -- pods ---------------------------------------------------------------------------------------


def _used(resource: str, seen: figures.Pod) -> int:
    if resource == MEMORY:
        return seen.usage.memory_working_set or 0
    if resource == PIDS:
        return seen.usage.pids or 0
    return seen.inodes if resource == INODES else seen.disk


def _request(resource: str, pod: Json) -> int:
    return quantity.to_int(resources.requests(pod).get(resource, 0))


def _message(
    threshold: Threshold,
    resource: str,
    pod: Json,
    seen: figures.Pod | None,
    observed: Observations,
) -> tuple[str, dict[str, str]]:
    """In upstream's words, which people and tools look for; and the event's annotations."""
    message = f"The node was low on resource: {resource}. "
    now = observed.get(threshold.signal)
    if now is not None:
        limit = threshold.amount.of(now.capacity)
        message += (
            f"Threshold quantity: {_spell(resource, limit)}, "
            f"available: {_spell(resource, now.available)}. "
        )
    offenders: list[str] = []
    amounts: list[str] = []
    asked = {c["name"]: c for c in (pod.get("spec") or {}).get("containers") or ()}
    for container in seen.containers if seen else ():
        used = _container_used(resource, container)
        if used is None or container.name not in asked:
            continue
        request = quantity.to_int(
            resources.container_requests(asked[container.name]).get(resource, 0)
        )
        if used > request:
            message += (
                f"Container {container.name} was using {_spell(resource, used)}, request is "
                f"{_spell(resource, request)}, has larger consumption of {resource}. "
            )
            offenders.append(container.name)
            amounts.append(_spell(resource, used))
    return message, {
        "offending_containers": ",".join(offenders),
        "offending_containers_usage": ",".join(amounts),
        "starved_resource": resource,
    }


def _container_used(resource: str, container: figures.Container) -> int | None:
    if resource == MEMORY:
        return container.usage.memory_working_set
    if resource == DISK:
        return (container.rootfs_used or 0) + (container.logs_used or 0)
    return None


def _spell(resource: str, amount: int) -> str:
    if resource in (INODES, PIDS) or not amount:
        return str(amount)
    return f"{amount // 1024}Ki" if amount % 1024 == 0 else str(amount)


def _tolerates(toleration: Json, taint: str) -> bool:
    if toleration.get("effect") not in (None, "", "NoSchedule"):
        return False
    key, operator = toleration.get("key") or "", toleration.get("operator") or "Equal"
    if not key:
        return operator == "Exists"
    return key == taint and (operator == "Exists" or not toleration.get("value"))

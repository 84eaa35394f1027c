"""Verdicts that pods share.

Pods of one shape ask the same of a node by itself: `Alone` keeps what every node looked at so far
was found to be, a reason why not, or its score. The snapshot's log tells which nodes have changed
since; only those are looked at again. So the second pod costs one node, not all of them. Pods of
one template also have the same rules about other pods (`Joint`), which `Verdicts` keeps beside
that, up to date by the same log, and asks anew for each decision.

Pods with volumes of their own share nothing, since their claims differ and change.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Container, Iterable
from typing import Any, Protocol, TypeVar

from pykubelet.scheduler.framework import Joint, NodeFilter, NodeScore, Rejection, normalized
from pykubelet.scheduler.nodes import NodeInfo
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.profile import Profile
from pykubelet.scheduler.snapshot import Snapshot

Stamp = tuple[object, ...]
"""Tells whether anything has happened since."""
Crowded = dict[int, list[PodInfo]]
"""Pods that wait for room on a node and go before the one in question, by the node's number."""

_KEPT = 256
"""How many shapes, and how many templates, are kept; the least recently used go first."""


class Alone:
    """What the rules about nodes by themselves say for pods of one shape."""

    def __init__(self, profile: Profile, pod: PodInfo, view: Snapshot) -> None:
        self._view = view
        self._filters: list[NodeFilter] = []
        self._scores: list[tuple[NodeScore, int]] = []
        self._stretched: list[tuple[NodeScore, int, bool, dict[int, int]]] = []
        self.known: list[int | Rejection | None] = [None] * len(view.nodes)
        """By the node's number; None where it is yet to be looked at."""
        self._version = view.version
        self._soft_taints = bool(view.soft_taints)
        self._position = view.now
        for plugin in profile.filters:
            verdict = plugin.filter(pod, view)
            if verdict is not None:
                self._filters.append(verdict)
        for plugin, weight in profile.scorers:
            score = plugin.score(pod, view)
            if score is None:
                continue
            if plugin.normalize is None:
                self._scores.append((score, weight))
            else:
                self._stretched.append((score, weight, plugin.normalize == "min", {}))

    def catch_up(self) -> bool:
        """Take in what has changed; False where all is to be done anew."""
        view = self._view
        if view.version != self._version or bool(view.soft_taints) != self._soft_taints:
            return False
        changes = view.since(self._position)
        if changes is None:
            return False
        known = self.known
        for change in changes:
            known[change.number] = None
        self._position = view.now
        return True

    def look(self, number: int) -> int | Rejection:
        node = self._view.nodes[number]
        rejection = self.rejects(node)
        if rejection is not None:
            self.known[number] = rejection
            return rejection
        total = 0
        for score, weight in self._scores:
            total += weight * score(node)
        for score, _, _, raw in self._stretched:
            raw[number] = score(node)
        self.known[number] = total
        return total

    def rejects(self, node: NodeInfo) -> Rejection | None:
        """The verdict on a node as it is or might be."""
        for verdict in self._filters:
            rejection = verdict(node)
            if rejection is not None:
                return rejection
        return None

    def totals(self, found: list[int]) -> list[int]:
        """The weighted scores of nodes that have passed."""
        known = self.known
        totals: list[int] = [known[number] for number in found]  # type: ignore[misc]
        for _, weight, reverse, raw in self._stretched:
            scores = normalized([raw[number] for number in found], reverse)
            totals = [t + weight * s for t, s in zip(totals, scores, strict=True)]
        return totals


class Verdicts:
    """All that is known for pods of one template."""

    def __init__(
        self, profile: Profile, pod: PodInfo, view: Snapshot, alone: Alone | None = None
    ) -> None:
        self.prefilter: Rejection | None = None
        self.names: set[str] | None = None
        """The only nodes that may do, where the pod names them."""
        self.narrowed_by: tuple[str, ...] = ()
        # What came of them last, and when; kept here for the brain, which says what they are.
        self.failure: tuple[Stamp, Any] | None = None
        self.helpless: tuple[Stamp, Any] | None = None
        self._profile = profile
        self._view = view
        self._pod = pod
        self._version = view.version
        self._position = view.now
        self._catalog = view.catalog.version
        self._filtering: list[Joint] = []
        self._scoring: list[tuple[Joint, int]] = []
        self._joints: list[Joint] = []
        self._prefilter()
        if self.prefilter is None:
            self.alone = alone or Alone(profile, pod, view)
            self._join()

    def _prefilter(self) -> None:
        for plugin in self._profile.filters:
            answer = plugin.prefilter(self._pod, self._view)
            if isinstance(answer, Rejection):
                self.prefilter = answer
                return
            if answer is not None:
                self.narrowed_by = (*self.narrowed_by, plugin.name)
                names = set(answer)
                self.names = names if self.names is None else self.names & names

    def _join(self) -> None:
        """The rules about other pods; one that filters and scores is counted once."""
        weights = dict(self._profile.scorers)
        self._filtering, self._scoring, self._joints = [], [], []
        for plugin in dict.fromkeys([*self._profile.filters, *weights]):
            joint = plugin.joint(self._pod, self._view)
            if joint is None:
                continue
            self._joints.append(joint)
            if plugin in self._profile.filters:
                self._filtering.append(joint)
            if weights.get(plugin):
                self._scoring.append((joint, weights[plugin]))

    # -- keeping up ------------------------------------------------------------------------------

    def catch_up(self) -> bool:
        """Take in what has changed; False where that is not worth it and all is to be done anew."""
        view = self._view
        if view.version != self._version or self.prefilter is not None:
            return False
        changes = view.since(self._position)
        if changes is None or not self.alone.catch_up():
            return False
        self._position = view.now
        anew = False
        for _, node, pod, sign in changes:
            if pod is not None:
                for joint in self._joints:
                    joint.change(node, pod, sign)
            elif sign:
                anew = True
        if self._catalog != view.catalog.version:
            self._catalog = view.catalog.version
            anew = anew or not all(joint.fresh(view) for joint in self._joints)
        if anew:
            self._join()
        return True

    # -- asking ----------------------------------------------------------------------------------

    def find(self, numbers: Iterable[int], enough: int, crowded: Crowded) -> tuple[list[int], int]:
        """The first `enough` nodes that do, and how many were looked at. Of a crowded node, it has
        to do even with those there who go before."""
        known, look = self.alone.known, self.alone.look
        view = self._view
        bars: list[tuple[list[str | None], Container[str | None]]] = [
            (view.topology(bar.key), bar.values)
            for joint in self._filtering
            for bar in joint.bars()
        ]
        found: list[int] = []
        seen = 0
        for number in numbers:
            seen += 1
            verdict = known[number]
            if verdict is None:
                verdict = look(number)
            if verdict.__class__ is not int:
                continue
            for labels, forbidden in bars:
                if labels[number] in forbidden:
                    break
            else:
                if number in crowded and self.rejects_beside(view.nodes[number], crowded[number]):
                    continue
                found.append(number)
            if len(found) == enough:
                break
        return found, seen

    def rejection(self, number: int, crowded: Crowded) -> Rejection | None:
        """Why a node doesn't do."""
        verdict = self.alone.known[number]
        if verdict is None:
            verdict = self.alone.look(number)
        if isinstance(verdict, Rejection):
            return verdict
        node = self._view.nodes[number]
        rejection = self._barred(node)
        if rejection is None and number in crowded:
            rejection = self.rejects_beside(node, crowded[number])
        return rejection

    def totals(self, found: list[int]) -> list[int]:
        """The weighted scores of nodes that were found."""
        totals = self.alone.totals(found)
        for joint, weight in self._scoring:
            scores = joint.scores(found)
            if scores is not None:
                totals = [t + weight * s for t, s in zip(totals, scores, strict=True)]
        return totals

    # -- what if ---------------------------------------------------------------------------------

    def rejects(self, node: NodeInfo) -> Rejection | None:
        """The verdict on a node as it might be."""
        return self.alone.rejects(node) or self._barred(node)

    def rejects_beside(self, node: NodeInfo, others: Collection[PodInfo]) -> Rejection | None:
        """The verdict on a node if other pods were there, too."""
        self.suppose(node, others, 1)
        try:
            return self.rejects(node.with_pods(others))
        finally:
            self.suppose(node, others, -1)

    def suppose(self, node: NodeInfo, pods: Iterable[PodInfo], sign: int) -> None:
        """Rules about other pods count as if these had come to the node (1) or had left it (-1),
        until the opposite is supposed."""
        for joint in self._joints:
            for pod in pods:
                joint.change(node, pod, sign)

    def _barred(self, node: NodeInfo) -> Rejection | None:
        labels = node.facts.labels
        for joint in self._filtering:
            for bar in joint.bars():
                if labels.get(bar.key) in bar.values:
                    return bar.rejection
        return None


class _KeepsUp(Protocol):
    def catch_up(self) -> bool: ...


K = TypeVar("K", bound=_KeepsUp)


class Equivalence:
    """The verdicts of the shapes and templates that were seen last."""

    def __init__(self, view: Snapshot) -> None:
        self._view = view
        self._alone: OrderedDict[tuple[object, ...], Alone] = OrderedDict()
        self._verdicts: OrderedDict[tuple[object, ...], Verdicts] = OrderedDict()

    def verdicts(self, pod: PodInfo, profile: Profile) -> Verdicts:
        if pod.shape.volumes:
            return Verdicts(profile, pod, self._view)
        key = pod.template, profile.name
        known = _recall(self._verdicts, key)
        if known is not None:
            return known
        alike = pod.shape, profile.name
        alone = _recall(self._alone, alike)
        made = Verdicts(profile, pod, self._view, alone)
        if made.names is None and made.prefilter is None:
            _keep(self._verdicts, key, made)
            if alone is None:
                _keep(self._alone, alike, made.alone)
        return made


def _recall(kept: OrderedDict[tuple[object, ...], K], key: tuple[object, ...]) -> K | None:
    found = kept.get(key)
    if found is None or not found.catch_up():
        return None
    kept.move_to_end(key)
    return found


def _keep(kept: OrderedDict[tuple[object, ...], K], key: tuple[object, ...], made: K) -> None:
    kept[key] = made
    kept.move_to_end(key)
    if len(kept) > _KEPT:
        kept.popitem(last=False)

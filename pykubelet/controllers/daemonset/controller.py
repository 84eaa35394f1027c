"""DaemonSets looked at and acted on; what to do is `decision`'s."""

from __future__ import annotations

from typing import Any

from pykubelet.client.informer import key_of
from pykubelet.client.resources import DAEMON_SETS, NODES
from pykubelet.controllers.base import Context, Controller, sooner
from pykubelet.controllers.daemonset.decision import Decision, decide
from pykubelet.controllers.daemonset.nodes import new_pod, node_of
from pykubelet.controllers.dependents import LAG, Dependents
from pykubelet.controllers.reporting import same
from pykubelet.controllers.revisions import REVISION_LABEL, Collision, History

Json = dict[str, Any]

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 900.0


class DaemonSetController(Controller):
    name = "daemonset-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._own = Dependents(self, DAEMON_SETS)
        self._history = History(self, DAEMON_SETS)
        nodes = context.informers.of(NODES)
        nodes.add_handler(self._node_changed)
        self._nodes = nodes.store
        #: By (DaemonSet's UID, node): (until when to leave what ended there, the last pause).
        self._pauses: dict[tuple[str, str], tuple[float, float]] = {}

    def _node_changed(self, old: Json | None, new: Json | None) -> None:
        """A heartbeat concerns nobody here; labels and taints concern every DaemonSet."""
        if old is None or new is None or _placement(old) != _placement(new):
            for daemon_set in self._own.owners.all():
                self.queue.add(key_of(daemon_set))

    def turn(self, key: str) -> float | None:
        daemon_set = self._own.owner(key)
        if daemon_set is None:
            return None
        own = self._own.claim(daemon_set)
        if not self._own.caught_up(key, own):
            return LAG
        if "deletionTimestamp" in daemon_set["metadata"]:
            return None
        try:
            found = self._history.look(key, daemon_set)
        except Collision:
            status = daemon_set.get("status") or {}
            status = {**status, "collisionCount": int(status.get("collisionCount") or 0) + 1}
            self.api.update_status(DAEMON_SETS, {**daemon_set, "status": status})
            raise
        if found is None:
            return LAG
        present, known = found
        hash_ = present["metadata"]["labels"][REVISION_LABEL]
        uid, now = daemon_set["metadata"]["uid"], self.now()
        held, pause = self._held(uid, now)
        decision = decide(daemon_set, own, self._nodes.all(), hash_, now, held)
        self._act(key, daemon_set, hash_, decision)
        if not same(decision.status, daemon_set.get("status") or {}):
            self.api.update_status(DAEMON_SETS, {**daemon_set, "status": decision.status})
        hashes = {(p["metadata"].get("labels") or {}).get(REVISION_LABEL) for p in own} | {hash_}
        in_use = {
            r["metadata"]["name"]
            for r in known
            if (r["metadata"].get("labels") or {}).get(REVISION_LABEL) in hashes
        }
        self._history.clear_away(daemon_set, known, in_use)
        return sooner(decision.look_in, pause)

    def _act(self, key: str, daemon_set: Json, hash_: str, decision: Decision) -> None:
        uid = daemon_set["metadata"]["uid"]
        for pod in decision.ended:
            node, phase = node_of(pod), pod["status"]["phase"]
            self._pause(uid, node)
            self.events.record(
                daemon_set, "Warning" if phase == "Failed" else "Normal", f"{phase}DaemonPod",
                f"Found {phase.lower()} daemon pod {pod['metadata']['name']} on node {node}, "
                "will delete it",
            )  # fmt: skip
        self._own.delete_many(key, daemon_set, decision.delete)
        made = [new_pod(daemon_set, node, hash_) for node in decision.create]
        self._own.create_many(key, daemon_set, made)

    # -- pods that end again and again ------------------------------------------------------------

    def _held(self, uid: str, now: float) -> tuple[set[str], float | None]:
        """The nodes on which to leave what ended, and seconds until the first of them is free."""
        waits = {
            n: at - now for (of, n), (at, _) in list(self._pauses.items()) if of == uid and at > now
        }
        return set(waits), min(waits.values(), default=None)

    def _pause(self, uid: str, node: str) -> None:
        now = self.now()
        for old in [
            k for k, (at, _) in list(self._pauses.items()) if now - at > 2 * _LONGEST_PAUSE
        ]:
            self._pauses.pop(old, None)
        last = self._pauses.get((uid, node), (0.0, 0.0))[1]
        pause = min(max(last * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
        self._pauses[uid, node] = now + pause, pause


def _placement(node: Json) -> tuple[Any, Any]:
    return node["metadata"].get("labels"), node["spec"].get("taints")

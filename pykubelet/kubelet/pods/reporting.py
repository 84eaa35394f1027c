"""Carries pod statuses to the API server, and sees off pods that are gone: one writer for all.

What is to be said is kept by pod, the latest only, so an outage costs nothing but the delay: when
the server is back, what is true then is written. A mirror pod is made for every static pod, and
carries its status. A refused one is said in an event, since the pod runs on unseen.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from pykubelet.client.api import STRATEGIC_MERGE_PATCH, Api
from pykubelet.client.errors import AlreadyExists, Conflict, NotFound, Rejected
from pykubelet.client.queue import Queue
from pykubelet.client.resources import PODS
from pykubelet.kubelet.pods import spec

log = logging.getLogger(__name__)

Json = dict[str, Any]

#: Seconds between two tries while the server is away: when it is back, all is soon as it should be.
_LONGEST_WAIT = 5.0


class Reporting:
    """`known(full_name)` gives the object that the server has, as the watch last told;
    `node_reference()` the Node as owner of mirror pods, or None while it is not registered;
    `say(pod, message)` records a warning event."""

    def __init__(
        self,
        api: Api,
        known: Callable[[str], Json | None],
        node_reference: Callable[[], Json | None],
        say: Callable[[Json, str], None],
    ) -> None:
        self._api = api
        self._known = known
        self._node_reference = node_reference
        self._say = say
        self._lock = threading.Lock()
        self._wanted: dict[str, tuple[Json, Json]] = {}
        self._gone: dict[str, Json] = {}
        self._written: dict[str, Json] = {}
        self._queue = Queue("pod status", self._turn, longest=_LONGEST_WAIT)

    def status(self, pod: Json, status: Json) -> None:
        """This is the pod's status now."""
        name = spec.full_name(pod)
        with self._lock:
            self._wanted[name] = (pod, status)
        self._queue.add(name)

    def gone(self, pod: Json) -> None:
        """Nothing of the pod is left on this node."""
        name = spec.full_name(pod)
        with self._lock:
            wanted = self._wanted.get(name)
            if wanted and spec.uid(wanted[0]) == spec.uid(pod):
                del self._wanted[name]
            self._gone[name] = pod
        self._queue.add(name)

    def look(self, full_name: str) -> None:
        """The server's object has changed: see whether it still says what it should."""
        self._queue.add(full_name)

    def stop(self) -> None:
        self._queue.stop()

    # -- one pod ----------------------------------------------------------------------------------

    def _turn(self, name: str) -> float | None:
        with self._lock:
            gone = self._gone.get(name)
            wanted = self._wanted.get(name)
        if gone is not None:
            self._remove(gone)
            with self._lock:
                if self._gone.get(name) is gone:
                    del self._gone[name]
        if wanted is None:
            return None
        pod, status = wanted
        if spec.is_static(pod):
            return self._mirror(name, pod, status)
        self._write(name, spec.uid(pod), status)
        return None

    def _remove(self, pod: Json) -> None:
        """A pod that was deleted is let go; so is the mirror of a static pod that is no more."""
        known = self._known(spec.full_name(pod))
        if spec.is_static(pod):
            uid = spec.uid(known) if known and spec.is_mirror(known) else ""
            if not uid:
                return
        else:
            uid = spec.uid(pod)
        self._written.pop(uid, None)
        try:
            self._api.delete(PODS, spec.name(pod), spec.namespace(pod), grace_seconds=0, uid=uid)
        except (NotFound, Conflict):
            pass  # gone already, or another of its name is there

    def _write(self, name: str, uid: str, status: Json) -> None:
        if self._written.get(uid) == status:
            return
        namespace, _, short = name.partition("/")
        # The UID makes the server refuse it where another pod of this name has come meanwhile.
        patch = {"metadata": {"uid": uid}, "status": status}
        try:
            self._api.patch(
                PODS, short, patch, namespace, subresource="status", kind=STRATEGIC_MERGE_PATCH
            )
        except (NotFound, Conflict):
            return
        self._written[uid] = status

    # -- mirror pods ------------------------------------------------------------------------------

    def _mirror(self, name: str, pod: Json, status: Json) -> float | None:
        owner = self._node_reference()
        if owner is None:
            return 1.0
        known = self._known(name)
        wanted_hash = spec.annotations_of(pod).get(spec.CONFIG_HASH)
        if known is not None:
            mirrored = spec.annotations_of(known).get(spec.CONFIG_MIRROR)
            if mirrored != wanted_hash or "deletionTimestamp" in known["metadata"]:
                self._api.delete(
                    PODS, spec.name(pod), spec.namespace(pod), grace_seconds=0, uid=spec.uid(known)
                )
                return 0.1
            self._write(name, spec.uid(known), status)
            return None
        try:
            self._api.create(PODS, mirror_of(pod, owner))
        except AlreadyExists:
            return 0.5
        except Rejected as error:
            self._say(pod, f"no mirror pod can be made, so the API does not show it: {error}")
            return 60.0
        return 0.1


def mirror_of(pod: Json, owner: Json) -> Json:
    """The object that shows a static pod to the API server."""
    metadata = pod["metadata"]
    annotations = dict(metadata.get("annotations") or {})
    annotations[spec.CONFIG_MIRROR] = annotations.get(spec.CONFIG_HASH, "")
    kept = {k: v for k, v in metadata.items() if k in ("name", "namespace", "labels")}
    return {
        "metadata": {**kept, "annotations": annotations, "ownerReferences": [owner]},
        "spec": pod["spec"],
    }

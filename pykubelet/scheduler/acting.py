"""The brain's actions against the API server.

Bindings run beside the loop, a limited number at a time; what a pod's status says is written in
turn by pod, the latest word only. Each is idempotent or checked by uid, and what came of a binding
goes back to the loop.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from pykubelet.client.api import STRATEGIC_MERGE_PATCH, Api
from pykubelet.client.errors import ApiError
from pykubelet.client.errors import NotFound as Missing
from pykubelet.client.events import EventRecorder
from pykubelet.client.resources import (
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
)
from pykubelet.clock import rfc3339
from pykubelet.errors import Failed
from pykubelet.scheduler.actions import Action, Bind, Evict, Mark, Prepare, Tell, Withdraw
from pykubelet.scheduler.plugins.volume_binding import SELECTED_NODE
from pykubelet.scheduler.pods import PodInfo
from pykubelet.turns import Turns

log = logging.getLogger(__name__)

Json = dict[str, Any]

#: Bindings under way at one time. More would only wait for each other.
AT_ONCE = 16

Outcome = Callable[[Action, str], None]
"""What came of an action: the empty text for success, else why not."""


class Actor:
    def __init__(self, api: Api, outcome: Outcome) -> None:
        self._api = api
        self._outcome = outcome
        self._lock = threading.Lock()
        self._marks: dict[str, Mark | Withdraw] = {}
        self._recorders: dict[str, EventRecorder] = {}
        self._turns = Turns(self._mark)

    def start(self, action: Action) -> None:
        match action:
            case Tell():
                self._tell(action)
            case Mark() | Withdraw():
                with self._lock:
                    self._marks[action.pod.key] = action
                self._turns.wake(action.pod.key)
            case Bind():
                self._turns.task(lambda: self._try(action, lambda: self._bind(action)))
            case Prepare():
                self._turns.task(lambda: self._try(action, lambda: self._prepare(action)))
            case Evict():
                self._turns.task(lambda: self._evict(action))

    def stop(self) -> None:
        self._turns.stop()
        for recorder in self._recorders.values():
            recorder.stop()

    # -- each of them ----------------------------------------------------------------------------

    def _try(self, action: Action, work: Callable[[], None]) -> None:
        try:
            work()
        except Failed as error:
            self._outcome(action, str(error))
        except Exception as error:
            log.exception("%s", action)
            self._outcome(action, f"{type(error).__name__}: {error}")
        else:
            self._outcome(action, "")

    def _bind(self, action: Bind) -> None:
        pod = action.pod
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": action.node},
        }
        self._api.create(PODS, binding, "binding", pod.name)

    def _prepare(self, action: Prepare) -> None:
        for name, claim_key in action.volumes.bind:
            namespace, _, claim_name = claim_key.partition("/")
            claim = self._api.get(PERSISTENT_VOLUME_CLAIMS, claim_name, namespace)
            volume = self._api.get(PERSISTENT_VOLUMES, name)
            reference = volume["spec"].get("claimRef") or {}
            if reference.get("uid") == claim["metadata"]["uid"]:
                continue
            if reference and (reference.get("namespace"), reference.get("name")) != (
                namespace,
                claim_name,
            ):
                raise Failed(f"volume {name} has been taken by another claim")
            annotations = volume["metadata"].get("annotations") or {}
            volume["metadata"]["annotations"] = {
                **annotations,
                "pv.kubernetes.io/bound-by-controller": "yes",
            }
            volume["spec"]["claimRef"] = {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": namespace,
                "name": claim_name,
                "uid": claim["metadata"]["uid"],
                "resourceVersion": claim["metadata"]["resourceVersion"],
            }
            self._api.update(PERSISTENT_VOLUMES, volume)
        for claim_key in action.volumes.provision:
            namespace, _, claim_name = claim_key.partition("/")
            patch = {"metadata": {"annotations": {SELECTED_NODE: action.node}}}
            self._api.patch(PERSISTENT_VOLUME_CLAIMS, claim_name, patch, namespace)

    def _evict(self, action: Evict) -> None:
        pod, preemptor = action.pod, action.preemptor
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "PreemptionByScheduler",
            "message": f"{preemptor.scheduler}: preempting to accommodate a higher priority pod",
            "lastTransitionTime": rfc3339(time.time()),
        }
        try:
            self._patch_status(pod, {"conditions": [condition]})
            self._api.delete(PODS, pod.name, pod.namespace, uid=pod.uid)
        except Missing:
            return  # it has left by itself
        except Failed as error:
            log.warning("%s is not preempted: %s", pod.key, error)
            self._outcome(action, str(error))
            return
        message = f"Preempted by pod {preemptor.uid} on node {action.node}"
        self._tell(Tell(pod, "Normal", "Preempted", message))

    def _mark(self, key: str) -> None:
        with self._lock:
            action = self._marks.pop(key, None)
        status: Json
        match action:
            case None:
                return
            case Withdraw():
                status = {"nominatedNodeName": None}
            case Mark():
                condition = {
                    "type": "PodScheduled",
                    "status": "False",
                    "reason": action.reason,
                    "message": action.message,
                }
                if not action.pod.explained:
                    condition["lastTransitionTime"] = rfc3339(time.time())
                status = {"conditions": [condition]}
                if action.nominated is not None:
                    status["nominatedNodeName"] = action.nominated or None
        try:
            self._patch_status(action.pod, status)
        except ApiError as error:
            log.debug("%s: its status was not written: %s", key, error)  # gone, or changed since
        except Failed as error:
            log.warning("%s: its status was not written: %s", key, error)

    def _patch_status(self, pod: PodInfo, status: Json) -> None:
        patch = {"metadata": {"uid": pod.uid}, "status": status}
        self._api.patch(
            PODS,
            pod.name,
            patch,
            pod.namespace,
            subresource="status",
            kind=STRATEGIC_MERGE_PATCH,
        )

    def _tell(self, action: Tell) -> None:
        name = action.pod.scheduler
        with self._lock:
            recorder = self._recorders.get(name)
            if recorder is None:
                recorder = self._recorders[name] = EventRecorder(self._api, name)
        recorder.record(action.pod.reference(), action.kind, action.reason, action.message)

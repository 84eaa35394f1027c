"""The node as a member of a cluster: registered, heard of, and true to its own address.

Registers the Node object (or takes up the one that is there), posts its status when it has changed
and every few minutes all the same, and renews its Lease, which is the heartbeat. While the server
is away it tries again at growing intervals; nothing on the node depends on it.
Source: the node reference ("Node heartbeats"), KEP-589.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from pykubelet.client.api import STRATEGIC_MERGE_PATCH, Api, owner_reference
from pykubelet.client.errors import AlreadyExists, NotFound
from pykubelet.client.resources import LEASES, NODES
from pykubelet.clock import rfc3339, rfc3339_micro
from pykubelet.errors import Failed, Invalid
from pykubelet.kubelet.node import conditions

log = logging.getLogger(__name__)

Json = dict[str, Any]

LEASE_NAMESPACE = "kube-node-lease"
#: The threads that have to be alive.
LOOPS = ("node-status", "node-lease")
_FIRST_RETRY, _LAST_RETRY = 0.2, 7.0


class Membership:
    """`node()` gives the v1.Node as the agent sees it now. Seconds: `lease_duration` of the Lease,
    renewed at a quarter of it; `report_every` for a status that has not changed."""

    def __init__(
        self,
        api: Api,
        node: Callable[[], Json],
        *,
        lease_duration: int = 40,
        report_every: float = 300.0,
        register: bool = True,
    ) -> None:
        self._api = api
        self._node = node
        self._lease_duration = lease_duration
        self._report_every = report_every
        self._register = register
        self._stop = threading.Event()
        self._news = threading.Event()
        self._uid = ""
        self._reported: Json | None = None
        self._reported_at = float("-inf")
        self.registered = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep_status, name=LOOPS[0], daemon=True),
            threading.Thread(target=self._keep_lease, name=LOOPS[1], daemon=True),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._news.set()
        for thread in self._threads:
            thread.join(2)

    def changed(self) -> None:
        """The node is not what it was: post it now."""
        self._news.set()

    def gone(self) -> None:
        """Somebody has deleted the Node object: join again."""
        self.registered.clear()
        self._news.set()

    @property
    def _name(self) -> str:
        return str(self._node()["metadata"]["name"])

    # -- the Node object ------------------------------------------------------------------------

    def _keep_status(self) -> None:
        wait = _FIRST_RETRY
        said = ""
        while not self._stop.is_set():
            self._news.clear()
            try:
                if not self.registered.is_set():
                    self._join()
                self._report()
                wait, said = _FIRST_RETRY, ""
                self._news.wait(max(0.0, self._reported_at + self._report_every - time.monotonic()))
            except NotFound:
                self.registered.clear()  # somebody has deleted it: join again
                self._stop.wait(wait)
            except (Failed, Invalid) as error:
                if str(error) != said:
                    log.warning("the node's status can't be posted: %s", error)
                said = str(error)
                self._stop.wait(wait)
                wait = min(wait * 2, _LAST_RETRY)

    def _join(self) -> None:
        wanted = self._node()
        try:
            if not self._register:
                found = self._api.get(NODES, self._name)
            else:
                found = self._api.create(NODES, wanted)
        except AlreadyExists:
            found = self._take_up(wanted)
        self._uid = found["metadata"]["uid"]
        self._reported = None
        self.registered.set()
        log.info("node %s is registered", self._name)

    def _take_up(self, wanted: Json) -> Json:
        """The object that is there is ours if it is of this very machine."""
        found = self._api.get(NODES, self._name)
        theirs = (found.get("status") or {}).get("nodeInfo", {}).get("machineID")
        ours = wanted["status"]["nodeInfo"]["machineID"]
        if theirs and ours and theirs != ours and _alive(found):
            raise Invalid(
                f"another machine has joined as node {self._name}",
                expected=f"the machine id {ours}",
                found=theirs,
                remedy="give this one another name with --hostname-override",
            )
        labels = {**(found["metadata"].get("labels") or {}), **wanted["metadata"]["labels"]}
        if labels != found["metadata"].get("labels"):
            patch = {"metadata": {"labels": wanted["metadata"]["labels"]}}
            found = self._api.patch(NODES, self._name, patch)
        return found

    def _report(self) -> None:
        status = self._node()["status"]
        due = time.monotonic() - self._reported_at >= self._report_every
        steady = conditions.steady(status)
        if steady == self._reported and not due:
            return
        stamped = {**status, "conditions": _stamped(status["conditions"])}
        self._api.patch(
            NODES,
            self._name,
            {"status": stamped},
            subresource="status",
            kind=STRATEGIC_MERGE_PATCH,
        )
        self._reported, self._reported_at = steady, time.monotonic()

    # -- the Lease ------------------------------------------------------------------------------

    def _keep_lease(self) -> None:
        lease: Json | None = None
        wait = _FIRST_RETRY
        while not self._stop.is_set():
            if not self.registered.wait(0.5):
                continue
            try:
                lease = self._renew(lease)
                wait = _FIRST_RETRY
                self._stop.wait(self._lease_duration / 4)
            except Failed as error:
                lease = None
                log.debug("the node's lease can't be renewed: %s", error)
                self._stop.wait(wait)
                wait = min(wait * 2, _LAST_RETRY)

    def _renew(self, lease: Json | None) -> Json:
        now = rfc3339_micro(time.time())
        if lease is None:
            try:
                lease = self._api.get(LEASES, self._name, LEASE_NAMESPACE)
            except NotFound:
                return self._api.create(LEASES, self._new_lease(now))
        spec = {**(lease.get("spec") or {}), "holderIdentity": self._name, "renewTime": now,
                "leaseDurationSeconds": self._lease_duration}  # fmt: skip
        return self._api.update(LEASES, {**lease, "spec": spec})

    def _new_lease(self, now: str) -> Json:
        owner = owner_reference({"metadata": {"name": self._name, "uid": self._uid}}, NODES)
        return {
            "metadata": {
                "name": self._name,
                "namespace": LEASE_NAMESPACE,
                "ownerReferences": [{k: owner[k] for k in ("apiVersion", "kind", "name", "uid")}],
            },
            "spec": {
                "holderIdentity": self._name,
                "leaseDurationSeconds": self._lease_duration,
                "renewTime": now,
            },
        }


def _alive(node: Json) -> bool:
    return conditions.is_ready((node.get("status") or {}).get("conditions") or ())


def _stamped(found: list[Json]) -> list[Json]:
    now = rfc3339(time.time())
    return [{**condition, "lastHeartbeatTime": now} for condition in found]

"""Leader election by a Lease: of several that could do the work, one does.

Who holds the lease renews it; who wants it waits until it has not been renewed for its duration by
our own clock, so that a difference between clocks does no harm. Losing it means stopping at once.
Source: the Lease reference (coordination.k8s.io/v1) and the leader election of client-go.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from pykubelet.client.api import Api
from pykubelet.client.errors import AlreadyExists, Conflict, NotFound
from pykubelet.client.resources import LEASES
from pykubelet.clock import rfc3339_micro
from pykubelet.errors import Failed

log = logging.getLogger(__name__)

Json = dict[str, Any]


class Election:
    """`run` blocks: waits to be elected, calls `lead(lost)`, in which `lost` is set when the lease
    is lost or `stop` was set, and gives the lease back at the end.

    Seconds: `duration` a lease lasts, `deadline` to renew it before giving up, `retry` between
    tries. Upstream's 15, 10 and 2.
    """

    def __init__(
        self,
        api: Api,
        name: str,
        identity: str,
        *,
        namespace: str = "kube-system",
        duration: float = 15.0,
        deadline: float = 10.0,
        retry: float = 2.0,
    ) -> None:
        self._api = api
        self._name = name
        self._identity = identity
        self._namespace = namespace
        self._duration = duration
        self._deadline = deadline
        self._retry = retry
        self._seen: tuple[str, float] = ("", 0.0)

    def run(self, lead: Callable[[threading.Event], None], stop: threading.Event) -> None:
        while not stop.is_set():
            if not self._acquire():
                stop.wait(self._retry)
                continue
            log.info("%s leads %s", self._identity, self._name)
            lost = threading.Event()
            leading = threading.Thread(target=lead, args=(lost,), name="leading", daemon=True)
            leading.start()
            self._hold(stop)
            lost.set()
            leading.join()
            if stop.is_set():
                self._release()
                return
            log.warning("%s has lost %s", self._identity, self._name)

    def _hold(self, stop: threading.Event) -> None:
        renewed = time.monotonic()
        while time.monotonic() - renewed < self._deadline:
            if stop.wait(self._retry):
                return
            if self._acquire():
                renewed = time.monotonic()

    def _acquire(self) -> bool:
        """Take or renew the lease; whether it is ours."""
        now = rfc3339_micro(time.time())
        try:
            try:
                lease = self._api.get(LEASES, self._name, self._namespace)
            except NotFound:
                self._api.create(LEASES, self._lease(now, now, 0))
                return True
            spec = lease.get("spec") or {}
            if not self._mine(spec) and not self._expired(lease):
                return False
            transitions = int(spec.get("leaseTransitions") or 0)
            acquired = spec.get("acquireTime") or now
            if not self._mine(spec):
                transitions, acquired = transitions + 1, now
            new = self._lease(acquired, now, transitions)
            lease["spec"] = new["spec"]
            self._api.update(LEASES, lease)
            return True
        except (AlreadyExists, Conflict):
            return False
        except Failed as error:
            log.warning("lease %s: %s", self._name, error)
            return False

    def _mine(self, spec: Json) -> bool:
        return spec.get("holderIdentity") == self._identity

    def _expired(self, lease: Json) -> bool:
        """Whether nobody has renewed it for its whole duration, as seen from here."""
        spec = lease.get("spec") or {}
        if not spec.get("holderIdentity"):
            return True
        version = lease["metadata"]["resourceVersion"]
        now = time.monotonic()
        if version != self._seen[0]:
            self._seen = (version, now)
        return now - self._seen[1] > float(spec.get("leaseDurationSeconds") or self._duration)

    def _release(self) -> None:
        try:
            lease = self._api.get(LEASES, self._name, self._namespace)
            if self._mine(lease.get("spec") or {}):
                del lease["spec"]["holderIdentity"]  # an empty one would be refused
                lease["spec"]["leaseDurationSeconds"] = 1
                self._api.update(LEASES, lease)
        except Failed as error:
            log.info("lease %s is left to expire: %s", self._name, error)

    def _lease(self, acquired: str, renewed: str, transitions: int) -> Json:
        return {
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(self._duration),
                "acquireTime": acquired,
                "renewTime": renewed,
                "leaseTransitions": transitions,
            },
        }

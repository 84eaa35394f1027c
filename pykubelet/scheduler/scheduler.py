"""`pykubelet scheduler`: election, informers, loop and servers, put together.

Only the leader watches: who waits for the lease costs nothing, and a new leader begins with a
fresh list, so it can't act on what an earlier one believed.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from typing import Any

from pykubelet.client.api import Api
from pykubelet.client.informer import wait_for_sync
from pykubelet.client.leases import Election
from pykubelet.scheduler.acting import Actor
from pykubelet.scheduler.brain import Brain
from pykubelet.scheduler.config.loading import Configuration, described
from pykubelet.scheduler.loop import Loop
from pykubelet.scheduler.metrics import Metrics
from pykubelet.scheduler.observing import informers
from pykubelet.scheduler.profiles import build

log = logging.getLogger(__name__)


class Scheduler:
    """`run` blocks until `stop` is set."""

    def __init__(self, api: Api, config: Configuration | None = None, identity: str = "") -> None:
        self._api = api
        self._config = config or Configuration()
        self._identity = identity or f"{socket.gethostname()}_{os.getpid()}"
        self._profiles = {one.name: build(one) for one in self._config.profiles}
        self._synced = threading.Event()
        self.metrics = Metrics()

    def run(self, stop: threading.Event) -> None:
        config = self._config
        if not config.leader_elect:
            self._lead(stop)
            return
        election = Election(
            self._api,
            config.lease_name,
            self._identity,
            namespace=config.lease_namespace,
            duration=config.lease_duration,
            deadline=config.renew_deadline,
            retry=config.retry_period,
        )
        election.run(self._lead, stop)

    def why_not_ready(self) -> str:
        """For /readyz. Who waits to lead is ready to."""
        if self.metrics.leads and not self._synced.is_set():
            return "the first lists are not read yet"
        return ""

    def configuration(self) -> dict[str, Any]:
        config = self._config
        profiles = [described(one) for one in config.profiles]
        return {"kubescheduler.config.k8s.io": {**config.written, "profiles": profiles}}

    def _lead(self, lost: threading.Event) -> None:
        config = self._config
        brain = Brain(
            self._profiles,
            first_backoff=config.first_backoff,
            longest_backoff=config.longest_backoff,
        )
        loop: Loop
        actor = Actor(self._api, lambda action, why_not: loop.done(action, why_not))
        loop = Loop(brain, actor.start, self.metrics)
        watching = informers(self._api, loop.see)
        self._synced.clear()
        self.metrics.watch(brain)
        threading.Thread(target=_wake_at, args=(lost, loop), daemon=True).start()
        try:
            for informer in watching:
                informer.start()
            if wait_for_sync(watching, lost):
                self._synced.set()
                log.info("%s schedules for %s", self._identity, ", ".join(self._profiles))
                loop.run(lost)
        finally:
            self.metrics.watch(None)
            for informer in watching:
                informer.stop()
            actor.stop()


def _wake_at(lost: threading.Event, loop: Loop) -> None:
    lost.wait()
    loop.wake()

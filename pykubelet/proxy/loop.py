"""The proxy's loop: observe → snapshot → decide → act → say.

Events name services that may have changed. A turn decides all of those anew, asks the plan what
follows, and has the backend make the difference in one transaction; changes that come in meanwhile
wait for the next turn together. Between two turns lies at least `least_wait`, so a storm of changes
costs a bounded rate of transactions. Whatever fails is made good by writing everything anew.

Others can break our rules. The kernel tells of every change to nftables rules (`watching`): then is
looked at once whether ours still stand, which costs microseconds, and thoroughly every `period`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from pykubelet.clock import Clock, SystemClock
from pykubelet.errors import Failed
from pykubelet.proxy import conntrack, programs
from pykubelet.proxy.backend import Backend
from pykubelet.proxy.health import ServicePorts, Wellness
from pykubelet.proxy.metrics import Metrics
from pykubelet.proxy.model import NodeFacts, Refusal, Settings
from pykubelet.proxy.nodes import facts, is_eligible
from pykubelet.proxy.observing import Source
from pykubelet.proxy.plan import Change, Plan, Ports
from pykubelet.proxy.services import HealthCheck, decide

log = logging.getLogger(__name__)

_FIRST_RETRY, _LAST_RETRY = 0.5, 30.0
#: A reload of a firewall is many transactions: look when it is over.
_SETTLE = 0.05


class Loop:
    """`touched` and `rules_changed` may be called from any thread; `run` is the loop itself, and
    `turn` one round of it, for tests."""

    def __init__(
        self,
        node_name: str,
        backend_of: Callable[[Settings], Backend],
        settings_of: Callable[[NodeFacts], Settings],
        wellness: Wellness,
        *,
        metrics: Metrics | None = None,
        health_ports: ServicePorts | None = None,
        least_wait: float = 0.02,
        period: float = 30.0,
        clock: Clock | None = None,
    ) -> None:
        self._node_name = node_name
        self._backend_of = backend_of
        self._settings_of = settings_of
        self._wellness = wellness
        self.metrics = metrics or Metrics()
        self._health_ports = health_ports
        self._least_wait = least_wait
        self._period = period
        self._clock = clock or SystemClock()
        self._lock = threading.Condition()
        self._dirty: dict[str, None] = {}
        self._triggers: list[float] = []
        self._disturbed_by = ""
        self._changed_by_others = True
        self._stopping = False

        self._source: Source | None = None
        self._plan = Plan()
        self._health: dict[str, HealthCheck] = {}
        self._facts: NodeFacts | None = None
        self._settings: Settings | None = None
        self._backend: Backend | None = None
        self._whole = False
        self._unfinished: list[Change] = []
        self._no_local: dict[str, tuple[int, int]] = {}
        self._said = ""
        #: Whether somebody calls `rules_changed` at every change.
        self.hears = False

    # -- from other threads ---------------------------------------------------------------------

    def touched(self, key: str, cause: float | None = None, endpoints: bool = False) -> None:
        """A service, or its `endpoints`, may have changed; the node, with key "". `cause`: when
        what it comes from happened, in wall seconds."""
        self._wellness.queued()
        (self.metrics.endpoint_changes if endpoints else self.metrics.service_changes).add()
        self.metrics.last_queued.set(self._clock.wall())
        with self._lock:
            self._dirty[key] = None
            if cause:
                self._triggers.append(cause)
            self._lock.notify()

    def rules_changed(self, process: int, name: str) -> None:
        """Somebody has changed nftables rules: one of our own programs, or another."""
        if programs.is_own(process):
            return
        with self._lock:
            self._disturbed_by = name or "somebody"
            self._lock.notify()

    def stop(self) -> None:
        with self._lock:
            self._stopping = True
            self._lock.notify()

    @property
    def backend(self) -> Backend | None:
        return self._backend

    # -- the loop -------------------------------------------------------------------------------

    def attach(self, source: Source) -> None:
        """Everything in it is new. It must have everything by now: what it lacks is taken away."""
        self._source = source
        with self._lock:
            self._dirty = dict.fromkeys((*self._dirty, "", *source.keys()))
        self._wellness.queued()

    def run(self) -> None:
        """Until `stop`, once a source is attached."""
        retry = _FIRST_RETRY
        check_at = self._clock.monotonic() + self._period
        while True:
            now = self._clock.monotonic()
            with self._lock:
                if not (self._dirty or self._disturbed_by or self._stopping):
                    self._lock.wait(max(0.0, check_at - now))
                if self._stopping:
                    return
                disturbed_by, self._disturbed_by = self._disturbed_by, ""
            if disturbed_by:
                self._pause(_SETTLE)
                self._changed_by_others = True
                self._check(disturbed_by, thorough=False)
            if self._clock.monotonic() >= check_at:
                self._check("", thorough=True)
                self._tidy()
                check_at = self._clock.monotonic() + self._period
            if self._dirty or not self._whole:
                if self.turn():
                    retry = _FIRST_RETRY
                    self._pause(self._least_wait)
                else:
                    self._pause(retry)
                    retry = min(retry * 2, _LAST_RETRY)

    def _pause(self, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        with self._lock:
            while not self._stopping and (left := until - self._clock.monotonic()) > 0:
                self._lock.wait(left)

    def turn(self) -> bool:
        """Take in what has changed and program it; whether that succeeded."""
        assert self._source
        with self._lock:
            keys, self._dirty = self._dirty, {}
            triggers, self._triggers = self._triggers, []
        began = self._clock.monotonic()
        if "" in keys:
            del keys[""]
            if self._look_at_node():
                keys = dict.fromkeys((*self._source.keys(), *self._plan.ports, *keys))
        changes = self._decide(keys)
        try:
            full = self._act(changes)
        except Failed as error:
            self._failed(error)
            return False
        took = self._clock.monotonic() - began
        self._done(took, full, changes, triggers)
        return True

    def _look_at_node(self) -> bool:
        """Whether every service has to be decided anew."""
        assert self._source
        node = self._source.node()
        self._wellness.eligible = is_eligible(node)
        found = facts(self._node_name, node)
        if found == self._facts:
            return False
        self._facts = found
        settings = self._settings_of(found)
        if settings != self._settings:
            self._settings = settings
            self._backend = self._backend_of(settings)
            self._whole = False
        return True

    def _decide(self, keys: dict[str, None]) -> list[Change]:
        assert self._source
        node = self._facts or NodeFacts(self._node_name)
        wanted = {}
        for key in keys:
            decided = decide(self._source.service(key), self._source.slices(key), node)
            wanted[key] = decided.ports
            if decided.health:
                self._health[key] = decided.health
            else:
                self._health.pop(key, None)
            self._count_no_local(key, decided.ports)
        return self._plan.update(wanted)

    def _count_no_local(self, key: str, ports: Ports) -> None:
        internal = sum(port.internal_refusal is Refusal.DROP for port in ports)
        external = sum(port.external_local and not port.local and port.served for port in ports)
        self._no_local.pop(key, None)
        if internal or external:
            self._no_local[key] = (internal, external)

    def _act(self, changes: list[Change]) -> bool:
        """Whether everything was written anew."""
        assert self._backend
        self._unfinished += changes
        full = not self._whole
        self._whole = False
        if full:
            self._backend.sync(self._plan.ports)
        elif changes:
            self._backend.change(changes)
        self._backend.set_health_checks(list(self._health.values()))
        self._whole = True
        if self._health_ports:
            self._health_ports.set(self._health.values())
        if self._unfinished:
            self._forget_flows()
        return full

    def _forget_flows(self) -> None:
        """Also of changes whose first attempt failed."""
        changes, self._unfinished = self._unfinished, []
        began = self._clock.monotonic()
        try:
            count = conntrack.forget(changes)
        except Failed as error:
            log.warning("stale UDP flows may go on: %s", error)
            return
        self.metrics.conntrack_deleted.add(count)
        self.metrics.conntrack_seconds.observe(self._clock.monotonic() - began)

    # -- what others do to our rules ------------------------------------------------------------

    def _check(self, by: str, *, thorough: bool) -> None:
        if not self._whole or not self._backend:
            return
        told = self.hears and self._backend.tells()
        if thorough and told and not self._changed_by_others:
            return  # nobody has changed any rule since
        try:
            damage = self._backend.damage(thorough)
        except Failed as error:
            self._failed(error)
            return
        if thorough:
            self._changed_by_others = False
        if damage:
            self.metrics.repairs.add()
            log.warning("%s%s; written anew", damage, f" (changed by {by})" if by else "")
            self._whole = False

    def _tidy(self) -> None:
        try:
            if self._whole and self._backend:
                self._backend.tidy()
        except Failed as error:
            self._failed(error)

    # -- say ------------------------------------------------------------------------------------

    def _done(self, took: float, full: bool, changes: list[Change], triggers: list[float]) -> None:
        now = self._clock.wall()
        self.metrics.sync_seconds.observe(took)
        which = self.metrics.full_sync_seconds if full else self.metrics.partial_sync_seconds
        which.observe(took)
        self.metrics.last_sync.set(now)
        if not full:  # the first list tells of causes long past
            for cause in triggers:
                self.metrics.programming_seconds.observe(max(0.0, now - cause))
        with self._lock:
            waiting = len(self._dirty)
        self.metrics.pending.set(waiting)
        for number, policy in enumerate(("internal", "external")):
            count = sum(counts[number] for counts in self._no_local.values())
            self.metrics.no_local_endpoints.set(count, traffic_policy=policy)
        if not waiting:
            self._wellness.updated()
        self._said = ""
        assert self._backend
        if full:
            text = "%d services programmed in %s in %.0f ms"
            log.info(text, len(self._plan), self._backend.name, took * 1000)
        elif changes:
            log.debug("%d services changed in %.1f ms", len(changes), took * 1000)

    def _failed(self, error: Failed) -> None:
        self._whole = False
        if self._backend:
            self.metrics.failures[self._backend.name].add()
        if str(error) != self._said:
            log.error("the service rules can't be written; will try again: %s", error)
        self._said = str(error)

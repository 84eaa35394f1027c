"""What the agent says of its node: looks at the host and the runtime, keeps the v1.Node up to date.

`look` is called every few seconds; it costs one call to the runtime and a few reads, and changes
the node only where something is different. The pieces are `node`'s: info, addresses, conditions,
status. Admission's `NodeFacts` follow from the same values.
"""

from __future__ import annotations

import logging
import platform
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from pykubelet.errors import Failed
from pykubelet.kubelet.config.configuration import Configuration
from pykubelet.kubelet.node import addresses, amounts, conditions, info
from pykubelet.kubelet.node import status as node_status
from pykubelet.kubelet.pods.admission import NodeFacts
from pykubelet.kubelet.runtime.client import Runtime
from pykubelet.kubelet.runtime.model import HandlerFeatures, Image, RuntimeStatus, RuntimeVersion
from pykubelet.objects import quantity

log = logging.getLogger(__name__)

Json = dict[str, Any]

#: Seconds between two looks at the list of images, which seldom changes and is long.
_IMAGES_EVERY = 60.0


def node_name(config: Configuration) -> str:
    """The node's name: the override, or the host's name in lower case."""
    return (config.hostname_override or platform.node()).strip().lower()


class NodeReport:
    def __init__(
        self,
        config: Configuration,
        runtime: Runtime,
        version: RuntimeVersion | None,
    ) -> None:
        self.name = node_name(config)
        self._config = config
        self._runtime = runtime
        self._version = version
        #: What keeps pods from coming in; set by whoever watches for it.
        self.pressures: Callable[[], frozenset[str]] = frozenset
        self.shutting_down: Callable[[], bool] = lambda: False
        #: Called with the Node whenever it has changed.
        self.on_change: Callable[[Json], None] = lambda node: None
        self._lock = threading.Lock()
        self._system = info.system()
        self.capacity = info.capacity(
            config.root_dir, max_pods=config.max_pods, pods_per_core=config.pods_per_core
        )
        self.allocatable = amounts.allocatable(
            self.capacity,
            amounts.reserved(config.system_reserved),
            amounts.reserved(config.kube_reserved),
            hard_eviction=config.eviction_hard,
        )
        self._host = addresses.Host()
        self.ips: tuple[str, ...] = self._choose_ips()
        self._images: tuple[Image, ...] = ()
        self._images_at = float("-inf")
        self._status = RuntimeStatus(False, False, "not asked yet")
        self.node: Json = self._compose([])

    @property
    def system(self) -> amounts.System:
        return self._system

    def host_ips(self) -> tuple[str, ...]:
        return self.ips

    def facts(self) -> NodeFacts:
        """The node as admission sees it."""
        listed = self.node["status"]["allocatable"]
        handlers = self._status.handlers
        return NodeFacts(
            name=self.name,
            labels=self.node["metadata"]["labels"],
            allocatable={name: Fraction(quantity.parse(text)) for name, text in listed.items()},
            max_pods=self.capacity.pods,
            allowed_sysctls=self._config.allowed_unsafe_sysctls,
            user_namespaces={name: h.user_namespaces for name, h in handlers.items()},
            taints=tuple(dict(taint) for taint in self._config.register_with_taints),
        )

    def features(self, handler: str) -> HandlerFeatures:
        """What one runtime handler can do, as far as the runtime says."""
        return self._status.handlers.get(handler, HandlerFeatures())

    def look(self) -> None:
        """See how things are now."""
        try:
            self._status = self._runtime.status()
            answers, message = self._status.ready, self._status.message
            if self._version is None:
                self._version = self._runtime.version()
            if time.monotonic() - self._images_at > _IMAGES_EVERY:
                self._images = self._runtime.images()
                self._images_at = time.monotonic()
        except Failed as error:
            self._status = RuntimeStatus(False, False, str(error))
            answers, message = False, str(error)
        self.ips = self._choose_ips() or self.ips
        facts = conditions.Facts(
            runtime_answers=answers,
            runtime_message=message,
            network_ready=self._status.network_ready,
            network_message=self._status.message,
            pressures=self.pressures(),
            shutting_down=self.shutting_down(),
        )
        with self._lock:
            before = self.node["status"]["conditions"]
            after = conditions.conditions(facts, before, time.time())
            news = conditions.changed(before, after)
            composed = self._compose(after)
            steady = conditions.steady(composed["status"])
            moved = steady != conditions.steady(self.node["status"])
            self.node = composed
        for condition in news:
            log.info("node: %s is %s: %s", condition["type"], condition["status"],
                     condition["message"])  # fmt: skip
        if moved:
            self.on_change(composed)

    def runtime_trouble(self) -> str:
        """Why the runtime is not ready, as it was last asked; "" where it is."""
        return "" if self._status.ready else self._status.message

    def _choose_ips(self) -> tuple[str, ...]:
        return addresses.choose(self._host, node_ips=self._config.node_ip, hostname=self.name)

    def _compose(self, found: list[Json]) -> Json:
        return node_status.node(
            self.name,
            system=self._system,
            capacity=self.capacity,
            allocatable=self.allocatable,
            addresses=addresses.node_addresses(self.ips, self.name),
            conditions=found,
            runtime=self._version,
            images=self._images,
            max_images=self._config.node_status_max_images,
            handlers=self._status.handlers,
            port=self._config.port,
            labels=self._config.node_labels,
            taints=self._config.register_with_taints,
            provider_id=self._config.provider_id,
            pod_cidr=self._config.pod_cidr,
        )

"""What the agent does by the clock: looks again where a hint may have been lost, and tidies up.

Every job is quick when there is nothing to do. `agent` starts them; `turns` runs them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

from pykubelet.errors import Failed, PykubeletError
from pykubelet.kubelet import rules
from pykubelet.kubelet.cgroups.tree import Cgroups
from pykubelet.kubelet.config.configuration import Configuration
from pykubelet.kubelet.node.collector import Collector
from pykubelet.kubelet.node.garbage import ContainerPolicy, Pods
from pykubelet.kubelet.node.logs import Rotation, remove_dead_links
from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.pods.manager import PodManager
from pykubelet.kubelet.report import NodeReport
from pykubelet.kubelet.runtime.client import Runtime
from pykubelet.kubelet.runtime.model import ContainerState
from pykubelet.kubelet.servers import Servers
from pykubelet.kubelet.volumes.manager import Volumes

log = logging.getLogger(__name__)

Json = dict[str, Any]

CONTAINERS_EVERY = 60.0
IMAGES_EVERY = 300.0
NETWORK_EVERY = 300.0
CERTIFICATE_EVERY = 3600.0


class Housekeeping:
    def __init__(
        self,
        config: Configuration,
        runtime: Runtime,
        manager: PodManager,
        collector: Collector,
        volumes: Volumes,
        cgroups: Cgroups,
        links: str,
        report: NodeReport,
        servers: Servers,
    ) -> None:
        self._config = config
        self._runtime = runtime
        self._manager = manager
        self._collector = collector
        self._volumes = volumes
        self._cgroups = cgroups
        self._links = links
        self._report = report
        self._servers = servers
        self._rotation = Rotation(
            runtime.reopen_log, config.container_log_max_size, config.container_log_max_files
        )

    def start(self) -> None:
        turns = self._manager.turns
        turns.every(self._config.sync_frequency, self._manager.relist)
        turns.every(self._config.node_status_update_frequency, self._report.look)
        self._rotate_logs()
        turns.every(CONTAINERS_EVERY, self._tidy)
        turns.every(IMAGES_EVERY, self._collect_images)
        turns.every(self._config.sync_frequency, self.refresh)
        turns.every(NETWORK_EVERY, self._tidy_network)
        # Made, or found good, when the servers started.
        turns.at(
            time.monotonic() + CERTIFICATE_EVERY,
            lambda: turns.every(CERTIFICATE_EVERY, self._renew_certificate),
        )

    def take_up(self, config: Configuration) -> None:
        """Go on by a changed configuration."""
        self._config = config
        self._rotation.max_size = config.container_log_max_size
        self._rotation.max_files = config.container_log_max_files

    def reclaim(self) -> None:
        """The disk is short: remove dead containers and unused images now."""
        policy = ContainerPolicy()
        self._collector.containers(self._pods(), policy, also_finished=True)
        self._collector.unused_images(self._wanted_images())

    def _pods(self) -> Pods:
        records = self._manager.records()
        return Pods(
            known=frozenset(r.uid for r in records),
            finished=frozenset(r.uid for r in records if r.terminated),
            complete=self._manager.sources_ready(),
        )

    def _wanted_images(self) -> Iterable[str]:
        return {
            container.get("image", "")
            for record in self._manager.records()
            for _, container in spec.containers(record.pod)
        }

    def _rotate_logs(self) -> None:
        running = {
            c.id: path
            for record in self._manager.records()
            for c in record.runtime.containers
            if c.state is ContainerState.RUNNING and (path := c.log_path)
        }
        try:
            self._rotation.rotate(running)
        finally:
            later = time.monotonic() + self._config.container_log_monitor_interval
            self._manager.turns.at(later, self._rotate_logs)

    def _tidy(self) -> None:
        """Dead containers, and what is left of pods that nobody knows."""
        try:
            self._collector.containers(self._pods(), ContainerPolicy())
        except Failed as error:
            log.debug("nothing collected: %s", error)
            return
        remove_dead_links(
            (c.id for r in self._manager.records() for c in r.runtime.containers), self._links
        )
        self._remove_orphans()

    def _remove_orphans(self) -> None:
        """Folders and cgroups of pods that neither a source nor the runtime knows of."""
        if not self._manager.sources_ready():
            return
        left = self._volumes.orphans() | self._cgroups.pods()
        left -= {record.uid for record in self._manager.records()}
        if not left:
            return
        try:
            left -= set(self._runtime.pods())
            for uid in left:
                log.info("removing what is left of pod %s", uid)
                self._volumes.teardown(uid)
                self._cgroups.remove_pod(uid)
        except Failed as error:
            log.warning("what is left of pods can't be removed: %s", error)

    def _collect_images(self) -> None:
        try:
            self._collector.images(rules.images(self._config), self._wanted_images())
        except Failed as error:
            log.debug("no images collected: %s", error)

    def _tidy_network(self) -> None:
        """Addresses and links of sandboxes that are gone; a runtime never asks for this itself."""
        try:
            for lease in self._servers.tidy_network():
                log.info("taken back from a sandbox that is gone: %s", lease)
        except PykubeletError as error:
            log.warning("the pod network can't be tidied: %s", error)

    def _renew_certificate(self) -> None:
        try:
            self._servers.renew(self._report.name, self._report.ips)
        except PykubeletError as error:
            log.warning("the serving certificate can't be renewed: %s", error)

    def refresh(self, uid: str = "") -> None:
        """Bring what containers see of ConfigMaps, Secrets and fields up to date, of one pod or of
        all of them."""
        for record in self._manager.records():
            if record.mounted and not record.released and uid in ("", record.uid):
                try:
                    self._volumes.refresh({**record.pod, "status": record.status})
                except Failed as error:
                    log.warning("%s: %s", record.full_name, error)

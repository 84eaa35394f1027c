"""The node agent, put together: makes the parts, joins them, starts and stops them.

Nothing is decided here. Read it to learn who talks to whom: sources → `pods.manager` → runtime,
volumes, cgroups; the runtime's events and the probes' results → `pods.manager`; all of them →
`backend` → `serve`. The command `pykubelet run` is `cli.run`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pykubelet.errors import Failed, PykubeletError
from pykubelet.kubelet import notify
from pykubelet.kubelet.backend import AgentBackend
from pykubelet.kubelet.cgroups import hugepages, tree
from pykubelet.kubelet.cgroups.limits import Rules
from pykubelet.kubelet.config.configuration import Configuration
from pykubelet.kubelet.events import WARNING, Recorder
from pykubelet.kubelet.figure_pages import FigurePages
from pykubelet.kubelet.guard import Guard
from pykubelet.kubelet.housekeeping import Housekeeping
from pykubelet.kubelet.node.collector import Collector
from pykubelet.kubelet.node.figures import Volume
from pykubelet.kubelet.node.gathering import Gathering
from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.pods.admission import admit
from pykubelet.kubelet.pods.backoff import Backoff
from pykubelet.kubelet.pods.log_folders import LogFolders
from pykubelet.kubelet.pods.manager import PodManager
from pykubelet.kubelet.pods.memory import Memory
from pykubelet.kubelet.pods.perform import Performer
from pykubelet.kubelet.pods.snapshot import Verdict
from pykubelet.kubelet.pods.tools import Tools
from pykubelet.kubelet.probes.manager import Probes
from pykubelet.kubelet.report import NodeReport
from pykubelet.kubelet.runtime import node_credentials
from pykubelet.kubelet.runtime.client import Runtime
from pykubelet.kubelet.runtime.model import Event, RuntimeVersion
from pykubelet.kubelet.runtime.pulls import Pulls
from pykubelet.kubelet.runtime.security import NodeSecurity
from pykubelet.kubelet.serve.backend import Check
from pykubelet.kubelet.servers import Servers
from pykubelet.kubelet.sources.folder import Folder
from pykubelet.kubelet.sources.local import LocalSources, Sources
from pykubelet.kubelet.volumes.manager import Volumes
from pykubelet.kubelet.volumes.model import Host

if TYPE_CHECKING:
    from pykubelet.kubelet.cluster_link import ClusterLink

log = logging.getLogger(__name__)

Json = dict[str, Any]

#: How often to look for changes where the runtime can't tell of them, in seconds.
RELIST_WITHOUT_EVENTS = 1.0
#: Seconds between two looks for what the pod network has left behind, and at the certificate.
NETWORK_EVERY = 300.0
CERTIFICATE_EVERY = 3600.0


class Agent:
    """`start` returns when the manifests have been read and their pods are on their way."""

    def __init__(self, config: Configuration) -> None:
        self.config = config
        self._stopping = threading.Event()
        self._connected = False
        self.recorder = Recorder()
        self.runtime = Runtime(config.container_runtime_endpoint, config.runtime_request_timeout)
        self.servers = Servers(config)

    # -- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Raises Failed where the host can't carry an agent. Waits for the runtime to answer."""
        self.servers.take_ports()
        version = self._wait_for_runtime()
        if version is None:
            return
        self._build(version)
        self.volumes.prepare()
        self.cgroups.ensure_tree(self._reservations())
        self.report.look()
        self.servers.start_cni(lambda: self._live_sandboxes())
        self.probes.start()
        if self.folder:
            self.folder.start()
            self._folder_changed()
        threading.Thread(target=self._watch_runtime, name="runtime-events", daemon=True).start()
        self.manager.relist()
        self.housekeeping.start()
        self.manager.turns.every(self.config.node_status_update_frequency, self.report.look)
        if self.link:
            self.link.start()
        self.guard.start()
        self.manager.turns.every(NETWORK_EVERY, self._collect_network)
        api = self.link.api if self.link else None
        self.servers.start(self.backend, self.report.name, self.report.ips, api)
        self.manager.turns.every(CERTIFICATE_EVERY, self._renew_certificate)

    def interrupt(self) -> None:
        """Have `start` give up waiting. May be called from a signal handler."""
        self._stopping.set()

    def stop(self) -> None:
        """Leave the node. Pods go on; another agent, or this one later, adopts them."""
        self._stopping.set()
        self.servers.stop()
        if self._connected:
            if self.link:
                self.link.stop()
            if self.folder:
                self.folder.stop()
            self.probes.stop()
            self.guard.stop()
            self.manager.turns.stop()
        self.runtime.close()

    # -- making the parts -----------------------------------------------------------------------

    def _wait_for_runtime(self) -> RuntimeVersion | None:
        said = ""
        while not self._stopping.is_set():
            try:
                return self.runtime.version()
            except Failed as error:
                sentence = f"waiting for the runtime at {self.runtime.endpoint}: {error}"
                if sentence != said:
                    log.warning("%s", sentence)
                    notify.status(sentence)
                said = sentence
                self._stopping.wait(0.2)
        return None

    def _build(self, version: RuntimeVersion) -> None:
        config = self.config
        driver = config.cgroup_driver or self.runtime.cgroup_driver() or _likely_driver()
        self.cgroups = tree.detect(config.cgroup_root, driver)
        for note in self.cgroups.notes():
            log.warning("%s", note)
        self.report = NodeReport(config, self.runtime, version)
        self.folder: Folder | None = None
        if config.static_pod_path:
            self.folder = Folder(
                Path(config.static_pod_path),
                self.report.name,
                Path(config.root_dir) / "manifests",
                self._folder_changed,
                rescan_seconds=config.file_check_frequency,
            )
        local = LocalSources(
            lambda: self.folder.manifests if self.folder else {}, lambda: self.report.node
        )
        self.link: ClusterLink | None = None
        self.sources: Sources = local
        if config.kubeconfig:
            # A node that stands alone does without the API client's 15 MB.
            from pykubelet.kubelet.cluster_link import ClusterLink

            self.link = ClusterLink(config, self.report, self.recorder, local, self._refresh)
            self.sources = self.link.sources
        self.volumes = Volumes(
            Path(config.root_dir),
            self.sources,
            host=Host(cluster_domain=config.cluster_domain, image_volumes=_mounts_images(version)),
        )
        self.logs = LogFolders(config.pod_logs_dir)
        self.probes = Probes(
            self.runtime.exec_sync,
            lambda uid: self.manager.changed(uid),
            on_unhealthy=self._unhealthy,
        )
        self.manager = PodManager(
            self.runtime,
            Performer(self._tools()),
            self.probes,
            Memory(Path(config.root_dir) / "status"),
            admit=self._admit,
            host_ips=self.report.host_ips,
            on_status=self._status_changed,
            on_gone=self._pod_gone,
            backoff=Backoff(cap=config.max_container_restart_period),
            runtime_name=version.name,
            expected_sources=frozenset({"file", "api"} if self.link else {"file"}),
        )
        if self.link:
            self.link.join(self.manager)
            self.recorder.sink = self.link.event
            self.report.on_change = self.link.node_changed
        collector = Collector(self.runtime, Path(config.pod_logs_dir), say=self._node_event)
        self.housekeeping = Housekeeping(
            config,
            self.runtime,
            self.manager,
            collector,
            self.volumes,
            self.cgroups,
            self.logs.links,
        )
        gathering = Gathering(
            self.report.name,
            self.runtime,
            self.cgroups,
            root_dir=config.root_dir,
            logs_dir=config.pod_logs_dir,
            volumes=self._volume_sizes,
            volume_period=config.volume_stats_agg_period,
        )
        self.guard = Guard(
            config,
            self.runtime,
            self.cgroups,
            self.manager,
            gathering,
            self.recorder,
            reclaim=self.housekeeping.reclaim,
            on_change=self.report.look,
        )
        self.report.pressures = lambda: self.guard.evictor.pressures
        figures = FigurePages(gathering, self.guard, self.manager, self.report, self.probes)
        self.backend = AgentBackend(
            config,
            self.runtime,
            self.manager,
            self.report,
            self.folder,
            self.logs,
            figures,
            checks=self._checks,
        )
        self._connected = True

    def _tools(self) -> Tools:
        config, host = self.config, self.cgroups.host
        capacity, allocatable = self.report.capacity, self.report.allocatable
        rules = Rules(
            node_memory=capacity.memory,
            allocatable_memory=allocatable.memory,
            node_swap=capacity.swap,
            cgroup_version=host.version,
            swap_controller=host.swap_controller,
            page_sizes=host.page_sizes or hugepages.page_sizes(),
            cpu_cfs_quota=config.cpu_cfs_quota,
            cpu_cfs_period=int(config.cpu_cfs_quota_period * 1_000_000),
            memory_throttling=config.memory_throttling_factor,
            memory_reservation=config.memory_reservation_policy,
            swap_behavior=config.swap_behavior or "NoSwap",
            single_process_oom_kill=config.single_process_oom_kill,
            pod_pids_limit=config.pod_pids_limit,
        )
        return Tools(
            config=config,
            runtime=self.runtime,
            pulls=Pulls(
                self.runtime,
                parallel=config.max_parallel_image_pulls
                or (1 if config.serialize_image_pulls else 5),
                node_secrets=lambda: node_credentials.read(
                    node_credentials.folders(Path(config.root_dir))
                ),
            ),
            volumes=self.volumes,
            cgroups=self.cgroups,
            rules=rules,
            sources=self.sources,
            logs=self.logs,
            recorder=self.recorder,
            host_ips=self.report.host_ips,
            active_pods=lambda: self.manager.active_pods(),
            runtime_handler=self._handler,
            features=lambda pod: self.report.features(self._handler(pod)),
            security=NodeSecurity(
                seccomp="RuntimeDefault" if config.seccomp_default else "Unconfined",
                seccomp_root=f"{config.root_dir}/seccomp",
                apparmor=_has_apparmor(),
                cpus=capacity.cpu_milli // 1000,
            ),
        )

    def _reservations(self) -> tree.NodeReservations:
        config = self.config
        whole, given = self.report.capacity, self.report.allocatable

        def reservation(written: Any) -> tree.Reservation:
            from pykubelet.kubelet.node.amounts import reserved

            amounts = reserved(written)
            return tree.Reservation(amounts.cpu_milli, amounts.memory, amounts.pids)

        return tree.NodeReservations(
            cpu_milli=given.cpu_milli,
            memory=given.memory if given.memory < whole.memory else whole.memory,
            pids=given.pids,
            system=reservation(config.system_reserved),
            kube=reservation(config.kube_reserved),
            enforce=frozenset(config.enforce_node_allocatable),
            system_cgroup=config.system_reserved_cgroup,
            kube_cgroup=config.kube_reserved_cgroup,
            memory_reservation=config.memory_reservation_policy,
        )

    # -- joining them ---------------------------------------------------------------------------

    def _folder_changed(self) -> None:
        assert self.folder
        manifests = list(self.folder.manifests.values())
        self.manager.want("file", [pod for manifest in manifests for pod in manifest.pods])
        for record in self.manager.records():
            self._refresh(record.uid)  # a ConfigMap or Secret beside it may have changed

    def _handler(self, pod: Json) -> str:
        """The runtime handler. Standing alone there are no RuntimeClasses: a name is a handler."""
        name = pod["spec"].get("runtimeClassName") or ""
        return self.link.handler(name) if self.link and name else name

    def _status_changed(self, pod: Json, status: Json) -> None:
        if self.link:
            self.link.reporting.status(pod, status)

    def _pod_gone(self, pod: Json) -> None:
        self.recorder.forget(spec.uid(pod))
        if self.link:
            self.link.reporting.gone(pod)

    def _refresh(self, uid: str) -> None:
        """An object that a pod refers to has changed: into its volumes with it, and whatever it
        waited for may be there."""
        self.manager.turns.task(lambda: self.housekeeping.refresh(uid))
        self.manager.try_again(uid)

    def _admit(self, pod: Json, others: list[Json]) -> Verdict | None:
        return self.guard.refusal(pod) or admit(pod, others, self.report.facts())

    def _watch_runtime(self) -> None:
        """Hints from the runtime; where it gives none, look often."""
        while not self._stopping.is_set():
            try:
                self.runtime.watch(self._runtime_changed, self._stopping)
            except PykubeletError as error:
                if self._stopping.is_set():
                    return
                log.info("no events from the runtime (%s): looking every second", error)
                self.manager.relist()
                self._stopping.wait(RELIST_WITHOUT_EVENTS)

    def _runtime_changed(self, event: Event) -> None:
        if event.uid:
            self.manager.changed(event.uid)
        else:  # the stream has just opened: what happened before it, nobody told
            self.manager.relist()

    def _unhealthy(self, uid: str, container: str, sentence: str) -> None:
        pod = self.manager.pod(uid)
        name = spec.full_name(pod) if pod else uid
        self.recorder.record(uid, name, WARNING, "Unhealthy", sentence)

    def _node_event(self, reason: str, message: str) -> None:
        self.recorder.record(self.report.name, self.report.name, WARNING, reason, message)

    def _live_sandboxes(self) -> set[str]:
        return {b.id for pod in self.runtime.pods().values() for b in pod.sandboxes}

    def _collect_network(self) -> None:
        """Addresses and links of sandboxes that are gone; a runtime never asks for this itself."""
        if self.servers.cni is None:
            return
        try:
            for lease in self.servers.cni.gc(self._live_sandboxes()):
                log.info("taken back from a sandbox that is gone: %s", lease)
        except PykubeletError as error:
            log.warning("the pod network can't be tidied: %s", error)

    def _renew_certificate(self) -> None:
        try:
            self.servers.renew(self.report.name, self.report.ips)
        except PykubeletError as error:
            log.warning("the serving certificate can't be renewed: %s", error)

    def _volume_sizes(self, pod: Json) -> list[Volume]:
        sizes = self.volumes.usage(spec.uid(pod))
        return [Volume(name, used, inodes) for name, (used, inodes) in sizes.items()]

    def _checks(self) -> Sequence[Check]:
        return [Check("syncloop", True)]


def _likely_driver() -> str:
    """For runtimes that can't be asked: systemd's where systemd is in charge of the host."""
    return "systemd" if Path("/run/systemd/system").is_dir() else "cgroupfs"


def _has_apparmor() -> bool:
    try:
        return Path("/sys/module/apparmor/parameters/enabled").read_text().startswith("Y")
    except OSError:
        return False


def _mounts_images(version: RuntimeVersion) -> bool:
    """containerd mounts images as volumes from 2.1 on."""
    numbers = version.version.lstrip("v").split(".")[:2]
    try:
        major, minor = (int(n) for n in numbers)
    except ValueError:
        return False
    return version.name == "containerd" and (major, minor) >= (2, 1)


def run(agent: Agent, stop: threading.Event) -> None:
    """Start, tell the service manager, stay until `stop` is set, stop."""
    agent.start()
    if stop.is_set():
        agent.stop()
        return
    notify.notify("READY=1", f"STATUS={agent.report.name} runs its pods")
    beat = notify.watchdog_seconds()
    while not stop.wait(beat / 2 if beat else None):
        notify.notify("WATCHDOG=1")
    notify.notify("STOPPING=1")
    began = time.monotonic()
    agent.stop()
    log.info("stopped after %.1f s; pods go on", time.monotonic() - began)

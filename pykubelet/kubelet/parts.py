"""The parts of the agent: made, and joined to each other.

Nothing is decided here, nothing is started. Read it to learn who talks to whom: sources →
`pods.manager` → runtime, volumes, cgroups; the runtime's events (`relisting`) and the probes'
results → `pods.manager`; all of them → `backend` → `serve`. `agent` brings them to life.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pykubelet.kubelet import relisting, rules
from pykubelet.kubelet.backend import AgentBackend
from pykubelet.kubelet.cgroups import hugepages, tree
from pykubelet.kubelet.config.configuration import Configuration
from pykubelet.kubelet.daemon.vitals import Vitals
from pykubelet.kubelet.events import WARNING, Recorder
from pykubelet.kubelet.figure_pages import FigurePages
from pykubelet.kubelet.guard import NAME as GUARD
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
from pykubelet.kubelet.rates import Rate
from pykubelet.kubelet.relisting import Relisting
from pykubelet.kubelet.report import NodeReport
from pykubelet.kubelet.runtime import node_credentials
from pykubelet.kubelet.runtime.client import Runtime
from pykubelet.kubelet.runtime.model import RuntimeVersion
from pykubelet.kubelet.runtime.pulls import Pulls
from pykubelet.kubelet.runtime.security import NodeSecurity
from pykubelet.kubelet.servers import Servers
from pykubelet.kubelet.shutdown import Shutdown
from pykubelet.kubelet.sources.folder import Folder
from pykubelet.kubelet.sources.local import LocalSources, Sources
from pykubelet.kubelet.volumes.manager import Volumes
from pykubelet.kubelet.volumes.model import Host

if TYPE_CHECKING:
    from pykubelet.kubelet.cluster_link import ClusterLink

Json = dict[str, Any]


class Parts:
    """Made once the runtime has answered. The order below is the order in which they need each
    other; what one has to tell an earlier one goes through the joining methods at the end."""

    def __init__(
        self, config: Configuration, runtime: Runtime, version: RuntimeVersion, servers: Servers
    ) -> None:
        self.config = config
        self.runtime = runtime
        self.servers = servers
        self.recorder = Recorder()
        root = Path(config.root_dir)

        driver = config.cgroup_driver or runtime.cgroup_driver() or _likely_driver()
        self.cgroups = tree.detect(config.cgroup_root, driver)
        self.report = NodeReport(config, runtime, version)

        self.folder: Folder | None = None
        if config.static_pod_path:
            self.folder = Folder(
                Path(config.static_pod_path),
                self.report.name,
                root / "manifests",
                self.folder_changed,
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
            root,
            self.sources,
            host=Host(cluster_domain=config.cluster_domain, image_volumes=_mounts_images(version)),
        )
        self.logs = LogFolders(config.pod_logs_dir)
        self.probes = Probes(
            runtime.exec_sync,
            lambda uid: self.manager.changed(uid),
            on_unhealthy=self._unhealthy,
        )
        self.memory = Memory(root / "status")
        self.backoff = Backoff(cap=config.max_container_restart_period)
        self.manager = PodManager(
            runtime,
            Performer(self._tools()),
            self.probes,
            self.memory,
            admit=self._admit,
            host_ips=self.report.host_ips,
            on_status=self._status_changed,
            on_gone=self._pod_gone,
            backoff=self.backoff,
            runtime_name=version.name,
            expected_sources=frozenset({"file", "api"} if self.link else {"file"}),
        )
        self.relisting = Relisting(runtime, self.manager)
        self.housekeeping = Housekeeping(
            config,
            runtime,
            self.manager,
            Collector(runtime, Path(config.pod_logs_dir), say=self._node_event),
            self.volumes,
            self.cgroups,
            self.logs.links,
            self.report,
            servers,
        )
        gathering = Gathering(
            self.report.name,
            runtime,
            self.cgroups,
            root_dir=config.root_dir,
            logs_dir=config.pod_logs_dir,
            volumes=self._volume_sizes,
            volume_period=config.volume_stats_agg_period,
        )
        self.guard = Guard(
            config,
            runtime,
            self.cgroups,
            self.manager,
            gathering,
            self.recorder,
            reclaim=self.housekeeping.reclaim,
            on_change=self.report.look,
        )
        self.shutdown = Shutdown(config, self.manager, self.report.look)
        self.vitals = Vitals(
            self.manager.turns,
            self.manager.records,
            self.report.runtime_trouble,
            loops=(
                *("timer", "probes", relisting.NAME, GUARD),
                *(("manifests",) if self.folder else ()),
                *(self.link.loops if self.link else ()),
            ),
        )
        figures = FigurePages(
            gathering,
            self.guard,
            self.manager,
            self.report,
            self.probes,
            self.vitals,
            runtime,
            self.cgroups.names,
        )
        self.backend = AgentBackend(
            config,
            runtime,
            self.manager,
            self.report,
            self.folder,
            self.logs,
            figures,
            checks=self.vitals.checks,
        )
        self.report.pressures = lambda: self.guard.evictor.pressures
        self.report.shutting_down = lambda: self.shutdown.underway
        if self.link:
            self.link.join(self.manager)
            self.recorder.sink = self.link.event
            self.report.on_change = self.link.node_changed

    def _tools(self) -> Tools:
        config, host = self.config, self.cgroups.host
        return Tools(
            config=config,
            runtime=self.runtime,
            pulls=Pulls(
                self.runtime,
                parallel=rules.parallel_pulls(config),
                pace=Rate(config.registry_pull_qps, config.registry_burst).wait,
                node_secrets=lambda: node_credentials.read(
                    node_credentials.folders(Path(config.root_dir))
                ),
            ),
            volumes=self.volumes,
            cgroups=self.cgroups,
            rules=rules.limits(
                config,
                self.report.capacity,
                self.report.allocatable,
                cgroup_version=host.version,
                swap_controller=host.swap_controller,
                page_sizes=host.page_sizes or hugepages.page_sizes(),
            ),
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
                cpus=self.report.capacity.cpu_milli // 1000,
            ),
        )

    def take_up(self, config: Configuration) -> None:
        """Go on by a changed configuration, of which only what needs no restart is new."""
        self.config = config
        self.backoff.cap = config.max_container_restart_period
        self.guard.take_up(config)
        self.housekeeping.take_up(config)
        self.servers.read_tokens(config)
        self.backend.take_up(config)

    # -- joining them ---------------------------------------------------------------------------

    def live_sandboxes(self) -> set[str]:
        return {b.id for pod in self.runtime.pods().values() for b in pod.sandboxes}

    def folder_changed(self) -> None:
        """What the manifest folder says has changed."""
        assert self.folder
        manifests = list(self.folder.manifests.values())
        self.manager.want("file", [pod for manifest in manifests for pod in manifest.pods])
        for record in self.manager.records():
            self._refresh(record.uid)  # a ConfigMap or Secret beside it may have changed

    def _refresh(self, uid: str) -> None:
        """An object that a pod refers to has changed: into its volumes with it, and whatever it
        waited for may be there."""
        self.manager.turns.task(lambda: self.housekeeping.refresh(uid))
        self.manager.try_again(uid)

    def _handler(self, pod: Json) -> str:
        """The runtime handler. Standing alone there are no RuntimeClasses: a name is a handler."""
        name = pod["spec"].get("runtimeClassName") or ""
        return self.link.handler(name) if self.link and name else name

    def _admit(self, pod: Json, others: list[Json]) -> Verdict | None:
        return (
            self.shutdown.refusal(pod)
            or self.guard.refusal(pod)
            or admit(pod, others, self.report.facts())
        )

    def _status_changed(self, pod: Json, status: Json) -> None:
        if self.link:
            self.link.reporting.status(pod, status)

    def _pod_gone(self, pod: Json) -> None:
        self.recorder.forget(spec.uid(pod))
        if self.link:
            self.link.reporting.gone(pod)

    def _unhealthy(self, uid: str, container: str, sentence: str) -> None:
        pod = self.manager.pod(uid)
        name = spec.full_name(pod) if pod else uid
        self.recorder.record(uid, name, WARNING, "Unhealthy", sentence)

    def _node_event(self, reason: str, message: str) -> None:
        self.recorder.record(self.report.name, self.report.name, WARNING, reason, message)

    def _volume_sizes(self, pod: Json) -> list[Volume]:
        sizes = self.volumes.usage(spec.uid(pod))
        return [Volume(name, used, inodes) for name, (used, inodes) in sizes.items()]


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

"""What the actions on a pod share: the neighbours they use, the pod they are about, how they fail.

`agent` makes the `Tools` once; `manager` makes a `Work` for each action it begins; `perform`,
`start` and `stop` use both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pykubelet.errors import Failed
from pykubelet.kubelet.cgroups.limits import Rules
from pykubelet.kubelet.cgroups.tree import Cgroups
from pykubelet.kubelet.config.configuration import Configuration
from pykubelet.kubelet.events import Recorder
from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.pods.log_folders import LogFolders
from pykubelet.kubelet.pods.names import dns_config, sandbox_hostname
from pykubelet.kubelet.pods.slots import Slots
from pykubelet.kubelet.pods.user_namespaces import UserNamespaces
from pykubelet.kubelet.probes.hooks import HookResult, Interrupt, run_hook
from pykubelet.kubelet.runtime.client import Runtime
from pykubelet.kubelet.runtime.model import HandlerFeatures, PodRuntime
from pykubelet.kubelet.runtime.pulls import Pulls
from pykubelet.kubelet.runtime.sandboxes import sandbox_config
from pykubelet.kubelet.runtime.security import NodeSecurity
from pykubelet.kubelet.volumes.manager import Volumes
from pykubelet.kubelet.volumes.model import Mounted
from pykubelet.network import resolv_conf

Json = dict[str, Any]

#: Starts beyond this many at a time only queue inside the runtime, which is bound by CPU.
PARALLEL_STARTS = 8
#: A start that takes longer than this, in seconds, hangs: others no longer wait for it.
START_PATIENCE = 5.0


class StepFailed(Failed):
    """A step of a pod's life failed: `reason` and `message` go into its status.

    `until` is the monotonic instant before which another try is of no use, where that is known.
    """

    def __init__(self, reason: str, message: str, until: float | None = None) -> None:
        self.reason = reason
        self.message = message
        self.until = until
        super().__init__(message)


class NameTaken(StepFailed):
    """The runtime holds the name for an attempt that it has not finished: take the next number."""


@dataclass(frozen=True, slots=True)
class Work:
    """What an action is about, as the turn that began it saw things.

    `interrupted` is set when the pod's end is asked for: hooks and waits give up.
    """

    pod: Json
    runtime: PodRuntime
    mounted: Mapping[str, Mounted]
    interrupted: Interrupt

    def record(self, recorder: Recorder, kind: str, reason: str, message: str) -> None:
        recorder.record(spec.uid(self.pod), spec.full_name(self.pod), kind, reason, message)


@dataclass(slots=True)
class Tools:
    """The adapters and facts that the actions need; made once, by `agent`."""

    config: Configuration
    runtime: Runtime
    pulls: Pulls
    volumes: Volumes
    cgroups: Cgroups
    rules: Rules
    sources: Any
    logs: LogFolders
    recorder: Recorder
    host_ips: Callable[[], tuple[str, ...]]
    active_pods: Callable[[], list[Json]]
    runtime_handler: Callable[[Json], str]
    features: Callable[[Json], HandlerFeatures]
    security: NodeSecurity
    user_namespaces: UserNamespaces = field(init=False)
    starts: Slots = field(default_factory=lambda: Slots(PARALLEL_STARTS, START_PATIENCE))

    def __post_init__(self) -> None:
        self.user_namespaces = UserNamespaces(
            Path(self.config.root_dir) / "pods", self.config.user_namespace_ids_per_pod
        )

    def pod_ips(self, work: Work) -> tuple[str, ...]:
        if spec.host_network(work.pod):
            return self.host_ips()
        sandbox = work.runtime.sandbox
        return sandbox.ips if sandbox else ()

    def user_namespace(self, pod: Json) -> tuple[int, int] | None:
        """The host IDs of the pod's own users, if it has any."""
        if pod["spec"].get("hostUsers") is not False or spec.host_network(pod):
            return None
        return self.user_namespaces.range_of(spec.uid(pod))

    def sandbox_config(
        self, pod: Json, attempt: int, warn: Callable[[str], None] = lambda words: None
    ) -> Json:
        """CRI's PodSandboxConfig; the same for the same pod and attempt, whenever it is asked.

        `warn` is told of DNS settings that could not be kept to, in a sentence fit for an event.
        """
        return sandbox_config(
            pod,
            attempt=attempt,
            log_directory=self.logs.folder(pod),
            hostname=sandbox_hostname(pod, self.config.cluster_domain),
            dns=dns_config(
                pod,
                node=resolv_conf.read(self.config.resolv_conf),
                cluster_dns=self.config.cluster_dns,
                cluster_domain=self.config.cluster_domain,
                alone=not self.config.kubeconfig,
                warn=warn,
            ),
            cgroup_parent=self.cgroups.parent(pod),
            user_namespace=self.user_namespace(pod),
            default_sysctls=self.config.default_pod_sysctls,
        )

    def hook(
        self, handler: Json, work: Work, container: Json, container_id: str, timeout: float
    ) -> HookResult:
        """Run a lifecycle hook of one container, at most `timeout` seconds."""
        ips = self.pod_ips(work)
        return run_hook(
            handler,
            pod=work.pod,
            container=container,
            container_id=container_id,
            pod_ip=ips[0] if ips else None,
            exec=self.runtime.exec_sync,
            timeout=timeout,
            interrupt=work.interrupted,
        )

"""Answers what the agent's own API asks: implements `serve.backend.Backend` from the live parts.

Everything comes from memory but for the streams, which the runtime serves itself. `agent` makes it
once all parts stand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pykubelet.clock import rfc3339
from pykubelet.errors import Invalid, NotFound
from pykubelet.kubelet.config import views
from pykubelet.kubelet.config.configuration import Configuration
from pykubelet.kubelet.figure_pages import FigurePages
from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.pods.log_folders import LogFolders
from pykubelet.kubelet.pods.manager import PodManager
from pykubelet.kubelet.pods.records import Record
from pykubelet.kubelet.pods.why import FileFacts, explain
from pykubelet.kubelet.report import NodeReport
from pykubelet.kubelet.runtime.client import Runtime
from pykubelet.kubelet.runtime.model import Container, ContainerState, ExecResult
from pykubelet.kubelet.serve.backend import (
    Check,
    ContainerRef,
    LogSource,
    MetricsKind,
    Streams,
)
from pykubelet.kubelet.serve.glance import glance
from pykubelet.kubelet.sources.folder import Folder
from pykubelet.version import VERSION

Json = dict[str, Any]


class AgentBackend:
    def __init__(
        self,
        config: Configuration,
        runtime: Runtime,
        manager: PodManager,
        report: NodeReport,
        folder: Folder | None,
        logs: LogFolders,
        figures: FigurePages,
        checks: Callable[[], Sequence[Check]],
    ) -> None:
        self._config = config
        self._runtime = runtime
        self._manager = manager
        self._report = report
        self._folder = folder
        self._logs = logs
        self._figures = figures
        self._checks = checks
        self._started = time.time()

    def take_up(self, config: Configuration) -> None:
        """Show a configuration that the agent has reloaded."""
        self._config = config

    # -- pods -----------------------------------------------------------------------------------

    def pods(self) -> Sequence[Json]:
        return [
            {"apiVersion": "v1", "kind": "Pod", **r.pod, "status": r.status}
            for r in self._manager.records()
            if r.source
        ]

    def running_pods(self) -> Sequence[Json]:
        found = []
        for uid, pod in self._runtime.pods().items():
            running = [c for c in pod.containers if c.state is ContainerState.RUNNING]
            if not running:
                continue
            found.append(
                {
                    "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": uid},
                    "spec": {
                        "containers": [
                            {"name": c.name, "image": c.image, "resources": {}} for c in running
                        ]
                    },
                    "status": {},
                }
            )
        return found

    # -- containers -----------------------------------------------------------------------------

    def find_log(self, ref: ContainerRef, previous: bool) -> LogSource:
        record, name = self._container_name(ref)
        attempts = [c for c in record.runtime.containers if c.name == name]
        if previous:
            attempts = attempts[1:]
        if not attempts:
            if previous:
                raise Invalid(
                    f'previous terminated container "{name}" in pod "{ref.pod}" not found'
                )
            raise Invalid(
                f'container "{name}" in pod "{ref.pod}" is waiting to start: '
                f"{_waiting_reason(record, name)}"
            )
        attempt = attempts[0]
        path = attempt.log_path or self._logs.path(record.pod, name, attempt.attempt)
        return LogSource(Path(path), lambda: self._still_running(record.uid, attempt.id))

    def exec_sync(self, ref: ContainerRef, command: Sequence[str]) -> ExecResult:
        return self._runtime.exec_sync(self._running(ref).id, list(command), 0)

    def exec_url(self, ref: ContainerRef, command: Sequence[str], streams: Streams) -> str:
        return self._runtime.exec_url(
            self._running(ref).id,
            command,
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
            tty=streams.tty,
        )

    def attach_url(self, ref: ContainerRef, streams: Streams) -> str:
        return self._runtime.attach_url(
            self._running(ref).id,
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
            tty=streams.tty,
        )

    def port_forward_url(self, ref: ContainerRef, ports: Sequence[int]) -> str:
        record = self._find(ref)
        sandbox = next((b for b in record.runtime.sandboxes if b.ready), None)
        if sandbox is None:
            raise NotFound(f'pod "{ref.pod}" has no sandbox that runs')
        return self._runtime.port_forward_url(sandbox.id, ports)

    def _find(self, ref: ContainerRef) -> Record:
        """The record of a pod by name; of two of one name the one that runs here now."""
        found = [
            r
            for r in self._manager.records()
            if spec.name(r.pod) == ref.pod
            and spec.namespace(r.pod) == ref.namespace
            and (
                not ref.uid or ref.uid in (r.uid, spec.annotations_of(r.pod).get(spec.CONFIG_HASH))
            )
        ]
        found.sort(key=lambda r: (bool(r.runtime.sandboxes), r.wanted))
        if not found:
            raise NotFound(f'pod "{ref.pod}" is not on this node (namespace "{ref.namespace}")')
        return found[-1]

    def _container_name(self, ref: ContainerRef) -> tuple[Record, str]:
        record = self._find(ref)
        names = [c["name"] for _, c in spec.containers(record.pod)]
        names += [c.name for c in record.runtime.containers if c.name not in names]
        regular = [c["name"] for c in spec.regular_containers(record.pod)] or names
        name = ref.container or (regular[0] if regular else "")
        if name not in names:
            raise NotFound(
                f'container "{name}" is not in pod "{ref.pod}"; it has {", ".join(names) or "none"}'
            )
        return record, name

    def _running(self, ref: ContainerRef) -> Container:
        record, name = self._container_name(ref)
        latest = record.runtime.latest(name)
        if latest is None or latest.state is not ContainerState.RUNNING:
            raise NotFound(f'container "{name}" of pod "{ref.pod}" is not running')
        return latest

    def _still_running(self, uid: str, container: str) -> bool:
        found = self._runtime.pods(uid).get(uid)
        return any(
            c.id == container and c.state is ContainerState.RUNNING
            for c in (found.containers if found else ())
        )

    # -- figures --------------------------------------------------------------------------------

    def summary(self, only_cpu_and_memory: bool) -> Json:
        return self._figures.summary(only_cpu_and_memory)

    def metrics(self, kind: MetricsKind) -> str:
        return self._figures.metrics(kind)

    # -- explaining -----------------------------------------------------------------------------

    def why(self, target: str) -> Json:
        record = self._named(target)
        if record is not None:
            file = self._file_of(record)
            return explain(target, file, record.snapshot, record.decision, record.status).to_json()
        facts = self._file_facts(target)
        if facts is None:
            raise NotFound(
                f"nothing here is called {target}: no pod of this node, and no file in "
                f"{self._config.static_pod_path}"
            )
        return explain(target, facts).to_json()

    def _named(self, target: str) -> Record | None:
        namespace, _, name = target.rpartition("/")
        path = self._path(target)
        manifest = self._folder.manifests.get(path) if self._folder else None
        uids = {spec.uid(pod) for pod in manifest.pods} if manifest else set()
        best: Record | None = None
        for record in self._manager.records():
            names = {spec.name(record.pod), spec.name(record.pod).removesuffix(self._suffix())}
            hit = name in names and namespace in ("", spec.namespace(record.pod))
            named = record.uid in uids or (hit and not target.startswith("/"))
            if named and (best is None or record.wanted):
                best = record
        return best

    def _suffix(self) -> str:
        return f"-{self._report.name}"

    def _path(self, target: str) -> str:
        return target if target.startswith("/") else f"{self._config.static_pod_path}/{target}"

    def _file_of(self, record: Record) -> FileFacts | None:
        if self._folder is None or record.source == "api":
            return None
        for path, manifest in self._folder.manifests.items():
            if any(spec.uid(pod) == record.uid for pod in manifest.pods):
                return self._folder.facts(path)
        return FileFacts(path="its manifest", exists=False)

    def _file_facts(self, target: str) -> FileFacts | None:
        if self._folder is None:
            return None
        facts = self._folder.facts(self._path(target))
        return facts if facts.exists or facts.problems or target.startswith("/") else None

    def status(self) -> Json:
        records = self._manager.records()
        refused = self._folder.refusals if self._folder else {}
        return glance(
            self._report.node,
            [{**r.pod, "status": r.status} for r in records],
            {r.uid: r.decision.sentence for r in records if r.decision},
            {path: refusal.sentence for path, refusal in refused.items()},
            {
                "version": VERSION,
                "startedAt": rfc3339(self._started),
                "manifests": self._config.static_pod_path,
                "watching": self._folder.watching if self._folder else "nothing",
            },
        )

    # -- itself ---------------------------------------------------------------------------------

    def configz(self) -> Json:
        found: Json = views.configz(self._config)["kubeletconfig"]
        return found

    def node(self) -> Json:
        return self._report.node

    def healthy(self) -> Sequence[Check]:
        return self._checks()


def _waiting_reason(record: Record, name: str) -> str:
    for lists in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"):
        for container in record.status.get(lists) or ():
            waiting = container.get("state", {}).get("waiting")
            if container["name"] == name and waiting:
                return waiting.get("reason", "")
    return "ContainerCreating"

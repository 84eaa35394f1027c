"""The agent's side of a cluster, put together: everything that it says to and hears from the API.

`agent` makes one where there is a kubeconfig. Without one, and while the server is away, the node
does all that it can by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pykubelet.client.api import Api
from pykubelet.client.events import EventRecorder
from pykubelet.client.informer import Informer
from pykubelet.client.resources import NODES, RUNTIME_CLASSES
from pykubelet.client.transport import HttpTransport
from pykubelet.kubelet import membership
from pykubelet.kubelet.config.configuration import Configuration
from pykubelet.kubelet.events import WARNING, Event, Recorder
from pykubelet.kubelet.membership import Membership
from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.pods.manager import PodManager
from pykubelet.kubelet.pods.reporting import Reporting
from pykubelet.kubelet.rates import Rate
from pykubelet.kubelet.report import NodeReport
from pykubelet.kubelet.sources.cluster import ClusterPods
from pykubelet.kubelet.sources.local import LocalSources
from pykubelet.kubelet.sources.references import ClusterSources, Key, references
from pykubelet.pki import kubeconfig

log = logging.getLogger(__name__)

Json = dict[str, Any]


class ClusterLink:
    """`join` once the pods have a manager; then `start`. `loops` are the threads to be alive."""

    loops = membership.LOOPS

    def __init__(
        self,
        config: Configuration,
        report: NodeReport,
        recorder: Recorder,
        local: LocalSources,
        on_object: Callable[[str], None],
    ) -> None:
        """`on_object(uid)` is called for each pod that refers to an object which has changed."""
        self._report = report
        self._recorder = recorder
        self._on_object = on_object
        self.api = Api(HttpTransport(kubeconfig.read(Path(config.kubeconfig)), "pykubelet-agent"))
        self.sources = ClusterSources(self.api, local, self._object_changed)
        self.pods = ClusterPods(self.api, report.name, self._pods_changed, self._mirror_changed)
        self.reporting = Reporting(self.api, self.pods.get, self._node_reference, self._warn)
        self.membership = Membership(
            self.api,
            lambda: report.node,
            lease_duration=config.node_lease_duration_seconds,
            report_every=config.node_status_report_frequency,
            register=config.register_node,
        )
        self._classes = Informer(self.api, RUNTIME_CLASSES)
        self._node = Informer(self.api, NODES, field_selector=f"metadata.name={report.name}")
        self._node.add_handler(self._node_seen)
        self._events = EventRecorder(self.api, "kubelet", report.name)
        self._event_rate = Rate(config.event_record_qps, config.event_burst)
        self._manager: PodManager | None = None

    def join(self, manager: PodManager) -> None:
        self._manager = manager

    def start(self) -> None:
        self.membership.start()
        self._node.start()
        self._classes.start()
        self.sources.start()
        self.pods.start()

    def stop(self) -> None:
        self._events.stop()
        self.membership.stop()
        self.reporting.stop()
        self.pods.stop()
        self.sources.stop()
        self._classes.stop()
        self._node.stop()

    # -- what the agent asks and tells ----------------------------------------------------------

    def handler(self, class_name: str) -> str:
        """The runtime handler of a RuntimeClass; the name itself where none is known."""
        found = self._classes.store.get(class_name)
        return str(found["handler"]) if found else class_name

    def node(self) -> Json | None:
        """The Node object as the server has it."""
        return self._node.store.get(self._report.name)

    def node_changed(self, node: Json) -> None:
        self.membership.changed()

    def event(self, event: Event) -> None:
        """Carry an event of the agent's to the API, unless there have been too many of late."""
        assert self._manager
        if not self._event_rate.allows():
            return
        pod = self._manager.pod(event.about)
        if pod is not None:
            mirror = self.pods.get(spec.full_name(pod))
            about = {"apiVersion": "v1", "kind": "Pod", **(mirror or pod)}
        elif event.about == self._report.name:
            about = {"kind": "Node", "name": event.about, "uid": event.about}
        else:
            return
        self._events.record(about, event.kind, event.reason, event.message)

    # -- joining the parts ----------------------------------------------------------------------

    def _pods_changed(self, pods: list[Json]) -> None:
        assert self._manager
        self._manager.want("api", pods)
        self.sources.keep_only(self._manager.active_pods() + pods)

    def _mirror_changed(self, full_name: str) -> None:
        self.reporting.look(full_name)

    def _object_changed(self, key: Key) -> None:
        assert self._manager
        for record in self._manager.records():
            if key in references(record.pod):
                self._on_object(record.uid)

    def _node_seen(self, old: Json | None, new: Json | None) -> None:
        if new is None:
            self.membership.gone()

    def _node_reference(self) -> Json | None:
        node = self.node()
        if node is None:
            return None
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "name": node["metadata"]["name"],
            "uid": node["metadata"]["uid"],
            "controller": True,
        }

    def _warn(self, pod: Json, message: str) -> None:
        self._recorder.record(
            spec.uid(pod), spec.full_name(pod), WARNING, "FailedMirrorPod", message
        )

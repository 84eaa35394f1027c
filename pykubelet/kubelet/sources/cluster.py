"""Pods from the API server: those bound to this node, as a watch tells of them.

From here on a pod is like one from a file. Until the first list is in, nothing is known of the
cluster's pods and none is taken for gone; while the server is away, what was last heard holds.
Mirror pods, the server's picture of static pods, are kept apart: they are never run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pykubelet.client.api import Api
from pykubelet.client.informer import Informer
from pykubelet.client.resources import PODS
from pykubelet.kubelet.pods import spec

Json = dict[str, Any]


class ClusterPods:
    """`on_pods(pods)` is called with all of them whenever one has changed, `on_mirror(name)` with
    the full name of each mirror pod that came, changed or went."""

    def __init__(
        self,
        api: Api,
        node_name: str,
        on_pods: Callable[[list[Json]], None],
        on_mirror: Callable[[str], None],
    ) -> None:
        self._on_pods = on_pods
        self._on_mirror = on_mirror
        self._informer = Informer(api, PODS, field_selector=f"spec.nodeName={node_name}")
        self._informer.add_handler(self._changed)

    def start(self) -> None:
        self._informer.start()

    def stop(self) -> None:
        self._informer.stop()

    @property
    def synced(self) -> bool:
        return self._informer.synced.is_set()

    def get(self, full_name: str) -> Json | None:
        """The object as last heard of, mirror pods included."""
        return self._informer.store.get(full_name)

    def settle(self) -> None:
        """Tell again what is known, for when something else decides whether it counts."""
        if self.synced:
            self._on_pods([p for p in self._informer.store.all() if not spec.is_mirror(p)])

    def _changed(self, old: Json | None, new: Json | None) -> None:
        changed = new or old
        if changed is not None and spec.is_mirror(changed):
            self._on_mirror(spec.full_name(changed))
        elif self.synced:
            self.settle()

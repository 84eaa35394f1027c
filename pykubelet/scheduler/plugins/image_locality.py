"""ImageLocality: better where the pod's images are, counted by size, and the less the fewer nodes
have them, so that one node with the image doesn't draw every pod to itself."""

from __future__ import annotations

from collections.abc import Sequence

from pykubelet.scheduler.framework import MAX_SCORE, Bar, Joint, Plugin
from pykubelet.scheduler.nodes import NodeInfo
from pykubelet.scheduler.pods import PodInfo, Shape
from pykubelet.scheduler.snapshot import Snapshot

_MEGABYTE = 1024 * 1024
_LOW, _HIGH = 23 * _MEGABYTE, 1000 * _MEGABYTE
"""Below the first, images of a container are not worth a thought; more than the second per
container is worth no more."""


class ImageLocality(Plugin):
    name = "ImageLocality"

    def joint(self, pod: PodInfo, view: Snapshot) -> Joint | None:
        return _Images(pod.shape, view) if pod.shape.images else None


class _Images:
    """Asked anew for each decision, since a node's images count for what other nodes have."""

    def __init__(self, shape: Shape, view: Snapshot) -> None:
        self._images = shape.images
        self._highest = _HIGH * shape.containers
        self._view = view

    def change(self, node: NodeInfo, pod: PodInfo, sign: int) -> None: ...

    def bars(self) -> Sequence[Bar]:
        return ()

    def scores(self, found: Sequence[int]) -> list[int] | None:
        view = self._view
        total = len(view)
        known = [view.images[image] for image in self._images if image in view.images]
        # Sizes are per node; each counts for the share of nodes that have the image.
        weighed = [(on, len(on) / total) for on in known if max(on.values()) * len(on) / total]
        if not weighed:
            return None
        nodes = view.nodes
        made = []
        for index in found:
            name = nodes[index].facts.name
            size = sum(int(on.get(name, 0) * share) for on, share in weighed)
            size = max(_LOW, min(size, self._highest))
            made.append(MAX_SCORE * (size - _LOW) // (self._highest - _LOW))
        return made if any(made) else None

    def fresh(self, view: Snapshot) -> bool:
        return True

"""What the server counts, under upstream's names, for `/metrics`.

Labels come from the table of resources, never from what clients send, so their number is bounded.
Source: "Kubernetes Metrics Reference", stable and beta metrics of the API server.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Iterator

from pykubelet.apiserver.cache.caches import Caches
from pykubelet.apiserver.resources.registry import Registry, Resource
from pykubelet.apiserver.routes import Route

_BUCKETS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0,
            8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0)  # fmt: skip
_VERBS = {"get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT",
          "patch": "PATCH", "delete": "DELETE", "deletecollection": "DELETECOLLECTION"}  # fmt: skip
_LONG = ("watch", "connect")
_CHANGING = ("create", "update", "patch", "delete", "deletecollection")

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counts requests. Lives on the event loop."""

    def __init__(self) -> None:
        self._requests: dict[tuple[Labels, int], int] = {}
        self._durations: dict[Labels, list[float]] = {}
        self._inflight = {"readOnly": 0, "mutating": 0}

    def begin(self, route: Route) -> None:
        self._inflight[_kind(route)] += 1

    def end(self, route: Route, resource: Resource | None, code: int, seconds: float) -> None:
        """A request that `begin` was told of has been answered (a watch: has begun)."""
        self._inflight[_kind(route)] -= 1
        labels = _labels(route, resource)
        key = labels, code
        self._requests[key] = self._requests.get(key, 0) + 1
        if route.verb in _LONG:
            return
        row = self._durations.get(labels)
        if row is None:
            row = self._durations[labels] = [0.0] * (len(_BUCKETS) + 3)
        row[bisect_left(_BUCKETS, seconds)] += 1
        row[-2] += 1
        row[-1] += seconds

    def render(self, registry: Registry, caches: Caches) -> str:
        """In Prometheus' text format."""
        return "\n".join(self._lines(registry, caches)) + "\n"

    def _lines(self, registry: Registry, caches: Caches) -> Iterator[str]:
        yield "# TYPE apiserver_request_total counter"
        for (labels, code), count in self._requests.items():
            yield f"apiserver_request_total{_shown((*labels, ('code', str(code))))} {count}"
        name = "apiserver_request_duration_seconds"
        yield f"# TYPE {name} histogram"
        for labels, row in self._durations.items():
            below = 0.0
            for bound, fell in zip((*_BUCKETS, "+Inf"), row, strict=False):
                below += fell
                yield f"{name}_bucket{_shown((*labels, ('le', str(bound))))} {below:g}"
            yield f"{name}_sum{_shown(labels)} {row[-1]:.9g}"
            yield f"{name}_count{_shown(labels)} {row[-2]:g}"
        yield "# TYPE apiserver_current_inflight_requests gauge"
        for kind, count in self._inflight.items():
            labels = (("request_kind", kind),)
            yield f"apiserver_current_inflight_requests{_shown(labels)} {count}"
        yield "# TYPE apiserver_storage_objects gauge"
        yield "# TYPE apiserver_longrunning_requests gauge"
        for resource in registry:
            if not resource.stored:
                continue
            collection = caches.of(resource)
            if not resource.stored_as:
                labels = (("resource", resource.qualified),)
                yield f"apiserver_storage_objects{_shown(labels)} {len(collection)}"
            if collection.watchers:
                labels = (("group", resource.group), ("resource", resource.plural),
                          ("verb", "WATCH"), ("version", resource.version))  # fmt: skip
                count = len(collection.watchers)
                yield f"apiserver_longrunning_requests{_shown(labels)} {count}"
        yield "# TYPE process_cpu_seconds_total counter"
        yield f"process_cpu_seconds_total {time.process_time():.2f}"
        yield "# TYPE process_resident_memory_bytes gauge"
        yield f"process_resident_memory_bytes {_resident()}"


def _kind(route: Route) -> str:
    return "mutating" if route.verb in _CHANGING else "readOnly"


def _labels(route: Route, resource: Resource | None) -> Labels:
    if resource is None:
        return (("group", ""), ("resource", ""), ("scope", ""), ("subresource", ""),
                ("verb", _VERBS.get(route.verb, route.verb.upper()[:8])),
                ("version", ""))  # fmt: skip
    known = resource.subresource(route.subresource) if route.subresource else None
    scope = "cluster"
    if route.name:
        scope = "resource"
    elif route.namespace:
        scope = "namespace"
    return (
        ("group", resource.group), ("resource", resource.plural), ("scope", scope),
        ("subresource", known.name if known else ""),
        ("verb", _VERBS.get(route.verb, "other")), ("version", resource.version),
    )  # fmt: skip


def _shown(labels: Labels) -> str:
    return "{" + ",".join(f'{key}="{value}"' for key, value in labels) + "}"


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

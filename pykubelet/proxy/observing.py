"""What the API says of services, slices and this node, kept by informers.

An event wakes the loop with the key of the one service that it is about. The loop then reads the
stores, so that an event is a hint and never the state itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from pykubelet.client.api import Api
from pykubelet.client.informer import Informer, wait_for_sync
from pykubelet.client.resources import ENDPOINT_SLICES, NODES, SERVICES
from pykubelet.clock import from_rfc3339
from pykubelet.proxy.services import HEADLESS_LABEL, PROXY_NAME_LABEL, service_of

Json = dict[str, Any]

TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"


class Source(Protocol):
    """What the loop reads. Keys are `namespace/name` of services."""

    def keys(self) -> Iterable[str]: ...

    def service(self, key: str) -> Json | None: ...

    def slices(self, key: str) -> list[Json]: ...

    def node(self) -> Json | None: ...


#: `touched(service key, when the cause happened in wall seconds if known, whether it is about the
#: service's endpoints)`; key "" is the node.
Touched = Callable[[str, float | None, bool], None]


class ApiSource:
    """`start`, then `wait`: from then on the stores hold what the server has."""

    def __init__(self, api: Api, node_name: str, touched: Touched) -> None:
        self._node_name = node_name
        self._touched = touched
        ours = f"!{PROXY_NAME_LABEL},!{HEADLESS_LABEL}"
        self._services = Informer(api, SERVICES, label_selector=ours)
        self._slices = Informer(
            api, ENDPOINT_SLICES, label_selector=ours, indexes={"service": _index}
        )
        self._nodes = Informer(api, NODES, field_selector=f"metadata.name={node_name}")
        self._services.add_handler(self._service_changed)
        self._slices.add_handler(self._slice_changed)
        self._nodes.add_handler(self._node_changed)
        self._all = (self._services, self._slices, self._nodes)

    def start(self) -> None:
        for informer in self._all:
            informer.start()

    def wait(self, stop: threading.Event) -> bool:
        """False where `stop` came first."""
        return wait_for_sync(self._all, stop)

    def stop(self) -> None:
        for informer in self._all:
            informer.stop()

    # -- Source ---------------------------------------------------------------------------------

    def keys(self) -> Iterable[str]:
        return self._services.store.keys()

    def service(self, key: str) -> Json | None:
        return self._services.store.get(key)

    def slices(self, key: str) -> list[Json]:
        return self._slices.store.by("service", key)

    def node(self) -> Json | None:
        return self._nodes.store.get(self._node_name)

    # -- handlers -------------------------------------------------------------------------------

    def _service_changed(self, old: Json | None, new: Json | None) -> None:
        metadata = ((new or old) or {})["metadata"]
        self._touched(f"{metadata.get('namespace', '')}/{metadata['name']}", None, False)

    def _slice_changed(self, old: Json | None, new: Json | None) -> None:
        for slice_ in (old, new):
            key = service_of(slice_) if slice_ else ""
            if key:
                self._touched(key, _trigger(slice_ or {}) if slice_ is new else None, True)

    def _node_changed(self, old: Json | None, new: Json | None) -> None:
        self._touched("", None, False)


def _index(slice_: Json) -> Iterable[str]:
    key = service_of(slice_)
    return (key,) if key else ()


def _trigger(slice_: Mapping[str, Any]) -> float | None:
    stamp = (slice_["metadata"].get("annotations") or {}).get(TRIGGER_TIME)
    try:
        return from_rfc3339(stamp) if stamp else None
    except ValueError:
        return None

"""A local copy of a resource, kept up to date by list and watch.

Handlers hear of every change in order; readers get the objects themselves, which are read-only by
convention. When the watch breaks it goes on from the last version; when that is too old, the list
is read again and the difference told, so that a handler never misses a deletion.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pykubelet.client.api import Api
from pykubelet.client.errors import ApiError, Gone
from pykubelet.client.resources import Resource
from pykubelet.errors import Failed

if TYPE_CHECKING:
    from pykubelet.client.transport import Stream

log = logging.getLogger(__name__)

Json = dict[str, Any]

#: `old` is None for an addition, `new` is None for a deletion.
Handler = Callable[[Json | None, Json | None], None]
Index = Callable[[Json], Iterable[str]]

#: Seconds. A server that is back is heard of soon after, and one that is away is not hurried.
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 5.0


def key_of(object_: Mapping[str, Any]) -> str:
    """`namespace/name`, or the name alone."""
    metadata = object_["metadata"]
    namespace = metadata.get("namespace")
    return f"{namespace}/{metadata['name']}" if namespace else metadata["name"]


class Store:
    """Objects by key, and by whatever indexes ask for. Thread-safe."""

    def __init__(self, indexes: Mapping[str, Index] | None = None) -> None:
        self._lock = threading.Lock()
        self._objects: dict[str, Json] = {}
        self._index_functions = dict(indexes or {})
        self._indexes: dict[str, dict[str, dict[str, None]]] = {
            n: {} for n in self._index_functions
        }
        #: The resource version up to which everything is shown here.
        self.version = 0

    def get(self, key: str) -> Json | None:
        with self._lock:
            return self._objects.get(key)

    def all(self, namespace: str = "") -> list[Json]:
        with self._lock:
            found = list(self._objects.values())
        if namespace:
            found = [o for o in found if o["metadata"].get("namespace") == namespace]
        return found

    def by(self, index: str, value: str) -> list[Json]:
        """The objects for which the index function gave this value."""
        with self._lock:
            keys = self._indexes[index].get(value, ())
            return [self._objects[key] for key in keys]

    def __len__(self) -> int:
        return len(self._objects)

    def put(self, object_: Json) -> Json | None:
        """Keep it; what was there before."""
        key = key_of(object_)
        with self._lock:
            old = self._objects.get(key)
            self._unindex(key, old)
            self._objects[key] = object_
            for name, values in self._index_functions.items():
                for value in values(object_):
                    self._indexes[name].setdefault(value, {})[key] = None
            return old

    def drop(self, key: str) -> Json | None:
        with self._lock:
            old = self._objects.pop(key, None)
            self._unindex(key, old)
            return old

    def keys(self) -> set[str]:
        with self._lock:
            return set(self._objects)

    def reached(self, version: str) -> None:
        """Whatever happened up to this version is in here now."""
        if version.isdigit():
            self.version = int(version)

    def _unindex(self, key: str, old: Json | None) -> None:
        if old is None:
            return
        for name, values in self._index_functions.items():
            for value in values(old):
                keys = self._indexes[name].get(value)
                if keys:
                    keys.pop(key, None)
                    if not keys:
                        del self._indexes[name][value]


class Informer:
    """`start` begins; `synced` is set when the first list is in the store and told."""

    def __init__(
        self,
        api: Api,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexes: Mapping[str, Index] | None = None,
        transform: Callable[[Json], Json] | None = None,
    ) -> None:
        """`transform` makes of each object what is to be kept and told in its place, to save
        memory: it needs `metadata` with name, namespace, uid and resourceVersion."""
        self.resource = resource
        self.store = Store(indexes)
        self.synced = threading.Event()
        self._api = api
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._transform = transform
        self._handlers: list[Handler] = []
        self._stopping = threading.Event()
        self._stream: Stream | None = None
        self._thread: threading.Thread | None = None

    def add_handler(self, handler: Handler) -> None:
        """Before `start`. Called on the informer's thread: be quick, wake somebody."""
        self._handlers.append(handler)

    def start(self) -> None:
        name = f"watch-{self.resource.plural}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._stream:
            self._stream.close()
        if self._thread:
            self._thread.join(5)

    # -- the loop -------------------------------------------------------------------------------

    def _run(self) -> None:
        wait = _FIRST_WAIT
        version = ""
        said = ""
        while not self._stopping.is_set():
            try:
                if not version:
                    version = self._relist()
                version = self._watch(version)
                wait, said = _FIRST_WAIT, ""
            except Gone:
                version = ""
            except Failed as error:
                if self._stopping.is_set():
                    return
                if str(error) != said:
                    log.warning("watching %s: %s", self.resource.plural, error)
                said = str(error)
                if isinstance(error, ApiError):
                    version = ""
                self._stopping.wait(wait * random.uniform(0.8, 1.2))
                wait = min(wait * 2, _LONGEST_WAIT)
            except Exception:
                log.exception("watching %s failed", self.resource.plural)
                version = ""
                self._stopping.wait(wait)
                wait = min(wait * 2, _LONGEST_WAIT)

    def _relist(self) -> str:
        items, version = self._api.list(
            self.resource,
            self._namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
        )
        present = set()
        for item in items:
            item.setdefault("apiVersion", self.resource.api_version)
            item.setdefault("kind", self.resource.kind)
            present.add(key_of(item))
            self._changed(item)
        for key in self.store.keys() - present:
            self._deleted(key, None)
        self.store.reached(version)
        self.synced.set()
        return version

    def _watch(self, version: str) -> str:
        """Take in events until the server ends the watch; the version to go on from."""
        self._stream = self._api.watch(
            self.resource,
            self._namespace,
            resource_version=version,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
        )
        try:
            for event in self._stream:
                object_ = event["object"]
                if event["type"] == "ERROR":
                    raise _error(object_)
                version = object_["metadata"]["resourceVersion"]
                if event["type"] == "BOOKMARK":
                    self.store.reached(version)
                elif event["type"] == "DELETED":
                    self._deleted(key_of(object_), object_)
                else:
                    self._changed(object_, version)
        finally:
            self._stream.close()
            self._stream = None
        return version

    def _changed(self, new: Json, version: str = "") -> None:
        if self._transform:
            new = self._transform(new)
        old = self.store.put(new)
        self.store.reached(version)  # before it is told: who is woken may want to know
        if old is not None and _version(old) == _version(new):
            return  # a relist shows again what is known
        if old is not None and old["metadata"].get("uid") != new["metadata"].get("uid"):
            # Deleted and made anew while nobody watched: two events, not one.
            self._tell(old, None)
            old = None
        self._tell(old, new)

    def _deleted(self, key: str, last: Json | None) -> None:
        old = self.store.drop(key)
        if last is not None:
            self.store.reached(_version(last))
        if old is not None:
            self._tell(last if last and not self._transform else old, None)

    def _tell(self, old: Json | None, new: Json | None) -> None:
        for handler in self._handlers:
            try:
                handler(old, new)
            except Exception:
                log.exception("a handler of %s failed", self.resource.plural)


def _version(object_: Json) -> str:
    return str(object_["metadata"].get("resourceVersion", ""))


def _error(status: Json) -> ApiError:
    from pykubelet.client.errors import from_status

    return from_status(int(status.get("code") or 500), status)


def wait_for_sync(informers: Iterable[Informer], stop: threading.Event) -> bool:
    """Until every informer has its first list; False if `stop` was set before."""
    for informer in informers:
        while not informer.synced.wait(0.1):
            if stop.is_set():
                return False
    return True

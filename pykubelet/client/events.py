"""Event objects: what components tell people through `kubectl describe`.

Written on a thread of its own and at leisure: an event must never hold up the work that it tells
of, and may be lost. The same event about the same object is counted up in place, as upstream's
correlator does.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from pykubelet.client.api import Api
from pykubelet.client.errors import NotFound
from pykubelet.client.resources import EVENTS
from pykubelet.clock import rfc3339
from pykubelet.errors import Failed

log = logging.getLogger(__name__)

Json = dict[str, Any]

_REMEMBERED = 1000
_WAITING = 1000


class EventRecorder:
    """`component` is the source's name, `host` the node's where it is on one."""

    def __init__(self, api: Api, component: str, host: str = "") -> None:
        self._api = api
        self._component = component
        self._host = host
        self._waiting: queue.Queue[Json | None] = queue.Queue(_WAITING)
        self._known: OrderedDict[tuple[str, ...], Json] = OrderedDict()
        self._thread = threading.Thread(target=self._write, name="events", daemon=True)
        self._thread.start()

    def record(self, about: Mapping[str, Any], kind: str, reason: str, message: str) -> None:
        """`about` is the object, or a reference to one; `kind` is Normal or Warning."""
        event = self._event(about, kind, reason, message)
        try:
            self._waiting.put_nowait(event)
        except queue.Full:
            pass  # better to lose an event than to wait for the server

    def stop(self) -> None:
        """Write what waits, and end."""
        try:
            self._waiting.put(None, timeout=1)
        except queue.Full:
            return
        self._thread.join(2)

    def _write(self) -> None:
        while (event := self._waiting.get()) is not None:
            try:
                self._write_one(event)
            except Failed as error:
                log.debug("an event was not written: %s", error)

    def _write_one(self, event: Json) -> None:
        about = event["involvedObject"]
        key = (about.get("uid", ""), about.get("name", ""), event["reason"], event["message"])
        known = self._known.get(key)
        if known is not None:
            count = int(known.get("count") or 1) + 1
            patch = {"count": count, "lastTimestamp": event["lastTimestamp"]}
            metadata = known["metadata"]
            try:
                self._known[key] = self._api.patch(
                    EVENTS, metadata["name"], patch, metadata["namespace"]
                )
                return
            except NotFound:
                pass  # it has expired: tell it anew
        self._known[key] = self._api.create(EVENTS, event)
        self._known.move_to_end(key)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def _event(self, about: Mapping[str, Any], kind: str, reason: str, message: str) -> Json:
        reference = _reference(about)
        now = time.time()
        source = {"component": self._component, **({"host": self._host} if self._host else {})}
        return {
            "metadata": {
                "name": f"{reference['name']}.{time.time_ns():x}",
                "namespace": reference.get("namespace") or "default",
            },
            "involvedObject": reference,
            "reason": reason,
            "message": message[:1024],
            "type": kind,
            "source": source,
            "firstTimestamp": rfc3339(now),
            "lastTimestamp": rfc3339(now),
            "count": 1,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }


def _reference(about: Mapping[str, Any]) -> Json:
    if "metadata" not in about:
        return dict(about)
    metadata = about["metadata"]
    fields = {
        "apiVersion": about.get("apiVersion"),
        "kind": about.get("kind"),
        "namespace": metadata.get("namespace"),
        "name": metadata.get("name"),
        "uid": metadata.get("uid"),
        "resourceVersion": metadata.get("resourceVersion"),
    }
    return {key: value for key, value in fields.items() if value}

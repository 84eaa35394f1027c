"""Which pods are on this node's list, and which of two of one name may be here.

Sources say what they want; the runtime may know of more. Who is wanted, who has to go, who waits
for whom, and who comes back once its end is complete is kept here, without threads, clocks or
I/O; `manager` asks under its lock and wakes the pods whose UIDs come back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.pods.edits import needs_new_pod
from pykubelet.kubelet.pods.records import Record, orphan
from pykubelet.kubelet.pods.snapshot import Verdict
from pykubelet.kubelet.runtime.model import PodRuntime

Json = dict[str, Any]


class Roster:
    """`recall(uid)` gives the last known status of a pod, or {}. `now` is monotonic seconds."""

    def __init__(self, recall: Callable[[str], Json], expected_sources: frozenset[str]) -> None:
        self.records: dict[str, Record] = {}
        self._recall = recall
        self._expected = expected_sources
        self._spoken: set[str] = set()

    @property
    def complete(self) -> bool:
        """Every source has spoken at least once, so that what is not known is not wanted."""
        return self._expected <= self._spoken

    def want(self, source: str, pods: Iterable[Json], now: float) -> set[str]:
        """These, and no others, are the pods that `source` wants; the UIDs of those to look at."""
        self._spoken.add(source)
        wanted = {spec.uid(pod): pod for pod in pods}
        touched = {uid for uid, pod in wanted.items() if self._want_one(source, uid, pod, now)}
        for uid, record in self.records.items():
            if uid in wanted:
                continue
            if record.again and record.again[0] == source:
                record.again = None
            if record.source == source and record.wanted:
                self._unwant(record, now)
                touched.add(uid)
        return touched

    def _want_one(self, source: str, uid: str, pod: Json, now: float) -> bool:
        record = self.records.get(uid)
        deleted = "deletionTimestamp" in pod["metadata"]
        if record is None:
            record = self._take_up(source, pod)
            if not deleted:
                return True
        if deleted:
            if record.pod == pod and not record.wanted:
                return False
            record.pod, record.source, record.again = pod, source, None
            record.grace = spec.grace_seconds(pod)
            self._unwant(record, now)
            return True
        if not record.wanted:
            # Taken back before it was gone: the end that has begun is carried through first.
            record.again = source, pod
            return False
        if record.pod == pod and record.source == source:
            # What it refers to may lie in the same folder, and be what has changed.
            return source == "file" and record.retry(only_configuration=True)
        if needs_new_pod(record.pod, pod):
            record.again = source, pod
            self._unwant(record, now)
            return True
        record.pod, record.source = pod, source
        record.retry()
        return True

    def _take_up(self, source: str, pod: Json) -> Record:
        record = self.records[spec.uid(pod)] = Record(pod, source)
        status = self._recall(record.uid) or pod.get("status")
        if status:
            record.resume(status)
        return record

    def _unwant(self, record: Record, now: float) -> None:
        record.wanted = False
        record.terminate(now)

    def end(self, uid: str, verdict: Verdict, now: float) -> bool:
        """End a pod that is still wanted; False where there is nothing to end."""
        record = self.records.get(uid)
        if record is None or record.verdict or record.ended:
            return False
        record.verdict = verdict
        record.terminate(now)
        return True

    def adopt(self, runtime: PodRuntime, now: float) -> Record | None:
        """A pod that only the runtime knows: ended, once the source it came from has spoken."""
        if not runtime.sandboxes and not runtime.containers:
            return None
        outline = orphan(runtime)
        source = spec.annotations_of(outline).get(spec.CONFIG_SOURCE, "api")
        if source not in self._spoken:
            return None
        record = self.records[runtime.uid] = Record(outline, "")
        self._unwant(record, now)
        return record

    def predecessor(self, record: Record) -> str:
        """The UID of another pod of this name that is still here, if this one has not begun."""
        if record.admitted or record.runtime.sandboxes:
            return ""
        for uid, other in self.records.items():
            here = other.admitted or other.runtime.sandboxes or other.busy or not other.wanted
            if here and other is not record and other.full_name == record.full_name:
                return uid
        return ""

    def holders(self) -> list[Json]:
        """The pods that hold resources of the node."""
        return [r.pod for r in self.records.values() if r.admitted and not r.released]

    def gone(self, record: Record) -> set[str]:
        """Strike out a pod that nobody wants and of which nothing is left; who may come now."""
        self.records.pop(record.uid, None)
        if record.again:
            source, pod = record.again
            self.records[record.uid] = Record(pod, source)
        return {u for u, r in self.records.items() if r.full_name == record.full_name}

"""One lock a pod, there only while somebody holds or waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Locks:
    """`with locks.of(uid):` keeps others with the same uid out; different ones don't meet."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held: dict[str, tuple[threading.Lock, int]] = {}

    @contextmanager
    def of(self, uid: str) -> Iterator[None]:
        with self._guard:
            lock, users = self._held.get(uid) or (threading.Lock(), 0)
            self._held[uid] = lock, users + 1
        try:
            with lock:
                yield
        finally:
            with self._guard:
                lock, users = self._held.pop(uid)
                if users > 1:
                    self._held[uid] = lock, users - 1

    def __len__(self) -> int:
        return len(self._held)

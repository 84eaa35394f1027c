"""Changes in folders, for many waiters over one inotify instance.

A user may have only 128 inotify instances on many hosts, and fifty people may follow logs at once:
so all followers share one, opened when the first comes. Where even that one can't be had, waiters
are told so once and look again every second. What is said is only "something changed": look again.

Source: inotify(7).
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import select
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

log = logging.getLogger(__name__)

_MODIFY, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE = 0x2, 0x8, 0x40, 0x80, 0x100
_MASK = _MODIFY | _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE
_EVENT = struct.Struct("iIII")

POLL_SECONDS = 1.0


class Watch:
    """One waiter's end. `fileno` turns readable on a change; `take` before looking."""

    def __init__(self, polling: bool) -> None:
        self.polling = polling
        self._seen = 0
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        return self._bell

    def take(self) -> bool:
        """Forget the changes so far. Whether a file that was being written has been closed."""
        try:
            os.eventfd_read(self._bell)
        except BlockingIOError:
            pass  # nothing had happened
        seen, self._seen = self._seen, 0
        return bool(seen & _CLOSE_WRITE)

    def ring(self, mask: int) -> None:
        self._seen |= mask
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        os.close(self._bell)


class Changes:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fd = -1
        self._stop = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._watches: dict[int, set[Watch]] = {}
        self._libc = ctypes.CDLL(None, use_errno=True)

    @contextmanager
    def watch(self, folder: Path) -> Iterator[Watch]:
        """Hear of every change of a name or content directly in `folder`."""
        with self._lock:
            descriptor = self._add(folder)
            watch = Watch(polling=descriptor < 0)
            if descriptor >= 0:
                self._watches.setdefault(descriptor, set()).add(watch)
        try:
            yield watch
        finally:
            with self._lock:
                mine = self._watches.get(descriptor, set())
                mine.discard(watch)
                if not mine and self._watches.pop(descriptor, None) is not None:
                    self._libc.inotify_rm_watch(self._fd, descriptor)
                watch.close()

    def close(self) -> None:
        """No more changes are told. Waiters that are still there find out by their deadlines."""
        os.eventfd_write(self._stop, 1)

    def _add(self, folder: Path) -> int:
        if self._fd < 0:
            self._fd = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
            if self._fd < 0:
                return self._refused(ctypes.get_errno(), "fs.inotify.max_user_instances")
            threading.Thread(target=self._listen, name="serve-changes", daemon=True).start()
        added: int = self._libc.inotify_add_watch(self._fd, os.fsencode(folder), _MASK)
        if added < 0:
            return self._refused(ctypes.get_errno(), "fs.inotify.max_user_watches")
        return added

    @staticmethod
    def _refused(code: int, limit: str) -> int:
        if code in (errno.EMFILE, errno.ENOSPC):
            log.warning("log followers poll every second: the limit %s is reached", limit)
        return -1

    def _listen(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._stop in ready:
                with self._lock:
                    os.close(self._fd)
                    self._fd = -1
                    self._watches.clear()
                return
            self._tell(os.read(self._fd, 64 * 1024))

    def _tell(self, events: bytes) -> None:
        touched: dict[int, int] = {}
        at = 0
        while at < len(events):
            descriptor, mask, _, length = _EVENT.unpack_from(events, at)
            touched[descriptor] = touched.get(descriptor, 0) | mask
            at += _EVENT.size + length
        with self._lock:
            if -1 in touched:  # the queue overflowed: anything may have happened
                touched = dict.fromkeys(self._watches, _MASK)
            for descriptor, mask in touched.items():
                for watch in self._watches.get(descriptor, ()):
                    watch.ring(mask)

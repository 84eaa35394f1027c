"""watchdog, told to say which files of one folder have changed.

inotify where it is to be had; where its limits are exhausted, polling, with the true reason in the
log (the kernel's own words, "no space left on device" and "too many open files", mislead).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

log = logging.getLogger(__name__)


class FolderWatch(FileSystemEventHandler):
    """Calls `hint(path, whole)` from a thread of its own, from now until `stop`.

    `whole` means that the file is complete, or gone: closed after writing, moved, deleted.
    `how` says in a word how it watches.
    """

    def __init__(self, folder: str, hint: Callable[[str, bool], None]) -> None:
        self._folder = folder
        self._hint = hint
        self._observer: BaseObserver | None = None
        self.how = "nothing"
        for make, how in ((Observer, "inotify"), (PollingObserver, "polling")):
            try:
                observer = make()  # newer releases of watchdog ask the kernel here already
                observer.schedule(self, folder)
                observer.start()
            except OSError as error:
                log.warning(
                    "inotify is exhausted (%s), so %s is polled; raise fs.inotify."
                    "max_user_instances and fs.inotify.max_user_watches",
                    error.strerror,
                    folder,
                )
                continue
            self._observer, self.how = observer, how
            break

    def stop(self) -> None:
        if self._observer:
            self._observer.stop()

    def on_any_event(self, event: FileSystemEvent) -> None:
        match event.event_type:
            case "closed" | "deleted":
                self._tell(event.src_path, True)
            case "created" | "modified":
                self._tell(event.src_path, False)
            case "moved":
                self._tell(event.src_path, True)
                self._tell(event.dest_path, True)

    def _tell(self, path: bytes | str, whole: bool) -> None:
        path = os.fsdecode(path)
        if os.path.dirname(path) == self._folder:
            self._hint(path, whole)

"""The manifest folder: watches it, reads what has settled, and says what it holds.

watchdog tells of changes (inotify, or polling where inotify is exhausted); each is a hint to read
that file again. A slow rescan catches whatever no hint told of, a folder made anew among them.
`settling` decides when to read, `manifests` what a text means. A file that is refused leaves what
it said before in force; the last accepted text of each file is kept in the agent's state folder, so
that this holds across a restart of the agent, too.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pykubelet.kubelet.pods.why import FileFacts
from pykubelet.kubelet.sources.manifests import Manifest, Refusal, parse
from pykubelet.kubelet.sources.settling import Settling, is_ignored

if TYPE_CHECKING:
    from pykubelet.kubelet.sources.watch import FolderWatch

log = logging.getLogger(__name__)

Json = dict[str, Any]
_Mark = tuple[int, int, int]  # inode, size, mtime in nanoseconds

#: Seconds since its last change within which a file that is found at the start may be half written.
_FRESH = 0.25
#: A manifest larger than this is refused unread.
MAX_BYTES = 10 * 1024 * 1024


class Folder:
    """Calls `on_change()` from its own thread whenever `manifests` or `refusals` have changed.

    `start` returns when the folder has been read once.
    """

    def __init__(
        self,
        path: Path,
        node_name: str,
        state: Path,
        on_change: Callable[[], None],
        *,
        rescan_seconds: float = 20.0,
    ) -> None:
        self.path = path
        self.manifests: dict[str, Manifest] = {}
        self.refusals: dict[str, Refusal] = {}
        self._node_name = node_name
        self._state = state
        self._on_change = on_change
        self._rescan_seconds = rescan_seconds
        self._settling = Settling()
        self._marks: dict[str, _Mark] = {}
        #: What the last scan saw, read or not.
        self._scanned: dict[str, _Mark] = {}
        self._changed = threading.Condition()
        self._stopped = False
        self._watch: FolderWatch | None = None
        self._watched_inode = 0
        self._thread = threading.Thread(target=self._loop, name="manifests", daemon=True)

    def start(self) -> None:
        self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._rewatch()
        now = time.monotonic()
        for path, mark in self._scan().items():
            # What has been lying there is whole; what is being written right now settles first.
            if time.time() - mark[2] / 1e9 < _FRESH:
                self._settling.changing(path, now)
                self._recall(path)  # until it has settled, what it said before counts
            else:
                self._settling.whole(path, now)
        self._read_due(now)
        self._forget_kept()
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        if self._watch:
            self._watch.stop()

    @property
    def watching(self) -> str:
        """How the folder is watched, in a word."""
        return self._watch.how if self._watch else "nothing: there is no such folder"

    def facts(self, path: str) -> FileFacts:
        """What is known of one file, for people who ask why."""
        refusal = self.refusals.get(path)
        mark = _mark(path)
        with self._changed:
            settles_at = self._settling.when(path)
        return FileFacts(
            path=path,
            exists=mark is not None,
            ignored=is_ignored(os.path.basename(path)),
            modified_at=mark[2] / 1e9 if mark else None,
            settles_at=settles_at,
            problems=refusal.problems if refusal else (),
            kept=refusal is not None and path in self.manifests,
        )

    # -- hints ----------------------------------------------------------------------------------

    def _hint(self, path: str, whole: bool) -> None:
        if is_ignored(os.path.basename(path)):
            return
        with self._changed:
            settle = self._settling.whole if whole else self._settling.changing
            settle(path, time.monotonic())
            self._changed.notify()

    def _rewatch(self) -> None:
        """Watch the folder that has this name now."""
        from pykubelet.kubelet.sources.watch import FolderWatch

        if self._watch:
            self._watch.stop()
            self._watch = None
        try:
            self._watched_inode = os.stat(self.path).st_ino
        except OSError:
            self._watched_inode = 0
            return
        self._watch = FolderWatch(str(self.path), self._hint)

    # -- the loop -------------------------------------------------------------------------------

    def _loop(self) -> None:
        rescan_at = time.monotonic() + self._rescan_seconds
        while True:
            with self._changed:
                due = self._settling.next()
                now = time.monotonic()
                wait = min(rescan_at, rescan_at if due is None else due) - now
                if wait > 0 and not self._stopped:
                    self._changed.wait(wait)
                if self._stopped:
                    return
            now = time.monotonic()
            if now >= rescan_at:
                self._rescan(now)
                rescan_at = now + self._rescan_seconds
            if self._read_due(now):
                self._on_change()

    def _rescan(self, now: float) -> None:
        try:
            inode = os.stat(self.path).st_ino
        except OSError:
            inode = 0
        if inode != self._watched_inode:
            self._rewatch()
        seen = self._scan()
        with self._changed:
            for path in seen.keys() | self._marks.keys():
                if path not in seen:
                    self._settling.whole(path, now)
                elif seen[path] not in (self._marks.get(path), self._scanned.get(path)):
                    self._settling.changing(path, now)
        self._scanned = seen

    def _scan(self) -> dict[str, _Mark]:
        found = {}
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    if not is_ignored(entry.name) and (mark := _mark(entry.path)):
                        found[entry.path] = mark
        except FileNotFoundError:
            pass
        return found

    def _read_due(self, now: float) -> bool:
        with self._changed:
            due = self._settling.take(now)
        changed = [self._read(path) for path in due]  # each of them, whatever the first says
        return any(changed)

    def _read(self, path: str) -> bool:
        """Take in one file as it is now; whether that changed anything."""
        mark = _mark(path)
        if mark is not None and mark == self._marks.get(path):
            return False
        if mark is None:
            known = self._marks.pop(path, None)
            gone = self.manifests.pop(path, None)
            refused = self.refusals.pop(path, None)
            self._kept(path).unlink(missing_ok=True)
            return bool(known or gone or refused)
        try:
            text = _read_text(path, mark)
        except OSError as error:
            self._refuse(Refusal(path, (f"{path}: can't be read: {error.strerror}",)))
            return True
        except ValueError as error:
            self._marks[path] = mark
            self._refuse(Refusal(path, (f"{path}: {error}",)))
            return True
        if _mark(path) != mark:
            with self._changed:
                self._settling.changing(path, time.monotonic())
            return False
        self._marks[path] = mark
        return self._take_in(path, text)

    def _take_in(self, path: str, text: str) -> bool:
        result = parse(text, path, self._node_name)
        if isinstance(result, Refusal):
            self._refuse(result)
            return True
        recovered = self.refusals.pop(path, None)
        if recovered is None and self.manifests.get(path) == result:
            return False
        self.manifests[path] = result
        self._keep(path, text)
        names = ", ".join(pod["metadata"]["name"] for pod in result.pods) or "no pods"
        log.info("%s: accepted: %s", path, names)
        return True

    def _refuse(self, refusal: Refusal) -> None:
        if self.refusals.get(refusal.path) != refusal:
            log.warning("refused: %s", "; ".join(refusal.problems[:5]))
        self.refusals[refusal.path] = refusal
        if refusal.path not in self.manifests:
            self._recall(refusal.path)

    # -- the last accepted texts ----------------------------------------------------------------

    def _kept(self, path: str) -> Path:
        return self._state / hashlib.sha256(path.encode()).hexdigest()[:32]

    def _keep(self, path: str, text: str) -> None:
        part = self._kept(path).with_suffix(".part")
        try:
            part.write_text(text)
            part.chmod(0o600)
            part.rename(self._kept(path))
        except OSError as error:  # a full disk must not keep a pod from running
            log.warning("can't keep a copy of %s: %s", path, error.strerror)

    def _recall(self, path: str) -> None:
        try:
            kept = parse(self._kept(path).read_text(), path, self._node_name)
        except (OSError, ValueError):
            return
        if isinstance(kept, Manifest):
            log.info("%s: what was last accepted stays in force", path)
            self.manifests[path] = kept

    def _forget_kept(self) -> None:
        known = {self._kept(path).name for path in self._marks.keys() | self.manifests.keys()}
        for kept in self._state.iterdir():
            if kept.name not in known:
                kept.unlink(missing_ok=True)


def _mark(path: str) -> _Mark | None:
    """What changes when the file does; None where it is gone or no regular file."""
    try:
        info = os.stat(path)
    except OSError:
        return None
    if info.st_mode & 0o170000 != 0o100000:
        return None
    return info.st_ino, info.st_size, info.st_mtime_ns


def _read_text(path: str, mark: _Mark) -> str:
    if mark[1] > MAX_BYTES:
        raise ValueError(f"expected at most {MAX_BYTES} bytes; found {mark[1]}")
    data = Path(path).read_bytes()
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(
            f"line {line}: expected UTF-8 text; found byte 0x{data[error.start]:02x}"
        ) from error

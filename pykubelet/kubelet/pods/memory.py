"""What has to outlive the agent: the last status of each pod that it runs.

The runtime tells a restarted agent what runs, but not whether a probe had found it ready, nor that
a pod was over whose dead containers are collected since. So each change of a status goes into a
small file; on a machine that loses power the containers are gone with what is known of them, so
the files are written whole but not forced to the disk, and one that can't be read is no loss.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

log = logging.getLogger(__name__)

Json = dict[str, Any]


class Memory:
    """One file a pod below `folder`, named by UID. Thread-safe by one thread a pod."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def recall(self, uid: str) -> Json:
        """The v1.PodStatus that was last kept, or {}."""
        try:
            status = orjson.loads(self._file(uid).read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return {}
        return status if isinstance(status, dict) else {}

    def keep(self, uid: str, status: Json) -> None:
        part = self._file(uid).with_suffix(".part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            part.write_bytes(orjson.dumps(status))
            part.rename(self._file(uid))
        except OSError as error:  # a full disk must not keep a pod from running
            log.warning("can't keep the status of pod %s: %s", uid, error.strerror)

    def forget(self, uid: str) -> None:
        self._file(uid).unlink(missing_ok=True)

    def forget_all_but(self, uids: Iterable[str]) -> None:
        """Pods that vanished while no agent ran."""
        kept = {self._file(uid).name for uid in uids}
        for file in self._folder.glob("*"):
            if file.name not in kept:
                file.unlink(missing_ok=True)

    def _file(self, uid: str) -> Path:
        return self._folder / f"{uid.replace('/', '_')}.json"

"""The log folders and links of the pods that this agent runs, in one place for the room's use.

Names and layout are `..node.logs`'s; this only knows under which root they are. The links lie in
the folder `containers` beside the root, as /var/log/containers lies beside /var/log/pods.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pykubelet.kubelet.node import logs

Json = dict[str, Any]


class LogFolders:
    def __init__(self, root: str) -> None:
        self.root = root
        self.links = str(Path(root).parent / "containers")

    def folder(self, pod: Json) -> str:
        """CRI's log_directory of the pod."""
        return logs.pod_folder(pod, self.root)

    def make(self, pod: Json, container: str = "") -> None:
        Path(self.folder(pod), container).mkdir(parents=True, exist_ok=True, mode=0o755)

    def remove(self, pod: Json) -> None:
        shutil.rmtree(self.folder(pod), ignore_errors=True)

    def file(self, container: str, attempt: int) -> str:
        """CRI's log_path, relative to the pod's folder."""
        return logs.container_file(container, attempt)

    def path(self, pod: Json, container: str, attempt: int) -> str:
        return f"{self.folder(pod)}/{self.file(container, attempt)}"

    def link(self, pod: Json, container: str, id: str, attempt: int) -> None:
        logs.make_link(pod, container, id, self.path(pod, container, attempt), self.links)

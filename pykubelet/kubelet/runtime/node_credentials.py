"""The node's own registry credentials: a docker configuration file, for pods that bring no secret.

Static pods on a node without an API server have no Secret objects to name, so this is their way to
a private registry. Looked for where upstream looks: the agent's root folder first, then the home
folder of the user that it runs as.
"""

from __future__ import annotations

import base64
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Json = dict[str, Any]

log = logging.getLogger(__name__)

_FILES = (
    ("config.json", "kubernetes.io/dockerconfigjson", ".dockerconfigjson"),
    (".dockercfg", "kubernetes.io/dockercfg", ".dockercfg"),
)


def folders(root: Path) -> tuple[Path, ...]:
    """Where to look; `root` is the agent's own folder (/var/lib/kubelet)."""
    home = Path(os.environ.get("HOME") or "/root")
    return (root, home / ".docker", home, Path("/.docker"))


def read(where: Iterable[Path]) -> list[Json]:
    """The first configuration found, as a pull secret; none is fine.

    One that can't be read is said and passed over: it must not keep public images away.
    """
    for folder in where:
        for name, kind, key in _FILES:
            path = folder / name
            try:
                data = path.read_bytes()
                if not isinstance(json.loads(data), dict):
                    raise ValueError("not a JSON object")
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, ValueError) as error:
                log.warning("registry credentials in %s are not used: %s", path, error)
                continue
            text = base64.b64encode(data).decode()
            return [{"metadata": {"name": str(path)}, "type": kind, "data": {key: text}}]
    return []

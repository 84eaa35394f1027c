"""Test images, made on the spot from what the host has: no registry, no docker.

`pause` holds a sandbox, `busybox` has a shell and the usual tools (statically linked, from the
distribution's busybox-static). Archives are OCI image layouts, cached below a temporary folder;
`pykubelet.bootstrap.images` makes them, so every test on real containers tests that too.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pykubelet.bootstrap.images import layouts, recipes

PAUSE = "localhost/pykubelet/pause:test"
BUSYBOX = "localhost/pykubelet/busybox:test"

# The number goes up when an image's content changes, so that no stale archive is used.
_CACHE = Path(tempfile.gettempdir()) / f"pykubelet-test-images-{os.getuid()}-2"


def archives(*names: str) -> list[Path]:
    """The archive of each named image (`pause`, `busybox`; both where none is named)."""
    return [_archive(name) for name in names or ("pause", "busybox")]


def _archive(name: str) -> Path:
    target = _CACHE / f"{name}.tar"
    if not target.exists():
        _CACHE.mkdir(exist_ok=True)
        layouts.write(_image(name), target, compress=False)
    return target


def _image(name: str) -> layouts.Image:
    if name == "pause":
        return recipes.pause(PAUSE)
    config = {"Cmd": ["sh"], "Env": ["PATH=/bin", "IMAGE_SAYS=hello"], "WorkingDir": "/"}
    return layouts.Image(BUSYBOX, recipes.shell(), config)

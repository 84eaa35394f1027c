"""A subtree of the host's real cgroups that is one test's alone."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator

import pytest

from tests.support.waiting import until

MOUNT = "/sys/fs/cgroup"


@pytest.fixture
def root() -> Iterator[str]:
    """A path such as /pk-1a2b3c4d, gone from every hierarchy afterwards with all in it."""
    path = f"/pk-{uuid.uuid4().hex[:8]}"
    yield path
    for mount in (MOUNT, *(entry.path for entry in os.scandir(MOUNT) if entry.is_dir())):
        for folder, _, _ in os.walk(mount + path, topdown=False):
            until(lambda f=folder: _rmdir(f), f"{folder} is empty", timeout=5)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def _rmdir(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        pass
    return True

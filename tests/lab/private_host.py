"""A host without systemd for tests: this one's own files, in namespaces of its own.

Root file system, network, processes, mounts and names are private: an overlay keeps every change
in a temporary folder, and nothing that runs inside outlives it. Only the kernel's cgroups are
shared. Network there is none, so Python packages come from a folder of wheels (`wheelhouse`).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.lab.vm_image import ROOT, requirements
from tests.support.machine import remove_cgroups, stop
from tests.support.traces import Traces
from tests.support.waiting import until

_SET_UP = """
set -e
mount --make-rprivate /
mount -t overlay overlay -o lowerdir=/,upperdir={home}/upper,workdir={home}/work {home}/root
cd {home}/root
for name in dev sys; do mount --rbind /$name $name; done
mount -t proc proc proc
mount -t tmpfs tmpfs run
mkdir -p run/lock var/lib/containerd var/lib/cni
# What other tests do on the real host at this moment shines through an overlay.
mount -t tmpfs tmpfs var/lib/cni
# Containers' own overlays can't lie on this one.
mount --bind {home}/containerd var/lib/containerd
ip link set lo up
hostname private
touch {home}/ready
exec chroot . /bin/sh -c "cd /; exec sleep infinity"
"""


class CannotMake(Exception):
    """No such host here; the message says why."""


class PrivateHost:
    """Use as a context manager."""

    def __enter__(self) -> PrivateHost:
        self._home = Path(tempfile.mkdtemp(prefix="pk-host-"))
        for name in ("upper", "work", "root", "containerd"):
            (self._home / name).mkdir()
        with (self._home / "log").open("wb") as log:
            self._holder = subprocess.Popen(
                ["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork",
                 "--kill-child", "sh", "-c", _SET_UP.format(home=self._home)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            until(self._is_ready, "the private host is set up", timeout=10)
        except AssertionError as error:
            said = (self._home / "log").read_text().strip()
            self.__exit__()
            raise CannotMake(f"{error}; {said}") from error
        return self

    def __exit__(self, *_: object) -> None:
        stop(self._holder, timeout=1)
        # Its processes are gone, but the kernel's cgroups are the host's.
        remove_cgroups("/kubepods")
        until(lambda: self._remove() or True, "its folder is removed", timeout=10)

    def run(self, command: str, *, check: bool = True, timeout: float = 300) -> str:
        """Run a shell command inside, as root; its output and errors together."""
        # To a file: what the command leaves running would hold a pipe open.
        with tempfile.TemporaryFile() as out:
            done = subprocess.run(
                ["nsenter", f"--target={self._init()}", "--mount", "--net", "--pid", "--uts",
                 "--ipc", "--root", "--wd", "bash", "-c", command],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=timeout,
                check=False,
            )  # fmt: skip
            out.seek(0)
            text = out.read().decode(errors="replace")
        if check and done.returncode:
            raise AssertionError(f"{command!r} ended with {done.returncode}:\n{text}")
        return text

    def start(self, command: str) -> None:
        """Run in the background, as long as the host lives."""
        self.run(f"setsid {command} >/dev/null 2>&1 </dev/null &")

    def traces(self) -> Traces:
        python = shlex.quote(sys.executable)
        found = Traces.from_json(self.run(f"cd {ROOT} && {python} -m tests.support.traces"))
        # The cgroups are the whole host's, other tests' included: ours are the pods'.
        pods = Counter({c: n for c, n in found.kinds["cgroup"].items() if "kubepods" in c})
        return Traces({**found.kinds, "cgroup": pods})

    def _is_ready(self) -> bool:
        if self._holder.poll() is not None:
            raise CannotMake("it ended at once")
        return (self._home / "ready").exists()

    def _init(self) -> int:
        children = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children")
        return int(children.read_text().split()[0])

    def _remove(self) -> None:
        if self._home.exists():
            shutil.rmtree(self._home)


def wheelhouse() -> Path:
    """A folder with all that an installation takes from PyPI, made once and kept."""
    cache = Path(
        os.environ.get("PYKUBELET_TEST_CACHE") or Path.home() / ".cache" / "pykubelet-tests"
    )
    version = subprocess.run(
        ["/usr/bin/python3", "-VV"], capture_output=True, text=True, check=True
    ).stdout
    key = hashlib.sha256("\n".join([version, *requirements()]).encode()).hexdigest()[:12]
    folder = cache / f"wheels-{key}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "wheels.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _fetch_wheels(folder)
    return folder


def _fetch_wheels(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        python = f"{scratch}/venv/bin/python"
        for command in (
            ["/usr/bin/python3", "-m", "venv", f"{scratch}/venv"],
            [python, "-m", "pip", "install", "-q", "setuptools", "wheel"],
            [python, "-m", "pip", "wheel", "-q", "-w", str(folder), *requirements()],
        ):
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise CannotMake(f"no wheels: {done.stderr.strip()[-300:]}")
    (folder / "complete").touch()

"""Takes a node off a host: pods, network, mounts, cgroups, processes, files; then puts back what
was there before.

The order matters: the agent first, so that nothing is started again; then the pods, while runtime
and network plugin can still clean up after them; then what is left over. Each step may find its
work done already, so an uninstall that was cut off is simply run again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from pykubelet.bootstrap.install import paths
from pykubelet.bootstrap.install.checks import under_systemd
from pykubelet.bootstrap.install.commands import output
from pykubelet.bootstrap.install.managers import manager
from pykubelet.bootstrap.install.record import Record
from pykubelet.bootstrap.supervisor.processes import answers
from pykubelet.errors import Failed, Unavailable
from pykubelet.kubelet.runtime.client import Runtime
from pykubelet.kubelet.runtime.model import ContainerState, PodRuntime
from pykubelet.network.plugin import Plugin

Say = Callable[[str], None]
_GRACE = 10.0  # seconds for containers to end by themselves
_CGROUPS = ("kubepods", "kubepods.slice")


def uninstall(say: Say, warn: Say, *, purge_packages: bool = False) -> None:
    record = Record.load()
    keeper = manager()
    keeper.stop_agent()
    say("the agent is stopped")
    try:
        with _runtime() as runtime:
            say(f"{remove_pods(runtime)} pods are stopped and removed")
            say(f"{remove_images(runtime, record)} images are removed")
    except Unavailable as error:
        warn(f"containerd doesn't answer, so its containers stay: {error}")
    Plugin().operations().remove_all()
    say("bridge, links, addresses and packet rules are removed")
    unmount(paths.KUBELET_ROOT)
    remove_cgroups()
    say("mounts and cgroups are removed")
    keeper.stop_runtime()
    remove_files(record, say, warn)
    keeper.start_former_runtime()
    if purge_packages:
        _purge(record.packages, say)
    elif record.packages:
        say(f"these packages stay (--purge-packages removes them): {' '.join(record.packages)}")


# -- pods and images -------------------------------------------------------------------------------


@contextmanager
def _runtime() -> Iterator[Runtime]:
    """The runtime, started for the purpose where it isn't running."""
    started = None
    if not answers(paths.CONTAINERD_SOCKET):
        started = _start_containerd()
    runtime = Runtime(f"unix://{paths.CONTAINERD_SOCKET}")
    try:
        yield runtime
    finally:
        runtime.close()
        if started:
            started.terminate()
            started.wait()


def _start_containerd() -> subprocess.Popen[bytes] | None:
    if under_systemd():
        process = None
        output("systemctl", "start", "containerd", check=False)
    elif program := shutil.which("containerd"):
        process = subprocess.Popen(
            [program], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
    else:
        raise Unavailable("it isn't installed any more")
    deadline = time.monotonic() + 30
    while not answers(paths.CONTAINERD_SOCKET):
        if time.monotonic() > deadline:
            raise Unavailable(f"nobody answers at {paths.CONTAINERD_SOCKET}")
        time.sleep(0.1)
    return process


def remove_pods(runtime: Runtime) -> int:
    pods = list(runtime.pods().values())
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda pod: _remove_pod(runtime, pod), pods))
    return len(pods)


def _remove_pod(runtime: Runtime, pod: PodRuntime) -> None:
    for container in pod.containers:
        if container.state is ContainerState.RUNNING:
            runtime.stop_container(container.id, _GRACE)
        runtime.remove_container(container.id)
    for sandbox in pod.sandboxes:
        runtime.stop_sandbox(sandbox.id)
        runtime.remove_sandbox(sandbox.id)


def remove_images(runtime: Runtime, record: Record) -> int:
    """Those that weren't there before."""
    before = set(record.images or ())
    ours = [image for image in runtime.images() if not before & set(image.tags)]
    for image in ours:
        runtime.remove_image(image.id)
    return len(ours)


# -- the kernel's books ----------------------------------------------------------------------------


def unmount(folder: Path) -> None:
    """`folder`, which the agent mounts onto itself to share it, and all below."""
    with open("/proc/self/mounts") as mounts:
        points = [line.split()[1].replace("\\040", " ") for line in mounts]
    for point in reversed(points):
        if point == str(folder) or point.startswith(f"{folder}/"):
            output("umount", "--lazy", point, check=False)


def remove_cgroups(base: Path = Path("/sys/fs/cgroup")) -> None:
    if under_systemd():
        output("systemctl", "stop", "--quiet", "kubepods.slice", check=False)
    unified = (base / "cgroup.controllers").exists()
    for hierarchy in (base,) if unified else [p for p in base.iterdir() if p.is_dir()]:
        for name in _CGROUPS:
            for folder, _, _ in os.walk(hierarchy / name, topdown=False):
                try:
                    os.rmdir(folder)
                except OSError as error:
                    if Path(folder).exists():
                        raise Failed(f"the cgroup {folder} can't be removed: {error}") from error


# -- files -----------------------------------------------------------------------------------------


def remove_files(record: Record, say: Say, warn: Say) -> None:
    for note in record.put_back():
        say(note)
    for folder in (paths.ETC, paths.LOGS, paths.RUN):
        shutil.rmtree(folder, ignore_errors=True)
    for folder in paths.FILLED_BY_DAEMONS:
        if str(folder) in record.folders:
            shutil.rmtree(folder, ignore_errors=True)
        elif folder in paths.FILLED_BY_AGENT and folder.exists():
            warn(f"{folder} was there before us and stays")
    shutil.rmtree(paths.STATE, ignore_errors=True)
    for left in record.remove_folders():
        warn(f"{left} stays: there are files in it that aren't ours")
    say("files are removed")


def _purge(packages: list[str], say: Say) -> None:
    if not packages:
        return
    subprocess.run(
        ["apt-get", "purge", "-q", "-y", "--auto-remove", *packages],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )  # fmt: skip
    if "containerd" in packages:
        shutil.rmtree("/var/lib/containerd", ignore_errors=True)
    say(f"packages are removed: {' '.join(packages)}")

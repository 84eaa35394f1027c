"""What kind of machine this is, read from the host itself.

`amounts` holds the values and calculates with them, `status` writes them into the Node.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

from pykubelet.kubelet.cgroups import hugepages
from pykubelet.kubelet.node import readings
from pykubelet.kubelet.node.amounts import (
    Amounts,
    System,
    allocatable,
    reserved,
    resource_list,
)

__all__ = [
    "Amounts",
    "System",
    "allocatable",
    "capacity",
    "reserved",
    "resource_list",
    "system",
]

_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "i686": "386",
    "riscv64": "riscv64",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
}


def system(root: Path = Path("/")) -> System:
    """This machine. `root` is where /etc, /proc and /sys are read from."""
    machine_id = _text(root / "etc/machine-id") or _text(root / "var/lib/dbus/machine-id")
    uname = platform.uname()
    return System(
        machine_id=machine_id,
        # Virtual machines and boards without DMI have none; the machine id is as unique.
        system_uuid=_text(root / "sys/class/dmi/id/product_uuid") or machine_id,
        boot_id=_text(root / "proc/sys/kernel/random/boot_id"),
        kernel_version=uname.release,
        os_image=_os_name(root),
        architecture=_ARCHITECTURES.get(uname.machine, uname.machine),
    )


def capacity(root_dir: str, *, max_pods: int = 110, pods_per_core: int = 0) -> Amounts:
    """All that the machine has. `root_dir` is on the file system whose size is the node's storage.

    Huge pages that are set aside are counted apart from memory, but memory is the machine's whole.
    """
    cores = psutil.cpu_count() or 1
    return Amounts(
        cpu_milli=cores * 1000,
        memory=psutil.virtual_memory().total,
        ephemeral_storage=psutil.disk_usage(_existing(root_dir)).total,
        pods=min(max_pods, cores * pods_per_core) if pods_per_core else max_pods,
        pids=readings.max_pids(),
        swap=psutil.swap_memory().total,
        hugepages=hugepages.totals(),
    )


def _os_name(root: Path) -> str:
    for line in _text(root / "etc/os-release").splitlines():
        key, _, value = line.partition("=")
        if key == "PRETTY_NAME":
            return value.strip("\"'")
    return "Linux"


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _existing(folder: str) -> str:
    """The nearest folder above that is there: its file system is where `folder` will be made."""
    while not os.path.exists(folder):
        folder = os.path.dirname(folder.rstrip("/")) or "/"
    return folder

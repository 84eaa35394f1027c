"""What kind of machine this is, and how much of it pods may have.

`system` and `capacity` read the host; `allocatable` is pure arithmetic over what they found
(Kubernetes' "Node Allocatable": capacity less both reservations less the hard eviction thresholds).
`status` writes the result into the Node.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from pykubelet.kubelet.cgroups import hugepages
from pykubelet.objects import quantity

_ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "armv7l": "arm",
    "i686": "386",
    "riscv64": "riscv64",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
}


@dataclass(frozen=True, slots=True)
class System:
    """Who this machine is. What can't be found out is empty."""

    machine_id: str = ""
    system_uuid: str = ""
    boot_id: str = ""
    kernel_version: str = ""
    os_image: str = "Linux"
    architecture: str = "amd64"
    operating_system: str = "linux"


@dataclass(frozen=True, slots=True)
class Amounts:
    """CPU in millicores, memory and storage in bytes, huge pages in bytes by page size in bytes."""

    cpu_milli: int = 0
    memory: int = 0
    ephemeral_storage: int = 0
    pods: int = 0
    pids: int = 0
    swap: int = 0
    hugepages: Mapping[int, int] = field(default_factory=dict)


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
        pids=max_pids(),
        swap=psutil.swap_memory().total,
        hugepages=hugepages.totals(),
    )


def max_pids(root: Path = Path("/proc/sys/kernel")) -> int:
    """How many processes and threads the kernel can tell apart: the lesser of its two bounds."""
    found = [int(text) for text in (_text(root / "pid_max"), _text(root / "threads-max")) if text]
    return min(found) if found else 0


def reserved(written: Mapping[str, str]) -> Amounts:
    """systemReserved or kubeReserved, as the configuration has it: cpu, memory, ..., pid."""

    def bytes_of(name: str) -> int:
        return quantity.to_int(quantity.parse(written[name])) if name in written else 0

    return Amounts(
        cpu_milli=quantity.to_milli(quantity.parse(written.get("cpu", "0"))),
        memory=bytes_of("memory"),
        ephemeral_storage=bytes_of("ephemeral-storage"),
        pids=bytes_of("pid"),
    )


def allocatable(
    whole: Amounts, *reservations: Amounts, hard_eviction: Mapping[str, str] | None = None
) -> Amounts:
    """What pods may ask for together.

    `hard_eviction` is evictionHard (signal → quantity or percentage): memory and storage that the
    node would evict for are not given away. Memory set aside as huge pages isn't memory any more.
    """
    thresholds = hard_eviction or {}
    memory = whole.memory - sum(r.memory for r in reservations)
    memory -= _threshold(thresholds.get("memory.available"), whole.memory)
    memory -= sum(whole.hugepages.values())
    storage = whole.ephemeral_storage - sum(r.ephemeral_storage for r in reservations)
    storage -= _threshold(thresholds.get("nodefs.available"), whole.ephemeral_storage)
    return replace(
        whole,
        cpu_milli=max(whole.cpu_milli - sum(r.cpu_milli for r in reservations), 0),
        memory=max(memory, 0),
        ephemeral_storage=max(storage, 0),
        pids=max(whole.pids - sum(r.pids for r in reservations), 0),
    )


def resource_list(amounts: Amounts) -> dict[str, str]:
    """As v1.ResourceList, in the spelling that people expect: whole cores, Ki."""
    found = {
        "cpu": quantity.canonical(f"{amounts.cpu_milli}m"),
        "memory": _kibi(amounts.memory),
        "ephemeral-storage": _kibi(amounts.ephemeral_storage),
        "pods": str(amounts.pods),
    }
    for size, total in sorted(amounts.hugepages.items()):
        name = f"hugepages-{quantity.spell(size, 'binary')}"
        found[name] = quantity.spell(total, "binary") if total else "0"
    return found


def _kibi(amount: int) -> str:
    return f"{amount // 1024}Ki" if amount % 1024 == 0 and amount else str(amount)


def _threshold(written: str | None, whole: int) -> int:
    if not written:
        return 0
    if written.endswith("%"):
        return int(whole * float(written[:-1]) / 100)
    return quantity.to_int(quantity.parse(written))


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

"""What a machine has, and how much of it pods may ask for.

Pure arithmetic over what `info` read from the host: Kubernetes' "Node Allocatable" is capacity less
both reservations less the hard eviction thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pykubelet.objects import quantity


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

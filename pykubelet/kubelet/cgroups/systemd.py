"""The tree's groups as systemd slices, where systemd owns the cgroup tree.

systemd expects to be the only one who makes groups above the leaves; so a group is a transient
slice unit, made by its D-Bus call StartTransientUnit with the limits as properties
(org.freedesktop.systemd1(5), systemd.resource-control(5)). `busctl` makes the call: it comes with
systemd, where the driver is of use at all. What systemd has no property for (huge pages), the tree
writes into the files as with cgroupfs. The request is built by pure functions.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from pykubelet.errors import Failed, TimedOut, Unavailable
from pykubelet.kubelet.cgroups import cpu
from pykubelet.kubelet.cgroups.limits import PodLimits

#: D-Bus' and systemd's word for "no limit".
INFINITY = 2**64 - 1

_MANAGER = (
    "org.freedesktop.systemd1",
    "/org/freedesktop/systemd1",
    "org.freedesktop.systemd1.Manager",
)
_TIMEOUT = 10.0

#: cgroup v2 files that systemd has a property for; it would undo what it was not told.
_UNIFIED = {"memory.min": "MemoryMin", "memory.low": "MemoryLow", "memory.high": "MemoryHigh"}

Property = tuple[str, str, str]  # name, D-Bus signature, value


def properties(limits: PodLimits) -> list[Property]:
    """The limits as unit properties."""
    found: list[Property] = []
    if limits.cpu_shares is not None:
        found.append(("CPUWeight", "t", str(cpu.shares_to_weight(limits.cpu_shares))))
    if limits.cpu_quota is not None:
        found.append(("CPUQuotaPerSecUSec", "t", str(_per_second(limits))))
        found.append(("CPUQuotaPeriodUSec", "t", str(limits.cpu_period)))
    for name, limit in (("MemoryMax", limits.memory), ("TasksMax", limits.pids)):
        if limit is not None:
            found.append((name, "t", str(INFINITY if limit == cpu.UNLIMITED else limit)))
    for file, value in limits.unified.items():
        if file in _UNIFIED:
            found.append((_UNIFIED[file], "t", value))
    return found


def start_call(name: str, limits: PodLimits) -> list[str]:
    """The arguments of StartTransientUnit for a slice: ssa(sv)a(sa(sv))."""
    unit: list[Property] = [
        ("Description", "s", f"pykubelet: {name}"),
        ("DefaultDependencies", "b", "false"),
        ("CPUAccounting", "b", "true"),
        ("MemoryAccounting", "b", "true"),
        ("TasksAccounting", "b", "true"),
        ("IOAccounting", "b", "true"),
        *properties(limits),
    ]
    parent = parent_slice(name)
    extra = ["Wants", "as", "1", parent] if parent else []
    count = len(unit) + bool(parent)
    flat = [word for triple in unit for word in triple]
    return [
        "StartTransientUnit", "ssa(sv)a(sa(sv))", name, "replace", str(count), *flat, *extra, "0",
    ]  # fmt: skip


def set_call(name: str, limits: PodLimits) -> list[str]:
    """The arguments of SetUnitProperties, until the next boot (runtime)."""
    changed = properties(limits)
    flat = [word for triple in changed for word in triple]
    return ["SetUnitProperties", "sba(sv)", name, "true", str(len(changed)), *flat]


def parent_slice(name: str) -> str:
    """`a-b.slice` is below `a.slice`; the topmost has none that need be named."""
    parent = name.removesuffix(".slice").rpartition("-")[0]
    return f"{parent}.slice" if parent else ""


class Slices:
    """Makes, changes and stops slices. Raises Unavailable without systemd, Failed if it refuses."""

    def start(self, name: str, limits: PodLimits, folder: Path) -> None:
        """A slice that is there already only gets its limits anew."""
        if folder.is_dir() and self._call(*set_call(name, limits), missing_ok=True):
            return
        try:
            self._call(*start_call(name, limits))
        except Failed as error:
            if "already" not in str(error):  # org.freedesktop.systemd1.UnitExists
                raise
            self._call(*set_call(name, limits))
        self._wait_for(folder)

    def set(self, name: str, limits: PodLimits) -> None:
        if properties(limits):
            self._call(*set_call(name, limits))

    def stop(self, name: str) -> None:
        """Not there (any more) is fine."""
        self._call("StopUnit", "ss", name, "replace", missing_ok=True)

    def _wait_for(self, folder: Path) -> None:
        """The call returns when the job is queued, the folder comes a moment later."""
        deadline = time.monotonic() + _TIMEOUT
        while not folder.is_dir():
            if time.monotonic() > deadline:
                raise TimedOut(f"systemd made no cgroup {folder} within {_TIMEOUT:g} s")
            time.sleep(0.005)

    def _call(self, method: str, *arguments: str, missing_ok: bool = False) -> bool:
        """False if the unit is missing and that is allowed."""
        command = ["busctl", "--system", "--quiet", "call", *_MANAGER, method, *arguments]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=_TIMEOUT, check=False
            )
        except FileNotFoundError as error:
            raise Unavailable("no busctl: the cgroup driver systemd needs systemd") from error
        except subprocess.TimeoutExpired as error:
            raise TimedOut(f"systemd gave no answer to {method} in {_TIMEOUT:g} s") from error
        if not done.returncode:
            return True
        said = done.stderr.strip()
        if missing_ok and ("not loaded" in said or "not found" in said):
            return False
        if "connect" in said.lower() and "bus" in said.lower():
            raise Unavailable(f"systemd's bus can't be reached: {said}")
        raise Failed(f"systemd refused {method} of {arguments[1] if arguments else ''}: {said}")


def _per_second(limits: PodLimits) -> int:
    """Microseconds of CPU time a second. systemd counts in 10 ms steps; upstream rounds up too."""
    if limits.cpu_quota is None or limits.cpu_quota == cpu.UNLIMITED:
        return INFINITY
    exact = limits.cpu_quota * 1_000_000 // limits.cpu_period
    return -(-exact // 10_000) * 10_000

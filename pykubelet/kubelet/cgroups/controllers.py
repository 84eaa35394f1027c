"""cgroup v2's files as typed attributes, on cgroupspy's nodes and file interfaces.

cgroupspy ships the controllers of cgroup v1, one hierarchy each. In cgroup v2 one folder carries
the files of all controllers, so a `Group` here is a cgroupspy `Node` with one controller object for
each: `group.memory.max = 64 << 20`. What a file holds is Documentation/admin-guide/cgroup-v2.rst's.
Used by `v2` alone (and by `v1` for the processes' controller that cgroupspy lacks).
"""

from __future__ import annotations

import os
from typing import Any

from cgroupspy.controllers import Controller
from cgroupspy.interfaces import BaseFileInterface, CommaDashSetFile, IntegerFile
from cgroupspy.nodes import Node

MAX = "max"


class LimitFile(BaseFileInterface):
    """A number, or None for the file's word `max`: no limit."""

    def sanitize_get(self, value: str) -> int | None:
        return None if value == MAX else int(value)

    def sanitize_set(self, value: int | None) -> str:
        return MAX if value is None else str(int(value))


class QuotaFile(BaseFileInterface):
    """cpu.max: (microseconds or None, period in microseconds)."""

    def sanitize_get(self, value: str) -> tuple[int | None, int]:
        quota, _, period = value.partition(" ")
        return (None if quota == MAX else int(quota)), int(period or 100_000)

    def sanitize_set(self, value: tuple[int | None, int]) -> str:
        quota, period = value
        return f"{MAX if quota is None else quota} {period}"


class FlatKeyedFile(BaseFileInterface):
    """`key number` lines as a dict. (cgroupspy's DictFile fails on an empty one.)"""

    readonly = True

    def sanitize_get(self, value: str) -> dict[str, int]:
        pairs = (line.split() for line in value.splitlines())
        return {key: int(number) for key, number in (p for p in pairs if len(p) == 2)}


class NestedKeyedFile(BaseFileInterface):
    """`device key=number key=number` lines: io.stat as a dict of dicts."""

    readonly = True

    def sanitize_get(self, value: str) -> dict[str, dict[str, int]]:
        found: dict[str, dict[str, int]] = {}
        for line in value.splitlines():
            device, *pairs = line.split()
            found[device] = {k: int(v) for k, _, v in (p.partition("=") for p in pairs)}
        return found


class WordsFile(BaseFileInterface):
    """Words in any order: the controllers that there are, or that are switched on below."""

    def sanitize_get(self, value: str) -> frozenset[str]:
        return frozenset(value.split())


class TextFile(BaseFileInterface):
    """A file whose reader parses it: the pressure files, io.max, io.weight."""


class CoreController(Controller):
    """The files of every group."""

    controllers: frozenset[str] = WordsFile("cgroup.controllers", readonly=True)
    subtree_control: frozenset[str] = WordsFile("cgroup.subtree_control")
    events: dict[str, int] = FlatKeyedFile("cgroup.events")
    kill: int = IntegerFile("cgroup.kill", writeonly=True)
    freeze: int = IntegerFile("cgroup.freeze")


class CpuController(Controller):
    weight: int = IntegerFile("cpu.weight")
    max: tuple[int | None, int] = QuotaFile("cpu.max")
    stat: dict[str, int] = FlatKeyedFile("cpu.stat")
    pressure: str = TextFile("cpu.pressure", readonly=True)


class MemoryController(Controller):
    """`min` and `low` protect, `high` throttles by reclaim, `max` kills. Bytes."""

    current: int = IntegerFile("memory.current", readonly=True)
    min: int | None = LimitFile("memory.min")
    low: int | None = LimitFile("memory.low")
    high: int | None = LimitFile("memory.high")
    max: int | None = LimitFile("memory.max")
    swap_current: int = IntegerFile("memory.swap.current", readonly=True)
    swap_max: int | None = LimitFile("memory.swap.max")
    oom_group: int = IntegerFile("memory.oom.group")
    stat: dict[str, int] = FlatKeyedFile("memory.stat")
    events: dict[str, int] = FlatKeyedFile("memory.events")
    pressure: str = TextFile("memory.pressure", readonly=True)


class PidsController(Controller):
    """The same files in both versions of cgroups."""

    current: int = IntegerFile("pids.current", readonly=True)
    max: int | None = LimitFile("pids.max")


class CpusetController(Controller):
    cpus: set[int] = CommaDashSetFile("cpuset.cpus")
    mems: set[int] = CommaDashSetFile("cpuset.mems")
    cpus_effective: set[int] = CommaDashSetFile("cpuset.cpus.effective", readonly=True)
    mems_effective: set[int] = CommaDashSetFile("cpuset.mems.effective", readonly=True)


class IoController(Controller):
    weight: str = TextFile("io.weight")
    max: str = TextFile("io.max")
    stat: dict[str, dict[str, int]] = NestedKeyedFile("io.stat")
    pressure: str = TextFile("io.pressure", readonly=True)


class HugetlbController(Controller):
    """One set of files for each page size, so the size is an argument."""

    def set_max(self, page_size: str, limit: int | None) -> None:
        """Bytes of huge pages of a size ("2MB"); their reservation is bounded alike."""
        for file in (f"hugetlb.{page_size}.max", f"hugetlb.{page_size}.rsvd.max"):
            if file.endswith(".rsvd.max") and not os.path.exists(self.filepath(file.encode())):
                continue  # since Linux 5.7
            self.set_property(file.encode(), MAX if limit is None else limit)


class Group(Node):
    """One folder of the unified hierarchy. The topmost one's name is the mount point."""

    def __init__(self, name: str, parent: Group | None = None) -> None:
        super().__init__(name, parent)
        self.cpu = CpuController(self)
        self.memory = MemoryController(self)
        self.pids = PidsController(self)
        self.cpuset = CpusetController(self)
        self.io = IoController(self)
        self.hugetlb = HugetlbController(self)

    def _get_controller_type(self) -> None:
        return None  # no hierarchy belongs to one controller here

    def _get_controller(self) -> Any:
        return CoreController(self)

    @property
    def folder(self) -> str:
        return os.fsdecode(self.full_path)

    def below(self, path: str) -> Group:
        """The group at a path relative to this one, there or not."""
        group = self
        for step in path.split("/"):
            if step:
                group = Group(step, group)
        return group

    def line(self) -> list[Group]:
        """From the mount point down to this group."""
        return [*(self.parent.line() if self.parent else ()), self]

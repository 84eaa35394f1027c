"""Where a pod's cgroup is, by either driver's way of naming.

With cgroupfs the tree is plain folders, `/kubepods/burstable/pod<uid>`; with systemd each is a
slice whose name spells its whole path, `kubepods-burstable-pod<uid>.slice`, because systemd reads
a dash as a step down (systemd.slice(5)); dashes of the names themselves become underscores.
Guaranteed pods live directly below `kubepods`. Pure; `tree` walks by these names.
"""

from __future__ import annotations

from dataclasses import dataclass

from pykubelet.objects import resources

KUBEPODS = "kubepods"
_QOS_STEP = {resources.BURSTABLE: "burstable", resources.BEST_EFFORT: "besteffort"}


@dataclass(frozen=True, slots=True)
class Names:
    """`root` is where `kubepods` hangs, such as `/` or `/pk-x1y2`; `driver` cgroupfs or systemd."""

    root: str = "/"
    driver: str = "cgroupfs"

    def kubepods(self) -> str:
        return self._path(KUBEPODS)

    def qos(self, qos: str) -> str:
        """The group of a QoS class: a path below the mount point."""
        step = _QOS_STEP.get(qos)
        return self._path(KUBEPODS, step) if step else self.kubepods()

    def pod(self, uid: str, qos: str) -> str:
        """The pod's group: a path below the mount point."""
        step = _QOS_STEP.get(qos)
        return self._path(KUBEPODS, *([step] if step else []), f"pod{uid}")

    def places(self, uid: str) -> list[str]:
        """Everywhere that a pod of this UID may be, its QoS class unknown."""
        return [self.pod(uid, qos) for qos in (resources.GUARANTEED, *_QOS_STEP)]

    def parent(self, uid: str, qos: str) -> str:
        """What CRI calls cgroup_parent: the path, or with systemd the bare name of the slice."""
        path = self.pod(uid, qos)
        return path.rpartition("/")[2] if self.driver == "systemd" else path

    def uid(self, folder: str) -> str | None:
        """The UID that a folder's bare name carries; None if it is no pod's."""
        if self.driver == "systemd":
            if not folder.endswith(".slice"):
                return None
            folder = folder.removesuffix(".slice").rpartition("-")[2].replace("_", "-")
        uid = folder.removeprefix("pod")
        return uid if uid and uid != folder else None

    def _path(self, *steps: str) -> str:
        names = [*(step for step in self.root.split("/") if step), *steps]
        return slice_path(names) if self.driver == "systemd" else "/" + "/".join(names)


def slice_path(names: list[str]) -> str:
    """The folders of nested slices: [a, b] is /a.slice/a-b.slice."""
    escaped = [name.removesuffix(".slice").replace("-", "_") for name in names]
    return "".join(f"/{'-'.join(escaped[: i + 1])}.slice" for i in range(len(escaped)))

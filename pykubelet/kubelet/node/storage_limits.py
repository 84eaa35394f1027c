"""Pods that use more of the node's disk than their own limits allow.

Three limits may be broken: an emptyDir's sizeLimit, a container's ephemeral-storage limit (its
writable layer and its logs), and the sum of these over the pod with its volumes. Whoever breaks one
is evicted, whether the node is short of disk or not. Pure; `evictor` asks.
Source: the API reference (EmptyDirVolumeSource), the reference on local ephemeral storage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pykubelet.kubelet.cgroups.limits import is_critical
from pykubelet.kubelet.node import figures
from pykubelet.kubelet.node.eviction import DISK, IMMEDIATE, Eviction
from pykubelet.objects import quantity, resources

Json = dict[str, Any]


def over_limit(pods: Iterable[Json], measured: Mapping[str, figures.Pod]) -> list[Eviction]:
    """Pods that use more local storage than their own limits allow. Critical ones are spared."""
    found: list[Eviction] = []
    for pod in pods:
        seen = measured.get(pod["metadata"]["uid"])
        if seen is None or is_critical(pod):
            continue
        for signal, message in _broken_limits(pod, seen):
            found.append(Eviction(seen.uid, signal, message, IMMEDIATE))
            break
    return found


def watched(pod: Json) -> bool:
    """Whether the pod has a storage limit, so that its use has to be measured now and then."""
    if DISK in resources.limits(pod):
        return True
    return any(_size_limit(volume) for volume in (pod.get("spec") or {}).get("volumes") or ())


def _broken_limits(pod: Json, seen: figures.Pod) -> Iterable[tuple[str, str]]:
    spec = pod.get("spec") or {}
    used = {volume.name: volume.used for volume in seen.volumes}
    for volume in spec.get("volumes") or ():
        limit = _size_limit(volume)
        if limit and used.get(volume["name"], 0) > limit:
            written = quantity.canonical(volume["emptyDir"]["sizeLimit"])
            yield (
                "emptydirfs.limit",
                f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{written}". ',
            )
    whole = resources.limits(pod).get(DISK)
    if whole is not None and seen.disk > whole:
        yield (
            "ephemeralpodfs.limit",
            "Pod ephemeral local storage usage exceeds the total limit of containers "
            f"{quantity.spell(whole, 'binary')}. ",
        )
    limits = {c["name"]: resources.container_limits(c) for c in spec.get("containers") or ()}
    for container in seen.containers:
        limit_of_one = limits.get(container.name, {}).get(DISK)
        taken = (container.rootfs_used or 0) + (container.logs_used or 0)
        if limit_of_one and taken > limit_of_one:
            yield (
                "ephemeralcontainerfs.limit",
                f"Container {container.name} exceeded its local ephemeral storage limit "
                f'"{quantity.spell(limit_of_one, "binary")}". ',
            )


def _size_limit(volume: Json) -> int:
    """Bytes that an emptyDir may take; 0 if it has no limit."""
    written = (volume.get("emptyDir") or {}).get("sizeLimit")
    return quantity.to_int(quantity.parse(written)) if written else 0

"""downwardAPI: the pod's own fields and resources as files, kept up to date.

What a selector means is `..pods.fields`' to say, so that files and variables agree.
"""

from __future__ import annotations

from pykubelet.errors import Invalid
from pykubelet.kubelet.pods import fields
from pykubelet.kubelet.volumes import keys
from pykubelet.kubelet.volumes.model import File, Json, Volume, VolumeType


def files(volume: Volume, ref: Json, default_mode: int) -> dict[str, File]:
    """One file an item of `ref`. Raises VolumeError."""
    found: dict[str, File] = {}
    for item in ref.get("items") or ():
        mode = item.get("mode")
        try:
            text = _value(volume, item)
        except Invalid as error:
            raise volume.error(str(error), waiting_may_help=False) from error
        found[item["path"]] = File(
            text.encode(), default_mode if mode is None else mode, item.get("user")
        )
    return found


def _value(volume: Volume, item: Json) -> str:
    if field := item.get("fieldRef"):
        return fields.field_value(volume.pod, field["fieldPath"])
    if resource := item.get("resourceFieldRef"):
        allocatable = (volume.sources.node().get("status") or {}).get("allocatable") or {}
        return fields.resource_value(resource, volume.pod, None, allocatable=allocatable)
    return ""


def payload(volume: Volume) -> dict[str, File]:
    return files(volume, volume.source, keys.default_mode(volume.source))


TYPE = VolumeType("downwardAPI", "kubernetes.io~downward-api", payload=payload, in_memory=True)

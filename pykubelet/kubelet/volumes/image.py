"""image: an OCI image's files as a volume, read-only, mounted by the runtime itself.

The agent pulls the image before the pod's containers start, as it does for theirs; `references`
says which. Source: ImageVolumeSource in the API reference, KEP-4639.
"""

from __future__ import annotations

from collections.abc import Iterator

from pykubelet.kubelet.volumes.model import Json, Mounted, Volume, VolumeType


def set_up(volume: Volume) -> Mounted:
    if not volume.host.image_volumes:
        raise volume.error(
            "this node's container runtime can't mount images as volumes; "
            "containerd 2.1 and newer can",
            waiting_may_help=False,
        )
    reference = volume.source.get("reference") or ""
    if not reference:
        raise volume.error("the image volume names no reference", waiting_may_help=False)
    return Mounted(image=reference, read_only=True, owned=False)


def references(pod: Json) -> Iterator[tuple[str, Json]]:
    """Name and source (`reference`, `pullPolicy`) of the pod's image volumes."""
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("image") is not None:
            yield volume["name"], volume["image"]


TYPE = VolumeType("image", "kubernetes.io~image", set_up=set_up)

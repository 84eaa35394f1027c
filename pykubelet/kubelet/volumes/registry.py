"""All volume types, by the key that a volume's source has in JSON.

A new type is one module and one line here. A key that is not in the table is refused by name.
"""

from __future__ import annotations

from pykubelet.kubelet.volumes import (
    claim,
    config_map,
    downward_api,
    empty_dir,
    host_path,
    image,
    projected,
    secret,
)
from pykubelet.kubelet.volumes.model import VolumeType

TYPES: dict[str, VolumeType] = {
    kind.key: kind
    for kind in (
        empty_dir.TYPE,
        host_path.TYPE,
        config_map.TYPE,
        secret.TYPE,
        downward_api.TYPE,
        projected.TYPE,
        image.TYPE,
        claim.TYPE,
        claim.EPHEMERAL,
    )
}

#: Why a type that people may expect is not in the table.
REFUSALS: dict[str, str] = {
    "csi": "CSI drivers are not served by this node yet",
    "nfs": "mount the share on the node and give it to the pod as a hostPath or a local volume",
    "iscsi": "attach the device on the node and give it to the pod as a local volume",
    "fc": "attach the device on the node and give it to the pod as a local volume",
    "gitRepo": "clone into an emptyDir with an init container",
}

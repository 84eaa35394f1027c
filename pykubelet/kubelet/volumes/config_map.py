"""configMap: a ConfigMap's keys as files, kept up to date. `projected` takes its payload too."""

from __future__ import annotations

from pykubelet.kubelet.volumes import keys
from pykubelet.kubelet.volumes.model import File, Json, Volume, VolumeType
from pykubelet.kubelet.volumes.sources import config_map_data


def files(volume: Volume, ref: Json, default_mode: int) -> dict[str, File]:
    """The files that a reference (`name`, `items`, `optional`) stands for. Raises VolumeError."""
    name, optional = ref.get("name") or "", bool(ref.get("optional"))
    namespace = volume.pod["metadata"].get("namespace") or "default"
    held = volume.sources.config_map(namespace, name)
    if held is None and not optional:
        raise volume.error(f'configmap "{name}" not found')
    try:
        return keys.files(
            config_map_data(held or {}),
            ref.get("items"),
            default_mode=default_mode,
            optional=optional,
        )
    except keys.MissingKey as missing:
        raise volume.error(
            f"configmap references non-existent config key: {missing.key}"
        ) from missing
    except ValueError as error:
        raise volume.error(f'configmap "{name}": {error}') from error


def payload(volume: Volume) -> dict[str, File]:
    return files(volume, volume.source, keys.default_mode(volume.source))


TYPE = VolumeType("configMap", "kubernetes.io~configmap", payload=payload)

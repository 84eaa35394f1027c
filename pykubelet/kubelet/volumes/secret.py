"""secret: a Secret's keys as files, kept up to date, in memory and never on the disk."""

from __future__ import annotations

from pykubelet.kubelet.volumes import keys
from pykubelet.kubelet.volumes.model import File, Json, Volume, VolumeType
from pykubelet.kubelet.volumes.sources import secret_data


def files(volume: Volume, ref: Json, default_mode: int) -> dict[str, File]:
    """The files that a reference stands for; a volume calls its secret `secretName`, a projection
    `name`. Raises VolumeError."""
    name, optional = ref.get("secretName") or ref.get("name") or "", bool(ref.get("optional"))
    namespace = volume.pod["metadata"].get("namespace") or "default"
    held = volume.sources.secret(namespace, name)
    if held is None and not optional:
        raise volume.error(f'secret "{name}" not found')
    try:
        return keys.files(
            secret_data(held or {}), ref.get("items"), default_mode=default_mode, optional=optional
        )
    except keys.MissingKey as missing:
        raise volume.error(f"references non-existent secret key: {missing.key}") from missing
    except ValueError as error:
        raise volume.error(f'secret "{name}": {error}') from error


def payload(volume: Volume) -> dict[str, File]:
    return files(volume, volume.source, keys.default_mode(volume.source))


TYPE = VolumeType("secret", "kubernetes.io~secret", payload=payload, in_memory=True)

"""An OCI image layout in one tar file: what every runtime imports, written without any of them.

One layer, one configuration, one manifest, one index; sorted, without times and owners, so that
the digest depends on the content alone. Big layers pass through a temporary file, not memory.

Source: the OCI Image Format Specification (image-layout, manifest, config, layer).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pykubelet.bootstrap.images.names import full_name
from pykubelet.bootstrap.images.trees import File, Folder, Link, Tree
from pykubelet.errors import Invalid

Json = dict[str, Any]
Progress = Callable[[int], None]  # called with the number of bytes just taken in

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
# Read by containerd's import; OCI's own annotation has room for a tag only.
_NAME = "io.containerd.image.name"
_TAG = "org.opencontainers.image.ref.name"

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le",
                  "s390x": "s390x", "riscv64": "riscv64"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Image:
    """What is to be written. `config` is the OCI image config's `config` object: Entrypoint, Cmd,
    Env, User, WorkingDir, ExposedPorts, Labels, StopSignal."""

    name: str
    tree: Tree
    config: Json = field(default_factory=dict)


def write(
    image: Image, target: Path, *, compress: bool = True, progress: Progress = lambda _: None
) -> str:
    """Write `image` as an archive and return its manifest's digest. The file appears at once and
    whole. `compress=False` saves time where the archive never leaves the host."""
    name = full_name(image.name)
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with tempfile.TemporaryFile(dir=target.parent) as blob, part.open("wb") as out:
            layer, diff_id = _write_layer(image.tree, blob, compress, progress)
            config = _encode(
                {
                    "architecture": architecture(),
                    "os": "linux",
                    "config": image.config,
                    "rootfs": {"type": "layers", "diff_ids": [diff_id]},
                }
            )
            manifest = _encode(
                {
                    "schemaVersion": 2,
                    "mediaType": _MANIFEST,
                    "config": _descriptor(_CONFIG, config),
                    "layers": [layer],
                }
            )
            entry = _descriptor(_MANIFEST, manifest)
            entry["annotations"] = {_NAME: name, _TAG: name.rpartition(":")[2]}
            entry["platform"] = {"architecture": architecture(), "os": "linux"}
            index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [entry]}
            with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
                _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
                _add(tar, "index.json", _encode(index))
                for data in (config, manifest):
                    _add(tar, _blob(_digest(data)), data)
                blob.seek(0)
                tar.addfile(_info(_blob(layer["digest"]), layer["size"]), blob)
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)
    return str(entry["digest"])


def names(archive: Path) -> list[str]:
    """The names of the images in an archive, as the runtime will know them; both OCI layouts and
    what `docker save` writes. Raises Invalid for any other file."""
    try:
        with tarfile.open(archive) as tar:
            members = {m.name.removeprefix("./"): m for m in tar}
            if "index.json" in members:
                index = json.load(_open(tar, members["index.json"]))
                found = [m.get("annotations", {}).get(_NAME) for m in index["manifests"]]
                if any(found):
                    return [full_name(name) for name in found if name]
            if "manifest.json" in members:
                saved = json.load(_open(tar, members["manifest.json"]))
                return [full_name(t) for item in saved for t in item.get("RepoTags") or ()]
    except (tarfile.TarError, KeyError, ValueError, EOFError) as error:
        raise Invalid("not an image archive", where=str(archive), found=str(error)) from error
    raise Invalid(
        "not an image archive",
        where=str(archive),
        expected="an OCI layout or docker-save tar with named images",
    )


def architecture() -> str:
    """This host's, in Go's words, which are also OCI's."""
    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)


# -- writing ---------------------------------------------------------------------------------------


class _Hashing(io.RawIOBase):
    """Passes bytes on and keeps their digest and number."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self._hash = hashlib.sha256()
        self.count = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._hash.update(data)
        self.count += len(data)
        return self._target.write(data)

    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()


def _write_layer(
    tree: Tree, out: IO[bytes], compress: bool, progress: Progress
) -> tuple[Json, str]:
    """The layer's descriptor, and the digest of its uncompressed content (`diff_id`)."""
    stored = _Hashing(out)
    # Level and header fixed: the archive shall not depend on who packed it, or when.
    packed = gzip.GzipFile("", "wb", 6, stored, mtime=0) if compress else None
    plain = _Hashing(packed or stored)
    with tarfile.open(fileobj=plain, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for path, entry in tree:
            info = _info(path.lstrip("/"))
            match entry:
                case Folder(mode):
                    info.type, info.mode = tarfile.DIRTYPE, mode
                    tar.addfile(info)
                case Link(to):
                    info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, to
                    tar.addfile(info)
                case File(source, mode):
                    info.mode = mode
                    with (
                        io.BytesIO(source)
                        if isinstance(source, bytes)
                        else source.open("rb") as data
                    ):
                        info.size = entry.size()
                        tar.addfile(info, data)
                    progress(info.size)
    if packed:
        packed.close()
    media_type = _LAYER + ("+gzip" if compress else "")
    layer = {"mediaType": media_type, "digest": stored.digest(), "size": stored.count}
    return layer, plain.digest()


def _info(path: str, size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.size, info.mode = size, 0o644
    return info


def _add(tar: tarfile.TarFile, path: str, data: bytes) -> None:
    tar.addfile(_info(path, len(data)), io.BytesIO(data))


def _blob(digest: str) -> str:
    return "blobs/sha256/" + digest.removeprefix("sha256:")


def _encode(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _descriptor(media_type: str, data: bytes) -> Json:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}


def _open(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    file = tar.extractfile(member)
    if file is None:
        raise KeyError(member.name)
    return file

"""Test images, made on the spot from what the host has: no registry, no docker.

`pause` holds a sandbox, `busybox` has a shell and the usual tools (statically linked, from the
distribution's busybox-static). Archives are OCI image layouts, cached below a temporary folder.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

PAUSE = "localhost/pykubelet/pause:test"
BUSYBOX = "localhost/pykubelet/busybox:test"

_CACHE = Path(tempfile.gettempdir()) / f"pykubelet-test-images-{os.getuid()}-1"


def archives(*names: str) -> list[Path]:
    """The archive of each named image (`pause`, `busybox`; both where none is named)."""
    return [_archive(name) for name in names or ("pause", "busybox")]


def _archive(name: str) -> Path:
    target = _CACHE / f"{name}.tar"
    if target.exists():
        return target
    busybox = shutil.which("busybox")
    assert busybox, "the tests need busybox-static"
    files = {"bin/busybox": Path(busybox).read_bytes()}
    links = ["sh", "sleep", "cat", "echo", "ls", "id", "env", "wget", "nc", "httpd", "touch",
             "hostname", "mount", "stat", "test", "true", "false", "dd", "head", "tail", "date",
             "printf", "ps", "kill", "mkdir", "rm", "ln", "chmod", "grep", "sed", "awk", "seq",
             "nslookup", "ip", "ping", "tr", "wc", "od", "sync", "df", "readlink", "pwd", "vi",
             "trap", "sysctl", "ulimit", "whoami", "cut", "sort", "md5sum", "xargs", "find", "tee",
             "usleep", "timeout", "ifconfig", "route", "su", "mv", "cp", "tar"]  # fmt: skip
    if name == "pause":
        config = {"Entrypoint": ["/bin/sleep", "2147483647"]}
        tag = PAUSE
    else:
        config = {"Cmd": ["sh"], "Env": ["PATH=/bin", "IMAGE_SAYS=hello"], "WorkingDir": "/"}
        tag = BUSYBOX
    _CACHE.mkdir(exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}")
    write_image(part, tag, files, {f"bin/{link}": "busybox" for link in links}, config)
    part.rename(target)
    return target


def write_image(
    target: Path, tag: str, files: dict[str, bytes], links: dict[str, str], config: object
) -> None:
    """An OCI image layout with one layer. Paths are relative to the image's root."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for folder, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("proc", 0o555),
                             ("sys", 0o555), ("dev", 0o755), ("root", 0o700)):  # fmt: skip
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, mode
            tar.addfile(info)
        passwd = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
        for path, data in {**files, "etc/passwd": passwd, "etc/group": b"root:x:0:\n"}.items():
            info = tarfile.TarInfo(path)
            info.size, info.mode = len(data), 0o755 if path.startswith("bin/") else 0o644
            tar.addfile(info, io.BytesIO(data))
        for path, to in links.items():
            info = tarfile.TarInfo(path)
            info.type, info.linkname, info.mode = tarfile.SYMTYPE, to, 0o777
            tar.addfile(info)
    diff = layer.getvalue()
    image_config = json.dumps(
        {
            "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [_digest(diff)]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _descriptor("application/vnd.oci.image.config.v1+json", image_config),
            "layers": [_descriptor("application/vnd.oci.image.layer.v1.tar", diff)],
        }
    ).encode()
    entry = _descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
    entry["annotations"] = {
        "io.containerd.image.name": tag,
        "org.opencontainers.image.ref.name": tag.rpartition(":")[2],
    }
    index = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    with tarfile.open(target, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(tar, "index.json", index)
        for blob in (diff, image_config, manifest):
            _add(tar, "blobs/sha256/" + _digest(blob).partition(":")[2], blob)


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _descriptor(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))

"""The disk of the test machine: a Debian with systemd and the packages that pykubelet asks for.

Built once by mmdebstrap and kept in the tests' cache, keyed by a hash of this recipe and of the
project's dependencies. pip has no network inside the machine (`vm` gives it none), so the wheels
that an installation needs, and a venv for running tests inside, are made here, at native speed.
The kernel is unpacked and gets an initrd with nothing but the disk's drivers: under emulation that
halves the boot.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import lzma
import os
import shutil
import struct
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# bookworm or trixie
RELEASE = os.environ.get("PYKUBELET_TEST_RELEASE", "bookworm")
MIRROR = "http://deb.debian.org/debian"
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "udev", "kmod", "openssh-server", "ca-certificates",
    "linux-image-cloud-amd64", "e2fsprogs", "iproute2", "procps",
    # what systemd/install.sh would fetch
    "containerd", "runc", "nftables", "iptables", "conntrack", "catatonit", "busybox-static",
    "python3-venv", "libsystemd-dev", "pkg-config", "gcc", "libc6-dev", "python3-dev",
)  # fmt: skip
# In the order of their dependencies.
MODULES = (
    "virtio", "virtio_ring", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci",
    "virtio_blk",
)  # fmt: skip
DISK_SIZE = "6G"
INIT = """\
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs none /dev
for module in {modules}; do /bin/busybox insmod /$module.ko; done
until [ -b /dev/vda ]; do :; done
/bin/busybox mount -t ext4 /dev/vda /root
exec /bin/busybox switch_root /root /sbin/init
"""


class CannotBuild(Exception):
    """No image can be made here; the message says why."""


@dataclass(frozen=True)
class VmImage:
    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk.raw"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinux"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd"

    @property
    def key(self) -> Path:
        """The private ssh key of root."""
        return self.folder / "id"


def image() -> VmImage:
    """The image from the cache, built first where there is none (about two minutes)."""
    for program in ("mmdebstrap", "mkfs.ext4", "busybox", "ssh-keygen"):
        if not shutil.which(program):
            raise CannotBuild(f"{program} isn't installed")
    cache = Path(
        os.environ.get("PYKUBELET_TEST_CACHE") or Path.home() / ".cache" / "pykubelet-tests"
    )
    folder = cache / f"vm-{RELEASE}-{_key()}"
    cache.mkdir(parents=True, exist_ok=True)
    with _lock(cache / "vm.lock"):
        if not (folder / "complete").exists():
            # One of them is a gigabyte, and an older recipe's is of no more use.
            for old in cache.glob(f"vm-{RELEASE}-*"):
                shutil.rmtree(old, ignore_errors=True)
            folder.mkdir()
            _build(folder)
            (folder / "complete").touch()
    return VmImage(folder)


def requirements() -> list[str]:
    """What pip has to have for an installation and for running tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    tests = [r for r in extras["dev"] if r.startswith(("pytest", "hypothesis"))]
    return [
        *project["project"]["dependencies"], *extras["apiserver"], *extras["systemd"], *tests,
        *project["build-system"]["requires"], "wheel",
    ]  # fmt: skip


def _key() -> str:
    recipe = Path(__file__).read_text() + "\n".join(requirements())
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(folder: Path) -> None:
    root = folder / "root"
    log = folder / "build.log"
    _run(log, "mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}",
         RELEASE, root, MIRROR)  # fmt: skip
    _wheels(root, log)
    _run(log, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "id")
    _settle(root, (folder / "id.pub").read_text())
    _kernel(root, folder)
    _initrd(root, folder)
    _run(log, "truncate", "-s", DISK_SIZE, folder / "disk.raw")
    _run(log, "mkfs.ext4", "-q", "-d", root, folder / "disk.raw")
    shutil.rmtree(root)


def _wheels(root: Path, log: Path) -> None:
    """/opt/wheelhouse with all that the project depends on, /opt/testing with pytest installed."""
    (root / "tmp/requirements").write_text("\n".join(requirements()))
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    own = bundle.read_bytes()
    # The host may trust more than Debian does (a company's proxy), and the network is the host's.
    for ours in (Path(os.environ.get("PIP_CERT", "")), Path("/etc/ssl/certs/ca-certificates.crt")):
        if ours.is_file():
            shutil.copy(ours, bundle)
            break
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    script = """
        python3 -m venv /opt/testing
        /opt/testing/bin/pip install -q setuptools wheel
        /opt/testing/bin/pip wheel -q -w /opt/wheelhouse -r /tmp/requirements
        /opt/testing/bin/pip install -q --no-index -f /opt/wheelhouse -r /tmp/requirements
        rm -rf /tmp/requirements /root/.cache
    """
    keep = ("PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "https_proxy", "http_proxy", "no_proxy")
    env = {key: os.environ[key] for key in keep if key in os.environ}
    env["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    env["PIP_CERT"] = "/etc/ssl/certs/ca-certificates.crt"
    try:
        _run(log, "chroot", root, "sh", "-ec", script, env=env)
    finally:
        bundle.write_bytes(own)


def _settle(root: Path, public_key: str) -> None:
    """Everything that makes it boot quickly and let the tests in."""
    write = {
        "etc/fstab": "/dev/vda / ext4 rw,noatime 0 0\n",
        "etc/hostname": "node\n",
        "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 node\n",
        "etc/resolv.conf": "nameserver 10.0.2.3\n",
        "etc/systemd/network/10-eth.network": "[Match]\nName=eth0\n[Network]\n"
        "Address=10.0.2.15/24\nGateway=10.0.2.2\n",
        "root/.ssh/authorized_keys": public_key,
        # Entropy and clock come from the host; nothing here is worth waiting for.
        "etc/systemd/system.conf.d/test.conf": "[Manager]\nDefaultTimeoutStartSec=300\n",
        "etc/systemd/journald.conf.d/test.conf": "[Journal]\nStorage=persistent\n",
        "etc/ssh/sshd_config.d/test.conf": "UseDNS no\nMaxSessions 50\nMaxStartups 50\n",
    }
    for path, text in write.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        (root / path).write_text(text)
    (root / "root/.ssh").chmod(0o700)
    wants = root / "etc/systemd/system"
    (wants / "multi-user.target.wants").mkdir(parents=True, exist_ok=True)
    link = wants / "multi-user.target.wants/systemd-networkd.service"
    link.unlink(missing_ok=True)
    link.symlink_to("/lib/systemd/system/systemd-networkd.service")
    (wants / "default.target").unlink(missing_ok=True)
    (wants / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    for unit in ("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer",
                 "e2scrub_reap.service", "getty@tty1.service", "systemd-timesyncd.service",
                 "dpkg-db-backup.timer", "systemd-pstore.service"):  # fmt: skip
        (wants / unit).unlink(missing_ok=True)
        (wants / unit).symlink_to("/dev/null")


# -- the kernel ------------------------------------------------------------------------------------


def _kernel(root: Path, folder: Path) -> None:
    """The kernel as the bootloader would leave it in memory, so that no emulated CPU unpacks it.
    Where its packing isn't known, the packed one, which boots too, only later."""
    packed = next((root / "boot").glob("vmlinuz-*")).read_bytes()
    target = folder / "vmlinux"
    # Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length.
    start = (packed[0x1F1] + 1) * 512 + struct.unpack_from("<I", packed, 0x248)[0]
    payload = packed[start : start + struct.unpack_from("<I", packed, 0x24C)[0]]
    if payload[:3] == b"\x1f\x8b\x08":
        target.write_bytes(gzip.decompress(payload[:-4]))
    elif payload[:6] == b"\xfd7zXZ\0":
        target.write_bytes(lzma.LZMADecompressor().decompress(payload))
    elif payload[:4] in (b"\x28\xb5\x2f\xfd", b"\x02\x21\x4c\x18"):
        program = "zstd" if payload[0] == 0x28 else "lz4"
        done = subprocess.run([program, "-dc"], input=payload, capture_output=True, check=False)
        # The four bytes behind the payload (its unpacked size) are junk to the programs.
        target.write_bytes(done.stdout)
    if not target.exists() or target.read_bytes()[:4] != b"\x7fELF":
        target.write_bytes(packed)


def _initrd(root: Path, folder: Path) -> None:
    tree = folder / "initrd.d"
    for name in ("bin", "dev", "root"):
        (tree / name).mkdir(parents=True)
    busybox = shutil.which("busybox")
    assert busybox
    shutil.copy(busybox, tree / "bin/busybox")
    loaded = []
    for module in MODULES:
        found = next((root / "lib/modules").glob(f"*/kernel/**/{module}.ko*"), None)
        if found is None:
            continue  # built in
        loaded.append(module)
        data = found.read_bytes()
        (tree / f"{module}.ko").write_bytes(
            lzma.decompress(data) if found.suffix == ".xz" else data
        )
    (tree / "init").write_text(INIT.format(modules=" ".join(loaded)))
    (tree / "init").chmod(0o755)
    names = "\n".join(str(p.relative_to(tree)) for p in sorted(tree.rglob("*")))
    with (folder / "initrd").open("wb") as out:
        subprocess.run(
            ["cpio", "--quiet", "-o", "-H", "newc"], input=names.encode(), cwd=tree, stdout=out,
            check=True,
        )  # fmt: skip
    shutil.rmtree(tree)


def _run(log: Path, *command: str | Path, env: dict[str, str] | None = None) -> None:
    with log.open("ab") as out:
        done = subprocess.run(
            [str(c) for c in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env,
            check=False,
        )  # fmt: skip
    if done.returncode:
        last = log.read_text(errors="replace").strip().splitlines()[-3:]
        raise CannotBuild(f"{command[0]} failed: {' / '.join(last)}")

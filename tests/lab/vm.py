"""A whole Debian machine for tests: systemd as PID 1, cgroup v2 with all controllers, reboots.

It runs under qemu's software emulation, which needs no privilege and works anywhere, 12 to 30 times
slower than the host: scale deadlines with `SLOW`. The machine has no network but one ssh port on
the host's loopback. Its disk is an overlay: whatever happens to it is gone afterwards.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.lab.vm_image import ROOT, CannotBuild, VmImage, image
from tests.support.machine import stop
from tests.support.ports import free_port
from tests.support.traces import Traces
from tests.support.waiting import until

# How many times slower than the host things are in there.
SLOW = 20
# Set for tests that run inside (see conftest).
IN_VM = "PYKUBELET_TEST_IN_VM"


class CannotBoot(Exception):
    """No virtual machine runs here; the message says why."""


class Vm:
    """Use as a context manager. `run` executes as root inside."""

    def __init__(self, name: str = "node", memory: int = 1024) -> None:
        self.name = name
        self._memory = memory
        self._home = Path(tempfile.mkdtemp(prefix="pk-vm-"))
        self._port = free_port()
        self._qemu: subprocess.Popen[bytes] | None = None
        self._image: VmImage | None = None

    def __enter__(self) -> Vm:
        try:
            if not shutil.which("qemu-system-x86_64"):
                raise CannotBoot("qemu-system-x86 isn't installed")
            try:
                self._image = image()
            except CannotBuild as error:
                raise CannotBoot(f"no image: {error}") from error
            self._boot(self._image)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._qemu:
            stop(self._qemu)
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def console(self) -> str:
        """What the machine has said on its serial line."""
        return (self._home / "console.log").read_text(errors="replace")

    # -- commands ----------------------------------------------------------------------------------

    def run(
        self, command: str, *, timeout: float = 120, check: bool = True, input: bytes | None = None
    ) -> str:
        """Run a shell command as root to its end; its output and errors together."""
        # Files, not pipes: a daemon that the command starts would hold a pipe open for ever.
        with tempfile.TemporaryFile(dir=self._home) as out:
            done = subprocess.run(
                [*self._ssh(), command],
                input=input if input is not None else b"",
                stdout=out, stderr=subprocess.STDOUT, timeout=timeout, check=False,
            )  # fmt: skip
            out.seek(0)
            text = out.read().decode(errors="replace")
        if check and done.returncode:
            raise AssertionError(
                f"in the machine, {command!r} ended with {done.returncode}:\n{text}"
            )
        return text

    def traces(self) -> Traces:
        """What there is in the whole machine, for leak checks."""
        python = "cd /root/pykubelet && /opt/testing/bin/python -m tests.support.traces"
        return Traces.from_json(self.run(python))

    def copy_project(self, target: str = "/root/pykubelet") -> None:
        """What git would hand out of the work tree as it stands, committed or not."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, check=False,
        ).stdout.decode().split("\0")  # fmt: skip
        names = [n for n in listed if n and (ROOT / n).is_file()] or [
            str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.is_file()
        ]
        archive = self._home / "project.tar"
        with tarfile.open(archive, "w") as tar:
            for name in names:
                tar.add(ROOT / name, name)
        self.run(f"mkdir -p {target} && tar -C {target} -xf -", input=archive.read_bytes())

    def pytest(self, *arguments: str, timeout: float = 600) -> str:
        """Run tests of the project inside, from /root/pykubelet. AssertionError with the output
        where any fails."""
        pytest = "/opt/testing/bin/python -m pytest -q --tb=short -p no:cacheprovider"
        command = f"cd /root/pykubelet && {IN_VM}=1 {pytest} {' '.join(arguments)}"
        return self.run(command, timeout=timeout)

    def reboot(self) -> None:
        """An orderly reboot; returns when the machine answers again."""
        before = self.run("cat /proc/sys/kernel/random/boot_id")
        self.run("systemctl reboot", check=False)
        until(
            lambda: self.run("cat /proc/sys/kernel/random/boot_id", timeout=20) != before,
            "the machine is back", timeout=240, interval=1,
        )  # fmt: skip

    def power_cut(self) -> None:
        """The plug is pulled; the disk keeps what was synced. Returns after the next boot."""
        assert self._qemu
        assert self._image
        self._qemu.kill()
        self._qemu.wait()
        self._start(self._image)

    # -- the machine -------------------------------------------------------------------------------

    def _boot(self, base: VmImage) -> None:
        overlay = self._home / "disk.qcow2"
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base.disk, overlay],
            check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        self._start(base)

    def _start(self, base: VmImage) -> None:
        command = _qemu_command(
            base, self._home / "disk.qcow2", self._home / "console.log", self._memory, self._port,
            self.name,
        )  # fmt: skip
        with open(self._home / "qemu.log", "ab") as log:
            self._qemu = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        began = time.monotonic()
        try:
            until(
                lambda: self._died() or self._answers(),
                "the machine answers on ssh", timeout=300, interval=0.5,
            )  # fmt: skip
            why = self._died()
        except AssertionError as error:
            why = str(error)
        if why:
            said = (self._home / "qemu.log").read_text(errors="replace")[-500:]
            tail = "\n".join(self.console.splitlines()[-15:])
            raise CannotBoot(f"{why}; qemu: {said}; console:\n{tail}")
        self.boot_seconds = time.monotonic() - began

    def _died(self) -> str:
        assert self._qemu
        if self._qemu.poll() is not None:
            return "qemu ended"
        return "the kernel panicked" if "Kernel panic" in self.console else ""

    def _answers(self) -> bool:
        return self.run("echo here", timeout=20) == "here\n"

    def _ssh(self) -> Sequence[str | Path]:
        assert self._image
        return (
            "ssh", "-q", "-p", str(self._port), "-i", self._image.key,
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "ConnectTimeout=10", "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
            "-o", "ServerAliveInterval=10", "-F", "none",
            "root@127.0.0.1",
        )  # fmt: skip


def _qemu_command(
    base: VmImage, disk: Path, console: Path, memory: int, port: int, name: str
) -> list[str]:
    kernel = (
        "root=/dev/vda rw console=ttyS0 quiet net.ifnames=0 mitigations=off tsc=reliable"
        f" random.trust_cpu=on systemd.hostname={name} systemd.unified_cgroup_hierarchy=1"
    )
    return [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
        # A /dev/kvm may be there and yet run no kernel (nested, without hardware).
        # Without cx16: qemu 7.2 emulates that instruction wrongly, and kernels from 6.12 on panic.
        "-M", "q35", "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "Nehalem,-cx16",
        "-m", str(memory), "-smp", str(min(2, os.cpu_count() or 1)),
        "-kernel", str(base.kernel), "-initrd", str(base.initrd), "-append", kernel,
        "-drive", f"file={disk},if=virtio,format=qcow2,cache=unsafe",
        "-netdev", f"user,id=n0,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22",
        "-device", "virtio-net-pci,netdev=n0", "-device", "virtio-rng-pci",
        "-serial", f"file:{console}", "-pidfile", f"{disk}.pid",
    ]  # fmt: skip

"""A throw-away machine: a network namespace with a containerd of its own, made and taken away.

Everything that a node has for itself (containerd's root, state and socket, CNI folders, cgroup
parent, pod logs, agent state) lives below one temporary folder, so that many machines live side by
side on one host and leave nothing behind. Programs enter its network with `nsenter` (`ip netns
exec` would remount /sys and hide the cgroups).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Any

from tests.support import images
from tests.support.waiting import until

CONTAINERD_CONFIG = """\
version = 2
root = "{home}/containerd"
state = "{run}/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "{run}/containerd.sock"
[ttrpc]
  address = "{run}/containerd.sock.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_bin}"
    conf_dir = "{cni_conf}"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{home}/certs.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
        Root = "{run}/runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.other]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.other.options]
        Root = "{run}/runc"
"""


class Machine:
    """Use as a context manager. Folders: `home` (everything), `run` (sockets and state), `cni_bin`,
    `cni_conf`. `cgroup_root` is a path such as `/pk-x1y2` that is the machine's alone."""

    def __init__(self, name: str | None = None) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="pk-"))
        self.name = name or self.home.name.lower().replace("_", "x")
        self.netns = self.name
        self.run_dir = self.home / "run"
        self.cni_bin = self.home / "cni-bin"
        self.cni_conf = self.home / "cni-conf"
        self.socket = self.run_dir / "containerd.sock"
        self.cgroup_root = f"/{self.name}"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._containerd: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"unix://{self.socket}"

    def __enter__(self) -> Machine:
        try:
            for folder in (self.run_dir, self.cni_bin, self.cni_conf):
                folder.mkdir(parents=True)
            _run("ip", "netns", "add", self.netns)
            self.run("ip", "link", "set", "lo", "up")
            self.start_containerd()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            stop(process)
        if self.socket.exists() and self._containerd and self._containerd.poll() is None:
            self._remove_containers()
        if self._containerd:
            stop(self._containerd)
        self._kill_leftovers()
        _run("ip", "netns", "del", self.netns, check=False)
        _unmount_below(self.home)
        remove_cgroups(self.cgroup_root)
        shutil.rmtree(self.home, ignore_errors=True)

    # -- programs -------------------------------------------------------------------------------

    def enter(self, *command: str | Path) -> list[str]:
        """The command line that runs `command` inside this machine's network."""
        return ["nsenter", f"--net=/run/netns/{self.netns}", "--", *map(str, command)]

    def run(self, *command: str | Path, check: bool = True, **kwargs: Any) -> str:
        """Run to the end inside the machine's network; its output. stderr goes with the error."""
        return _run(*self.enter(*command), check=check, **kwargs)

    def start(
        self, *command: str | Path, log: str = "", env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start in the background; stopped with the machine. Output goes to `<home>/<log>.log`."""
        out: IO[bytes]
        with open(self.home / f"{log or Path(str(command[0])).name}.log", "ab") as out:
            process = subprocess.Popen(
                self.enter(*command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    # -- containerd -----------------------------------------------------------------------------

    def start_containerd(self) -> subprocess.Popen[bytes]:
        config = self.home / "containerd.toml"
        config.write_text(
            CONTAINERD_CONFIG.format(
                home=self.home,
                run=self.run_dir,
                pause=images.PAUSE,
                cni_bin=self.cni_bin,
                cni_conf=self.cni_conf,
            )
        )
        with open(self.home / "containerd.log", "ab") as out:
            self._containerd = subprocess.Popen(
                self.enter(os.environ.get("TEST_CONTAINERD", "containerd"), "--config", config),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until(lambda: self.ctr("version"), "containerd answers", timeout=30)
        return self._containerd

    def kill_containerd(self) -> None:
        """kill -9, as a crash would. Its pods live on; `start_containerd` brings it back."""
        assert self._containerd
        os.kill(self._containerd.pid, signal.SIGKILL)
        self._containerd.wait()

    def lose_power(self) -> None:
        """What a crash of the host leaves: the disk. Processes, links, mounts, cgroups and the
        runtime's state, which is in memory, are gone; `start_containerd` is the next boot's."""
        self.kill_containerd()
        self._kill_leftovers()
        _unmount_below(self.run_dir)
        shutil.rmtree(self.run_dir)
        self.run_dir.mkdir()
        links = _run(*self.enter("ip", "-o", "link", "show")).splitlines()
        for name in (line.split()[1].rstrip(":").partition("@")[0] for line in links):
            if name != "lo":
                _run(*self.enter("ip", "link", "delete", name), check=False)
        _run(*self.enter("nft", "flush", "ruleset"), check=False)
        remove_cgroups(self.cgroup_root)

    def shim_of(self, pod: str) -> int:
        """The process id of a pod's shim."""
        sandbox = self.ctr(
            *("containers", "list", "-q"),
            f'labels."io.kubernetes.pod.name"=={pod},labels."io.cri-containerd.kind"==sandbox',
        ).split()[0]
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    command = (entry / "cmdline").read_bytes().decode(errors="replace")
                except OSError:
                    continue
                if "shim" in command and sandbox in command.split("\0"):
                    return int(entry.name)
        raise AssertionError(f"{pod} has no shim")

    def ctr(self, *args: str | Path, check: bool = True) -> str:
        return _run(
            "ctr", "--address", str(self.socket), "--namespace", "k8s.io", *map(str, args),
            check=check,
        )  # fmt: skip

    def load_images(self, *names: str) -> None:
        """Import test images by name (see `tests.support.images`), pinned."""
        for archive in images.archives(*names):
            self.ctr("images", "import", archive)

    def use_reference_cni(self, subnet: str = "10.88.0.0/24") -> None:
        """Debian's bridge and host-local plugins, for tests that are not about our own CNI."""
        for plugin in ("bridge", "host-local", "portmap", "loopback"):
            (self.cni_bin / plugin).symlink_to(f"/usr/lib/cni/{plugin}")
        (self.cni_conf / "10-test.conflist").write_text(
            '{"cniVersion":"0.4.0","name":"test","plugins":[{"type":"bridge","bridge":"cni0",'
            '"isGateway":true,"ipMasq":false,"hairpinMode":true,"ipam":{"type":"host-local",'
            f'"dataDir":"{self.home}/ipam","ranges":[[{{"subnet":"{subnet}"}}]],'
            '"routes":[{"dst":"0.0.0.0/0"}]}}]}'
        )

    # -- taking it away -------------------------------------------------------------------------

    def _remove_containers(self) -> None:
        for name in self.ctr("tasks", "list", "-q", check=False).split():
            self.ctr("tasks", "kill", "-s", "KILL", name, check=False)
        for name in self.ctr("tasks", "list", "-q", check=False).split():
            self.ctr("tasks", "delete", "-f", name, check=False)
        for name in self.ctr("containers", "list", "-q", check=False).split():
            self.ctr("containers", "delete", name, check=False)

    def _kill_leftovers(self) -> None:
        """Shims of this machine name its socket on their command line; their children follow."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
                if str(self.socket) in command and "shim" in command[0]:
                    for child in _descendants(int(entry.name)):
                        os.kill(child, signal.SIGKILL)
                    os.kill(int(entry.name), signal.SIGKILL)
            except (OSError, ProcessLookupError):
                continue  # it ended by itself


def stop(process: subprocess.Popen[bytes], timeout: float = 10.0) -> None:
    """SIGTERM, then SIGKILL after `timeout` seconds; reaped either way."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def _run(*command: str, check: bool = True, **kwargs: Any) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, **kwargs
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _descendants(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [p for child in map(int, children) for p in (*_descendants(child), child)]


def _unmount_below(folder: Path) -> None:
    with open("/proc/self/mounts") as mounts:
        points = [line.split()[1].replace("\\040", " ") for line in mounts]
    for point in reversed(points):
        if point.startswith(f"{folder}/"):
            _run("umount", "--lazy", point, check=False)


def remove_cgroups(root: str) -> None:
    """Remove `root` and what is below it in every hierarchy; only empty folders can go."""
    base = Path("/sys/fs/cgroup")
    for hierarchy in (base, *(p for p in base.iterdir() if p.is_dir())):
        top = hierarchy / root.lstrip("/")
        if not top.is_dir():
            continue
        for folder, _, _ in os.walk(top, topdown=False):
            until(lambda f=folder: _rmdir(f), f"cgroup {folder} is empty", timeout=5)


def _rmdir(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        pass
    return True

"""What on this host would keep a node from working, each in one line with its remedy.

Errors stop an installation; warnings are shown, and the node runs with less. `look` gathers the
facts, `judge` is pure.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import psutil

from pykubelet.bootstrap.install.commands import output

PORTS = {10250: "the kubelet API", 10248: "the health check"}
_INSTANCES = 512
_WATCHES = 65536


@dataclass(frozen=True, slots=True)
class Facts:
    """`ports`: port → name and pid of who listens there. `firewalls`: the active ones."""

    root: bool = True
    cgroup: str = "v2"  # v2, hybrid or v1
    ports: tuple[tuple[int, str], ...] = ()
    inotify_instances: int = 8192
    inotify_watches: int = 524288
    firewalls: tuple[str, ...] = ()
    free_megabytes: int = 10_000
    can_lower_oom_score: bool = True
    systemd: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    fatal: bool
    sentence: str
    remedy: str


def judge(facts: Facts, bridge: str = "pykubelet0") -> list[Finding]:
    found = []
    if not facts.root:
        found.append(Finding(True, "this needs root", "run it with sudo"))
    for port, owner in facts.ports:
        what = PORTS.get(port, "the node")
        found.append(
            Finding(
                True,
                f"port {port} ({what}) is taken by {owner}",
                "stop that program (another kubelet?), or set another port in "
                "/etc/pykubelet/kubelet.yaml",
            )
        )
    if facts.free_megabytes < 500:
        found.append(
            Finding(True, f"only {facts.free_megabytes} MB free in /var/lib", "make some room")
        )
    if facts.cgroup != "v2":
        found.append(
            Finding(
                False,
                f"cgroups are {facts.cgroup}: containers keep their limits, but pods and the QoS "
                "tree get theirs only where the kernel's v1 controllers have them",
                "boot with systemd.unified_cgroup_hierarchy=1",
            )
        )
    if facts.inotify_instances < _INSTANCES or facts.inotify_watches < _WATCHES:
        found.append(
            Finding(
                False,
                f"inotify allows {facts.inotify_instances} instances and "
                f"{facts.inotify_watches} watches; many pods end in `too many open files`",
                f"sysctl -w fs.inotify.max_user_instances={_INSTANCES * 16} "
                f"fs.inotify.max_user_watches={_WATCHES * 8}",
            )
        )
    found += [_firewall(name, bridge) for name in facts.firewalls]
    return found


def _firewall(name: str, bridge: str) -> Finding:
    if name == "ufw":
        remedy = (
            f"ufw allow in on {bridge}; ufw route allow in on {bridge}; "
            f"ufw route allow out on {bridge}; ufw allow 10250/tcp"
        )
    else:
        remedy = (
            f"firewall-cmd --permanent --zone=trusted --add-interface={bridge}; "
            "firewall-cmd --permanent --add-port=10250/tcp; firewall-cmd --reload"
        )
    return Finding(False, f"{name} is active and may drop what pods send", remedy)


# -- looking ---------------------------------------------------------------------------------------


def look(ours: frozenset[int] = frozenset()) -> Facts:
    """The facts of this host. `ours`: pids of a node that runs already, whose ports are its own."""
    return Facts(
        root=os.geteuid() == 0,
        cgroup=cgroup_layout(),
        ports=tuple(_taken(ours)),
        inotify_instances=_number("/proc/sys/fs/inotify/max_user_instances"),
        inotify_watches=_number("/proc/sys/fs/inotify/max_user_watches"),
        firewalls=tuple(_firewalls()),
        free_megabytes=shutil.disk_usage("/var/lib").free >> 20,
        can_lower_oom_score=has_capability(24),
        systemd=under_systemd(),
    )


def cgroup_layout(base: Path = Path("/sys/fs/cgroup")) -> str:
    if (base / "cgroup.controllers").exists():
        return "v2"
    return "hybrid" if (base / "unified/cgroup.procs").exists() else "v1"


def under_systemd() -> bool:
    """sd_booted(3)."""
    return Path("/run/systemd/system").is_dir()


def has_capability(number: int) -> bool:
    """Of this process; capabilities(7). 24 is CAP_SYS_RESOURCE."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def _taken(ours: frozenset[int]) -> list[tuple[int, str]]:
    found = {}
    for connection in psutil.net_connections("tcp"):
        if connection.status != psutil.CONN_LISTEN or not connection.laddr:
            continue
        port = connection.laddr.port
        if port in PORTS and connection.pid not in ours:
            found[port] = _owner(connection.pid)
    return sorted(found.items())


def _owner(pid: int | None) -> str:
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})" if pid else "an unknown process"
    except psutil.NoSuchProcess:
        return f"pid {pid}"


def _firewalls() -> list[str]:
    asked = {"ufw": (["ufw", "status"], "Status: active"),
             "firewalld": (["firewall-cmd", "--state"], "running")}  # fmt: skip
    found = []
    for name, (command, answer) in asked.items():
        if shutil.which(command[0]) and output(*command, check=False).startswith(answer):
            found.append(name)
    return found


def _number(path: str) -> int:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return 0

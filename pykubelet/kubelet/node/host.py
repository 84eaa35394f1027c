"""What is wrong with this host before anything starts, and how to mend it, one line each.

`look` gathers `Facts` (nothing is changed, nothing is loaded), `findings` judges them, purely. What
can be lived with is a warning: the agent starts all the same, with swap on, on cgroup v1, without a
default route. Only what makes it impossible to run is an error.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pykubelet.kubelet.node import inotify
from pykubelet.kubelet.node.inotify import Inotify

ERROR, WARNING, NOTE = "error", "warning", "note"

#: Fewer inotify instances than this free: pods that watch files will run out soon.
_FEW_INSTANCES = 16
_GOOD_INSTANCES, _GOOD_WATCHES = 1024, 524_288


@dataclass(frozen=True, slots=True)
class Finding:
    """`level`: error (can't start), warning (works, but), note. `remedy`: what to type or do."""

    level: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}" if self.remedy else self.what


@dataclass(frozen=True, slots=True)
class Facts:
    """`taken_ports`: port → who has it. `bridge_filter` None: the kernel has no br_netfilter (yet).
    `boot_id` and `last_boot_id` differ after a reboot."""

    root: bool = True
    cgroup_version: int = 2
    cgroup_notes: tuple[str, ...] = ()
    inotify: Inotify = field(default_factory=Inotify)
    swap: int = 0
    taken_ports: Mapping[int, str] = field(default_factory=dict)
    ip_forward: bool = True
    bridge_filter: bool | None = True
    firewalls: tuple[str, ...] = ()
    boot_id: str = ""
    last_boot_id: str = ""

    @property
    def rebooted(self) -> bool:
        """The host was started anew since the agent last ran: nothing that it left runs still."""
        return bool(self.last_boot_id) and self.last_boot_id != self.boot_id


def findings(
    facts: Facts,
    *,
    fail_swap_on: bool = False,
    fail_cgroup_v1: bool = False,
    port: int = 10250,
    pod_cidr: str = "",
) -> list[Finding]:
    """What a person should know, the worst first."""
    found: list[Finding] = []
    if not facts.root:
        found.append(Finding(ERROR, "the agent needs root", "start it with sudo"))
    for taken, holder in facts.taken_ports.items():
        found.append(
            Finding(
                ERROR,
                f"port {taken} is taken by {holder or 'another program'}",
                "stop that, or choose another port",
            )
        )
    if facts.cgroup_version == 1 and fail_cgroup_v1:
        found.append(
            Finding(ERROR, "this host has cgroup v1", "unset failCgroupV1, or boot with v2")
        )
    if facts.swap:
        size = f"swap is on ({facts.swap >> 20} MiB)"
        if fail_swap_on:
            found.append(Finding(ERROR, size, "run `swapoff -a`, or unset failSwapOn"))
        else:
            found.append(Finding(NOTE, f"{size}: pods get none of it unless memorySwap says so"))
    found += _inotify(facts.inotify)
    found += [Finding(WARNING, note) for note in facts.cgroup_notes]
    if not facts.ip_forward:
        found.append(
            Finding(
                WARNING,
                "IP forwarding is off: pods reach nothing beyond this node",
                "run `sysctl -w net.ipv4.ip_forward=1`",
            )
        )
    if facts.bridge_filter is False:
        found.append(
            Finding(
                WARNING,
                "bridged traffic bypasses the packet filter: a pod can't reach a service that "
                "leads to a pod on the same node",
                "run `sysctl -w net.bridge.bridge-nf-call-iptables=1`",
            )
        )
    elif facts.bridge_filter is None:
        found.append(
            Finding(NOTE, "the module br_netfilter is not loaded", "run `modprobe br_netfilter`")
        )
    found += [_firewall(name, port, pod_cidr) for name in facts.firewalls]
    if facts.rebooted:
        found.append(Finding(NOTE, "the host was rebooted: pods are started anew at once"))
    order = (ERROR, WARNING, NOTE)
    return sorted(found, key=lambda f: order.index(f.level))


def look(
    ports: Iterable[tuple[str, int]] = (),
    *,
    state_dir: str = "",
    cgroup_version: int = 2,
    cgroup_notes: Iterable[str] = (),
) -> Facts:
    """This host, now. `ports` are (address, port) that the agent is about to listen on."""
    from pykubelet.kubelet.node.info import system

    return Facts(
        root=os.geteuid() == 0,
        cgroup_version=cgroup_version,
        cgroup_notes=tuple(cgroup_notes),
        inotify=inotify.look(),
        swap=_swap(),
        taken_ports={port: _holder(port) for address, port in ports if _taken(address, port)},
        ip_forward=_flag("net/ipv4/ip_forward") is not False,
        bridge_filter=_flag("net/bridge/bridge-nf-call-iptables"),
        firewalls=tuple(_firewalls()),
        boot_id=system().boot_id,
        last_boot_id=_last_boot(state_dir),
    )


def remember_boot(state_dir: str, boot_id: str) -> None:
    """So that the next start can tell whether the host was rebooted in between."""
    os.makedirs(state_dir, exist_ok=True)
    target = Path(state_dir, "boot_id")
    part = target.with_suffix(".part")
    part.write_text(boot_id)
    part.replace(target)


def _inotify(found: Inotify) -> list[Finding]:
    held = ", ".join(f"{name} {number}" for name, number in found.holders)
    raise_it = (
        f"run `sysctl -w fs.inotify.max_user_instances={_GOOD_INSTANCES}"
        f" fs.inotify.max_user_watches={_GOOD_WATCHES}`, and write both to /etc/sysctl.d"
    )
    if not found.usable:
        return [
            Finding(
                WARNING,
                f"no inotify instance is left of {found.instances} for this user ({held} have "
                'them): programs will say "too many open files", which is not about files; '
                "manifests are looked at by the clock instead",
                raise_it,
            )
        ]
    if 0 < found.instances < found.used + _FEW_INSTANCES:
        return [
            Finding(
                WARNING,
                f"only {found.instances - found.used} of {found.instances} inotify instances are "
                f"left ({held} have the most)",
                raise_it,
            )
        ]
    return []


def _firewall(name: str, port: int, pod_cidr: str) -> Finding:
    pods = pod_cidr or "<the pods' address range>"
    commands = {
        "firewalld": (
            f"firewall-cmd --permanent --add-port={port}/tcp && firewall-cmd --permanent "
            f"--zone=trusted --add-source={pods} && firewall-cmd --reload"
        ),
        "ufw": f"ufw allow {port}/tcp && ufw allow from {pods} && ufw route allow from {pods}",
    }
    return Finding(
        WARNING,
        f"{name} is active and may drop pods' traffic; it can stay on",
        f"run `{commands[name]}`",
    )


def _firewalls(root: Path = Path("/")) -> Iterable[str]:
    if (root / "run/firewalld").is_dir() or _runs("firewalld"):
        yield "firewalld"
    try:
        written = (root / "etc/ufw/ufw.conf").read_text()
    except OSError:
        return
    if "ENABLED=yes" in written.replace(" ", "").splitlines():
        yield "ufw"


def _runs(program: str) -> bool:
    import psutil

    return any(p.info["name"] == program for p in psutil.process_iter(["name"]))


def _taken(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def _holder(port: int) -> str:
    """The program that listens there, as `name (pid 12)`; empty if it can't be told."""
    import psutil

    try:
        for each in psutil.net_connections("tcp"):
            if each.status != psutil.CONN_LISTEN or not each.laddr or not each.pid:
                continue
            if each.laddr.port == port:
                return f"{psutil.Process(each.pid).name()} (pid {each.pid})"
    except psutil.Error:
        pass  # not ours to know
    return ""


def _swap() -> int:
    import psutil

    return psutil.swap_memory().total


def _flag(name: str) -> bool | None:
    try:
        return Path("/proc/sys", name).read_text().strip() != "0"
    except OSError:
        return None


def _last_boot(state_dir: str) -> str:
    try:
        return Path(state_dir, "boot_id").read_text().strip() if state_dir else ""
    except OSError:
        return ""

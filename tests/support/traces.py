"""What software leaves behind on a machine, before and after: the heart of every leak check.

`snapshot` writes down what can leak: links, addresses, routes, packet rules, sysctls, mounts,
network namespaces, cgroups, processes, containers and files. `difference` tells what changed, one
sentence each, and is empty where nothing did. Only stable facts are taken: no counters, no handles,
no pids, no times.

Of a throw-away `Machine` only what is its own is looked at, so other machines on the same host
don't disturb; without one, the whole host is. Deleting is often asynchronous, so tests wait:
`until(lambda: not difference(before, snapshot(machine)), "nothing is left")`, or `settled`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.machine import Machine

# Folders whose files count on a whole host: everything that an installation may touch.
HOST_FOLDERS = tuple(
    map(
        Path,
        (
            "/etc/cni", "/etc/containerd", "/etc/kubernetes", "/etc/pykubelet",
            "/etc/systemd/system", "/etc/sysctl.d", "/etc/modules-load.d", "/etc/logrotate.d",
            "/opt/cni", "/opt/pykubelet", "/run/pykubelet", "/usr/local/bin", "/usr/local/sbin",
            "/var/lib/cni", "/var/lib/kubelet", "/var/lib/pykubelet", "/var/log/containers",
            "/var/log/pods", "/var/log/pykubelet",
        ),
    )
)  # fmt: skip
SYSCTLS = (
    "net.ipv4.ip_forward",
    "net.ipv4.conf.all.route_localnet",
    "net.ipv6.conf.all.forwarding",
)

# A process is ours if its command line or its cgroup says so.
_OUR_COMMAND = re.compile(
    r"pykubelet run|pykubelet-supervisor|pykubelet\.bootstrap\.supervisor|containerd-shim"
)
_OUR_CGROUP = re.compile(r"kubepods|k8s\.io|cri-containerd")

Command = Callable[..., str]


@dataclass(frozen=True)
class Traces:
    """For each kind of thing (`links`, `mounts`, …), every one there is, with its count."""

    kinds: Mapping[str, Counter[str]]

    @staticmethod
    def from_json(text: str) -> Traces:
        """What `python -m tests.support.traces` printed, perhaps on another machine."""
        return Traces({kind: Counter(found) for kind, found in json.loads(text).items()})


def snapshot(machine: Machine | None = None, folders: Sequence[Path] | None = None) -> Traces:
    """What is there now, on `machine` or on the whole host. `folders`: whose files count too
    (by default none of a machine's, `HOST_FOLDERS` of a host)."""
    if folders is None:
        folders = () if machine else HOST_FOLDERS
    run: Command = (lambda *c: machine.run(*c, check=False)) if machine else _run
    kinds: dict[str, Iterable[str]] = {
        "link": _links(run),
        "address": _addresses(run),
        "route": _routes(run),
        "iptables rule": _iptables(run),
        "nftables line": _nftables(run),
        "sysctl": (f"{key} = {run('sysctl', '-n', key).strip()}" for key in SYSCTLS),
        "mount": _mounts(machine.home if machine else None),
        "network namespace": [] if machine else _names(Path("/run/netns")),
        "cgroup": _cgroups(machine.cgroup_root if machine else "/"),
        "process": _processes(machine),
        "container": _ctr(machine, "containers", "list", "-q"),
        "task": _ctr(machine, "tasks", "list", "-q"),
        "snapshot": _active_snapshots(machine),
        "file": (str(path) for folder in folders for path in _files(folder)),
    }
    return Traces({kind: Counter(found) for kind, found in kinds.items()})


def difference(before: Traces, after: Traces) -> list[str]:
    """What appeared and what vanished, one line each, sorted by kind."""
    lines = []
    for kind in before.kinds.keys() | after.kinds.keys():
        old, new = before.kinds.get(kind, Counter()), after.kinds.get(kind, Counter())
        for sign, change in (("new", new - old), ("gone", old - new)):
            lines += [f"{kind}: {sign}: {what}" for what, n in change.items() for _ in range(n)]
    return sorted(lines)


def settled(
    before: Traces,
    machine: Machine | None = None,
    folders: Sequence[Path] | None = None,
    timeout: float = 20.0,
) -> list[str]:
    """The difference to `before` once it is empty, or what is left of it after `timeout` seconds.
    For `assert settled(before, machine) == []`, which shows exactly what leaked."""
    deadline = time.monotonic() + timeout
    while (left := difference(before, snapshot(machine, folders))) and time.monotonic() < deadline:
        time.sleep(0.2)
    return left


# -- the network ----------------------------------------------------------------------------------


def _links(run: Command) -> Iterator[str]:
    for link in _json(run("ip", "-j", "-d", "link", "show")):
        kind = link.get("linkinfo", {}).get("info_kind", link.get("link_type", ""))
        master = f" in {link['master']}" if "master" in link else ""
        yield f"{link['ifname']} ({kind}){master}"


def _addresses(run: Command) -> Iterator[str]:
    for link in _json(run("ip", "-j", "address", "show")):
        for address in link.get("addr_info", ()):
            yield f"{address['local']}/{address['prefixlen']} on {link['ifname']}"


def _routes(run: Command) -> Iterator[str]:
    for family in ("-4", "-6"):
        for route in _json(run("ip", "-j", family, "route", "show", "table", "all")):
            keys = ("type", "dst", "gateway", "dev", "table", "prefsrc")
            yield " ".join(f"{key} {route[key]}" for key in keys if key in route)
        for rule in run("ip", family, "rule", "show").splitlines():
            yield f"rule {' '.join(rule.split())}"


def _iptables(run: Command) -> Iterator[str]:
    """Rules and chains of our own, with their table; a built-in chain's mere presence is none."""
    for program in ("iptables-save", "ip6tables-save", "iptables-legacy-save"):
        if not shutil.which(program):
            continue
        table = ""
        for line in run(program).splitlines():
            if line.startswith("*"):
                table = line[1:]
            elif line.startswith(":") and " - [" in line:
                yield f"{program} {table}: chain {line.split()[0][1:]}"
            elif line.startswith("-A"):
                yield f"{program} {table}: {line}"


def _nftables(run: Command) -> Iterator[str]:
    if not shutil.which("nft"):
        return
    table = ""
    for line in run("nft", "--stateless", "list", "ruleset").splitlines():
        if line.startswith("table"):
            table = line.rstrip(" {")
        if line.strip() not in ("", "}"):
            yield f"{table}: {line.strip()}"


# -- the kernel's other books ---------------------------------------------------------------------


def _mounts(below: Path | None) -> Iterator[str]:
    with open("/proc/self/mountinfo") as lines:
        for line in lines:
            fields = line.split()
            if below is None or fields[4].startswith(f"{below}/"):
                yield f"{fields[4]} ({fields[fields.index('-') + 1]})"


def _cgroups(root: str) -> Iterator[str]:
    base = Path("/sys/fs/cgroup")
    unified = (base / "cgroup.controllers").exists()
    for hierarchy in (base,) if unified else [p for p in base.iterdir() if p.is_dir()]:
        for folder, _, _ in os.walk(hierarchy / root.lstrip("/")):
            path = folder.removeprefix(str(base))
            # systemd makes and removes units of its own as it pleases, other tests their machines.
            foreign = re.search(r"/(system|user|init)\.(slice|scope)|/pk-?[0-9a-z_]{6}", path)
            if root != "/" or not foreign or "pykubelet" in path:
                yield path


def _processes(machine: Machine | None) -> Iterator[str]:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            cgroup = Path(f"/proc/{pid}/cgroup").read_text()
        except (OSError, UnicodeDecodeError):
            continue  # it ended as we looked
        if machine:
            shim = "containerd-shim" in command and str(machine.socket) in command
            found = shim or f":{machine.cgroup_root}/" in cgroup
        else:
            found = bool(_OUR_COMMAND.search(command) or _OUR_CGROUP.search(cgroup))
        if found:
            # A shim's id and a pod's are random: only the program and its arguments' shape count.
            yield re.sub(r"[0-9a-f]{64}", "<id>", command.strip())


def _ctr(machine: Machine | None, *args: str) -> list[str]:
    if machine:
        return machine.ctr(*args, check=False).split() if machine.socket.exists() else []
    if not (shutil.which("ctr") and Path("/run/containerd/containerd.sock").exists()):
        return []
    return _run("ctr", "--namespace", "k8s.io", *args).split()


def _active_snapshots(machine: Machine | None) -> Iterator[str]:
    words = _ctr(machine, "snapshots", "list")
    # KEY [PARENT] KIND, flattened; what images unpack to is Committed and may stay.
    for at, word in enumerate(words):
        if word == "Active":
            yield next(w for w in (words[at - 2], words[at - 1]) if not w.startswith("sha256:"))


def _files(folder: Path) -> Iterator[Path]:
    for top, names, files in os.walk(folder):
        yield Path(top)
        yield from (Path(top) / name for name in files)
        yield from (Path(top) / name for name in names if (Path(top) / name).is_symlink())


def _names(folder: Path) -> list[str]:
    return os.listdir(folder) if folder.is_dir() else []


def _json(text: str) -> list[dict]:  # type: ignore[type-arg]
    return [item for item in json.loads(text or "[]") if item]


def _run(*command: str) -> str:
    return subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    ).stdout


if __name__ == "__main__":
    print(json.dumps(snapshot().kinds))

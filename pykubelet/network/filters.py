"""Carries rule texts to the kernel: by nftables, or by iptables where a host has only that.

Both touch nothing but what bears our names. nftables swaps a whole table in one transaction.
iptables-restore does the same for our chains, and moves the jump into them within the same
transaction (delete one, insert one), so that there is never none and never two.
"""

from __future__ import annotations

import logging
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from pykubelet.errors import Failed, TimedOut
from pykubelet.network import masquerade, portmap
from pykubelet.network.leases import Lease
from pykubelet.network.masquerade import Masquerade

log = logging.getLogger(__name__)

_TIMEOUT = 30.0
Jump = tuple[str, str, str]


class Filter(Protocol):
    name: str

    def set_host_ports(self, leases: Iterable[Lease]) -> None:
        """Make the host ports those of `leases`, whatever they are now."""

    def set_masquerade(self, wanted: Iterable[Masquerade]) -> None:
        """Make the masquerading that of `wanted`, whatever it is now."""

    def has_masquerade(self) -> bool:
        """Whether it is still there: a reload of the host's own rules may have taken it away."""

    def has_host_ports(self) -> bool:
        """Likewise."""

    def remove(self) -> None:
        """Every trace of ours."""


def choose(backend: str = "") -> Filter:
    """The named backend, or the first that this host has. Raises Failed where it has none."""
    if backend in ("", "nftables") and shutil.which("nft"):
        return Nftables()
    if backend in ("", "iptables") and shutil.which("iptables-restore"):
        return Iptables()
    wanted = backend or "nftables or iptables"
    raise Failed(f"host ports and masquerading need {wanted}; install the package")


def all_present() -> list[Filter]:
    """Every backend that this host has, to take away what an earlier choice left behind."""
    found: list[Filter] = []
    if shutil.which("nft"):
        found.append(Nftables())
    if shutil.which("iptables-restore"):
        found.append(Iptables())
    return found


def forget_connections(leases: Iterable[Lease]) -> None:
    """Drop the UDP flows that the kernel remembers for these host ports: a client that keeps
    sending would else be led past the new rule, or to a pod that is gone, for ever."""
    tool = shutil.which("conntrack")
    for target in portmap.targets(leases):
        if target.protocol != "udp":
            continue
        if tool is None:
            log.warning("the conntrack tool is missing: old UDP flows to host ports may stay")
            return
        command = [tool, "-D", "-f", f"ipv{target.version}", "-p", "udp"]
        command += ["--orig-port-dst", str(target.host_port)]
        _run(command, allowed=(0, 1))  # 1: there was none


class Nftables:
    name = "nftables"

    def set_host_ports(self, leases: Iterable[Lease]) -> None:
        _run(["nft", "-f", "-"], portmap.nft(leases))

    def set_masquerade(self, wanted: Iterable[Masquerade]) -> None:
        _run(["nft", "-f", "-"], masquerade.nft(wanted))

    def has_masquerade(self) -> bool:
        return table_exists(masquerade.TABLE)

    def has_host_ports(self) -> bool:
        return table_exists(portmap.TABLE)

    def remove(self) -> None:
        if self.has_masquerade() or self.has_host_ports():
            _run(["nft", "-f", "-"], portmap.nft(()) + masquerade.nft(()))


class Iptables:
    name = "iptables"

    def set_host_ports(self, leases: Iterable[Lease]) -> None:
        wanted = list(leases)
        _restore(4, portmap.iptables(wanted, 4), portmap.CHAINS, portmap.JUMPS)
        _restore(6, portmap.iptables(wanted, 6), portmap.CHAINS6, portmap.JUMPS6)

    def set_masquerade(self, wanted: Iterable[Masquerade]) -> None:
        networks = list(wanted)
        for version in (4, 6):
            rules = masquerade.iptables(networks, version)
            _restore(version, rules, masquerade.CHAINS, masquerade.JUMPS)

    def has_masquerade(self) -> bool:
        return _chain_exists(masquerade.CHAIN)

    def has_host_ports(self) -> bool:
        return _chain_exists(portmap.CHAIN)

    def remove(self) -> None:
        self.set_host_ports(())
        self.set_masquerade(())


# -- nftables -----------------------------------------------------------------------------------


def table_exists(name: str) -> bool:
    """One netlink question (NFT_MSG_GETTABLE, family inet), 20 µs: cheap enough for every ADD."""
    text = name.encode() + b"\0"
    attribute = struct.pack("=HH", 4 + len(text), 1) + text
    attribute += b"\0" * (-len(attribute) % 4)
    body = struct.pack("=BBH", 1, 0, 0) + attribute
    header = struct.pack("=IHHII", 16 + len(body), (10 << 8) | 1, 0x1, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 12) as nfnetlink:
        nfnetlink.settimeout(_TIMEOUT)
        nfnetlink.send(header + body)
        answer = nfnetlink.recv(8192)
    kind = struct.unpack_from("=H", answer, 4)[0]
    # NLMSG_ERROR is ENOENT, or a kernel without nftables, which has no table of ours either
    return bool(kind != 2)


# -- iptables -----------------------------------------------------------------------------------


def _restore(
    version: int,
    rules: dict[str, list[str]],
    chains: Mapping[str, tuple[str, ...]],
    jumps: Sequence[Jump],
) -> None:
    """First as if our jumps were there, which is the usual case: swap them within the one
    transaction. Where that is refused some jump is missing: clear the rest, then insert all."""
    program = "iptables-restore" if version == 4 else "ip6tables-restore"
    if shutil.which(program) is None:
        return
    command = [program, "--wait", "--noflush"]
    if not rules:
        _clear(version, chains, jumps)
        return
    refused = _try(command, _restore_text(rules, chains, jumps, replacing=True))
    if refused:
        _delete_jumps(version, jumps)
        _run(command, _restore_text(rules, chains, jumps, replacing=False))


def _restore_text(
    rules: dict[str, list[str]],
    chains: Mapping[str, tuple[str, ...]],
    jumps: Sequence[Jump],
    *,
    replacing: bool,
) -> str:
    text = []
    for table, names in chains.items():
        text.append(f"*{table}")
        text += [f":{name} - [0:0]" for name in names]  # creates the chain, or empties it
        text += rules.get(table, [])
        for where, builtin, jump in jumps:
            if where == table:
                text += [f"-D {builtin} {jump}"] if replacing else []
                text.append(f"-I {builtin} 1 {jump}")
        text.append("COMMIT")
    return "\n".join(text) + "\n"


def _clear(version: int, chains: Mapping[str, tuple[str, ...]], jumps: Sequence[Jump]) -> None:
    program = "iptables" if version == 4 else "ip6tables"
    _delete_jumps(version, jumps)
    for table, names in chains.items():
        for action in ("-F", "-X"):
            for name in names:
                _try([program, "--wait", "-t", table, action, name])


def _delete_jumps(version: int, jumps: Sequence[Jump]) -> None:
    program = "iptables" if version == 4 else "ip6tables"
    for table, builtin, jump in jumps:
        command = [program, "--wait", "-t", table, "-D", builtin, *jump.split()]
        while not _try(command):
            pass  # once more, until there is none


def _chain_exists(name: str) -> bool:
    return not _try(["iptables", "--wait", "-t", "nat", "-n", "-L", name])


def _try(command: list[str], text: str = "") -> str:
    """ "" where it succeeded, else what the program said."""
    try:
        _run(command, text)
    except TimedOut:
        raise
    except Failed as error:
        return str(error)
    return ""


def _run(command: list[str], text: str = "", allowed: tuple[int, ...] = (0,)) -> None:
    try:
        done = subprocess.run(
            command, input=text.encode(), capture_output=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TimedOut(f"{command[0]} did not end in {_TIMEOUT:g} s") from error
    except OSError as error:
        raise Failed(f"{command[0]}: {error.strerror}") from error
    if done.returncode not in allowed:
        said = done.stderr.decode(errors="replace").strip()
        raise Failed(f"{' '.join(command)}: exit {done.returncode}: {said}")

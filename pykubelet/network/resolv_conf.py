"""The node's resolv.conf: which file to believe, and what it says.

A pod can't use a resolver that listens on the node's loopback, and a cluster DNS that forwards to
one answers itself for ever. Where the configured file names only such a stub, as systemd-resolved's
and NetworkManager's do, the file with the real servers behind it is read instead. The kubelet
builds pods' DNS configuration from what is found here, cluster DNS forwards to it.
Source: resolv.conf(5), systemd-resolved(8).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from pathlib import Path

#: Files in which the managers of a loopback stub keep the servers that they ask themselves.
BEHIND_A_STUB = (
    Path("/run/systemd/resolve/resolv.conf"),
    Path("/run/NetworkManager/no-stub-resolv.conf"),
)


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """What one file says. `path` is where it was read; `warning` a sentence for a person, or ""."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    path: str = ""
    warning: str = ""

    @property
    def is_stub(self) -> bool:
        """True where every server is on the node's own loopback."""
        return bool(self.servers) and all(is_loopback(server) for server in self.servers)


def parse(text: str) -> ResolvConf:
    """Servers add up; of `search` (`domain` is its old name) and `options` the last line counts.

    Trailing dots go.
    """
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    for line in text.splitlines():
        words = line.strip().split()
        match words[:1]:
            case ["nameserver"] if len(words) > 1:
                servers.append(words[1])
            case ["search" | "domain"]:
                # A lone dot is the root, and means "no search list".
                searches = tuple(word if word == "." else word.removesuffix(".")
                                 for word in words[1:])  # fmt: skip
            case ["options"]:
                options = tuple(words[1:])
    return ResolvConf(tuple(servers), searches, options)


def read(
    configured: str = "/etc/resolv.conf", behind: tuple[Path, ...] = BEHIND_A_STUB
) -> ResolvConf:
    """The configuration that pods can use. "" says that the node has none; a missing file too.

    Cheap enough to be read at every pod start, which is how a changed file reaches the next pod.
    """
    if not configured:
        return ResolvConf()
    found = _read(Path(configured))
    if found is None:
        return ResolvConf(path=configured, warning=f"{configured} can't be read; pods get no DNS")
    if not found.is_stub:
        return found
    for path in behind:
        real = _read(path)
        if real and real.servers and not real.is_stub:
            return real
    return replace(
        found,
        warning=(
            f"{configured} names only this node's loopback ({', '.join(found.servers)}), where "
            "pods can't reach a resolver; set resolvConf to a file that names the real servers"
        ),
    )


def is_loopback(server: str) -> bool:
    """Whether a nameserver address, with or without a zone, is on the loopback."""
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _read(path: Path) -> ResolvConf | None:
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return None
    return replace(parse(text), path=str(path))

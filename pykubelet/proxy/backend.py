"""What the loop asks of a backend, and which one a host gets.

nftables needs nft 1.0.1 and a kernel of 5.13 or newer, as upstream's nftables mode does; else, or
where it is asked for, iptables in kube-proxy's well-known chains.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Protocol

from pykubelet.errors import Failed, Invalid
from pykubelet.proxy.model import Settings
from pykubelet.proxy.plan import Change, Ports
from pykubelet.proxy.programs import run
from pykubelet.proxy.services import HealthCheck

NFTABLES, IPTABLES = "nftables", "iptables"
_NFT_VERSION, _KERNEL_VERSION = (1, 0, 1), (5, 13)


class Backend(Protocol):
    """Not thread-safe: one loop calls it. Every method raises Failed where the host refuses; what
    is then programmed is unknown, and `sync` makes it right."""

    name: str

    def sync(self, wanted: Mapping[str, Ports]) -> None:
        """Make the rules those of `wanted`, whatever they are now."""

    def change(self, changes: Sequence[Change]) -> None:
        """Make these changes to what was programmed last."""

    def tidy(self) -> None:
        """Take away what `change` has left unreachable, where that is costly: when it is quiet."""

    def set_health_checks(self, checks: Sequence[HealthCheck]) -> None:
        """The ports that load balancers ask for this node's health must be open."""

    def damage(self, thorough: bool) -> str:
        """What somebody else has done to the rules, in words; "" where nothing is seen. Without
        `thorough` only what is seen in microseconds."""

    def tells(self) -> bool:
        """Whether the kernel tells of changes to these rules (`watching`)."""

    def remove(self) -> None:
        """Every trace of ours."""


def choose(mode: str, settings: Settings) -> Backend:
    """By `KubeProxyConfiguration.mode`; "" is the best that the host offers."""
    if mode == "":
        mode = NFTABLES if _fit_for_nftables() else IPTABLES
    if mode == NFTABLES:
        if not shutil.which("nft"):
            raise Failed("mode nftables needs the program nft; install the package nftables")
        from pykubelet.proxy.nftables.backend import Nftables

        return Nftables(settings)
    if mode == IPTABLES:
        if not shutil.which("iptables-restore"):
            raise Failed("mode iptables needs iptables-restore; install the package iptables")
        from pykubelet.proxy.iptables.backend import Iptables

        return Iptables(settings)
    raise Invalid(
        "no such proxy mode", where="mode", expected="nftables, iptables or nothing", found=mode
    )


def cleanup(keep: str = "") -> None:
    """Take away what any backend has left on this host, but for the one named."""
    for name, program in ((NFTABLES, "nft"), (IPTABLES, "iptables-restore")):
        if name != keep and shutil.which(program):
            choose(name, Settings()).remove()


def _fit_for_nftables() -> bool:
    if _numbers(os.uname().release)[:2] < _KERNEL_VERSION or not shutil.which("nft"):
        return False
    try:
        return _numbers(run(["nft", "--version"])) >= _NFT_VERSION
    except Failed:
        return False


def _numbers(text: str) -> tuple[int, ...]:
    found = re.search(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found.group().split(".")) if found else ()

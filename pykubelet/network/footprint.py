"""What this node's network has changed on the host, so that an uninstall can take it all back.

Bridges, and the sysctls with the value that they had before. Written before the change is made,
in the leases' folder of this boot: after a reboot there is nothing to take back. Used under the
lock of `leases`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from pykubelet.network.masquerade import Masquerade

_SYSCTLS = Path("/proc/sys/net")


@dataclass
class Footprint:
    """`networks`: by name, its masquerading. `backend`: which of `filters` holds the rules.
    `bridges`: those that we made. `sysctls`: path below /proc/sys/net to the value before ours."""

    path: Path
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    backend: str = ""
    bridges: list[str] = field(default_factory=list)
    sysctls: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def load(path: Path) -> Footprint:
        """Empty where there is none, or none that can be read."""
        try:
            raw = json.loads(path.read_bytes())
            return Footprint(
                path,
                networks=dict(raw["networks"]),
                backend=str(raw["backend"]),
                bridges=list(raw["bridges"]),
                sysctls=dict(raw["sysctls"]),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return Footprint(path)

    def note_network(self, name: str, hidden: Masquerade | None) -> bool:
        """Whether that was news."""
        entry = {
            "sources": [str(n) for n in hidden.sources] if hidden else [],
            "spared": [str(n) for n in hidden.spared] if hidden else [],
        }
        if self.networks.get(name) == entry:
            return False
        self.networks[name] = entry
        self._save()
        return True

    def note_backend(self, name: str) -> None:
        if self.backend != name:
            self.backend = name
            self._save()

    def note_bridge(self, name: str) -> None:
        """To be called before it is made."""
        if name not in self.bridges:
            self.bridges.append(name)
            self._save()

    def masquerades(self) -> list[Masquerade]:
        return [
            Masquerade(
                tuple(ip_network(n) for n in entry["sources"]),
                tuple(ip_network(n) for n in entry["spared"]),
            )
            for _, entry in sorted(self.networks.items())
            if entry["sources"]
        ]

    def set_sysctl(self, name: str, value: str) -> None:
        """`name` below /proc/sys/net, such as `ipv4/ip_forward`. A value that is right already is
        not ours and is not taken back. Raises OSError."""
        before = read_sysctl(name)
        if before == value:
            return
        if name not in self.sysctls:
            self.sysctls[name] = before
            self._save()
        write_sysctl(name, value)

    def restore_sysctls(self) -> None:
        for name, value in reversed(self.sysctls.items()):
            try:
                write_sysctl(name, value)
            except OSError:
                continue  # its interface is gone, and the setting with it

    def _save(self) -> None:
        part = self.path.with_name(f"{self.path.name}-new")
        known = {name: value for name, value in vars(self).items() if name != "path"}
        part.write_text(json.dumps(known))
        os.replace(part, self.path)


def read_sysctl(name: str) -> str:
    return (_SYSCTLS / name).read_text().strip()


def write_sysctl(name: str, value: str) -> None:
    with open(_SYSCTLS / name, "w") as file:
        file.write(value)

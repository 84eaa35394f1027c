"""What this node has given out: one lease per attachment (network, container, interface).

A lease holds all that is needed to take the attachment away again, and is written before the
first link is made and removed after the last rule is gone: whatever dies in between, the lease is
there to clean up by. Leases live in a folder named after the boot: links, rules and sandboxes do
not outlive a reboot, so neither do leases, and no address is lost to one. For the same reason
nothing is synced to disk; a process that is killed loses nothing that it has written.

The agent and the plugin's in-process fallback may work at the same time, so every use holds a
file lock. A number in the lock file, new with every change, tells a process whether its picture of
the folder still holds, so that the agent reads the folder once, not once per pod.
"""

from __future__ import annotations

import fcntl
import ipaddress
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pykubelet.network.messages import Address, Interface

log = logging.getLogger(__name__)

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
Key = tuple[str, str, str]


@dataclass(frozen=True)
class PortMapping:
    """`protocol`: tcp, udp or sctp. `host_ip`: "" for every address of the node."""

    host_port: int
    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""


@dataclass(frozen=True)
class Lease:
    """`addresses` as `ip/prefix`; `created` in seconds of the monotonic clock, which is one for all
    processes of a boot."""

    network: str
    container: str
    interface: str
    namespace: str
    host_interface: str
    bridge: str
    addresses: tuple[str, ...]
    gateways: tuple[str, ...]
    ports: tuple[PortMapping, ...] = ()
    created: float = field(default_factory=time.monotonic)

    @property
    def key(self) -> Key:
        return self.network, self.container, self.interface

    @cached_property
    def ips(self) -> tuple[Interface, ...]:
        return tuple(ipaddress.ip_interface(a) for a in self.addresses)

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def from_json(data: bytes) -> Lease:
        """Raises ValueError, KeyError or TypeError on anything but what `to_json` wrote."""
        raw: dict[str, Any] = json.loads(data)
        ports = tuple(PortMapping(**p) for p in raw.pop("ports"))
        addresses, gateways = tuple(raw.pop("addresses")), tuple(raw.pop("gateways"))
        return replace(Lease(**raw, addresses=addresses, gateways=gateways), ports=ports)


@dataclass
class Picture:
    """What a process knows of the folder. `generation` changes with every change of the folder;
    `last` is, by network, what was handed out most recently."""

    generation: int
    found: dict[Key, Lease]
    last: dict[str, list[str]]


class Leases:
    """The leases as they are while the lock is held."""

    def __init__(self, folder: Path, lock: int, picture: Picture) -> None:
        self._folder = folder
        self._lock = lock
        self._picture = picture
        self._found = picture.found
        self._last = picture.last
        self._changed = False

    def __iter__(self) -> Iterator[Lease]:
        return iter(tuple(self._found.values()))

    def get(self, key: Key) -> Lease | None:
        return self._found.get(key)

    def of(self, network: str) -> list[Lease]:
        return [lease for lease in self._found.values() if lease.network == network]

    def taken(self, network: str) -> set[Address]:
        return {a.ip for lease in self.of(network) for a in lease.ips}

    def last(self, network: str) -> list[Address]:
        """The addresses handed out most recently, one per family and range set."""
        return [ipaddress.ip_address(a) for a in self._last.get(network, [])]

    def put(self, lease: Lease) -> None:
        path = self._path(lease.key)
        part = path.with_name(f".{path.name}")
        self._announce()
        try:
            with open(part, "wb", buffering=0) as file:
                file.write(lease.to_json())
            os.rename(part, path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
        self._found[lease.key] = lease
        self._last[lease.network] = [str(a.ip) for a in lease.ips]
        _write_picture(self._lock, self._picture)

    def drop(self, key: Key) -> None:
        self._announce()
        self._path(key).unlink(missing_ok=True)
        self._found.pop(key, None)

    def _announce(self) -> None:
        """Before the first change: whoever dies half-way has told the others to look again."""
        if not self._changed:
            self._picture.generation = time.monotonic_ns()
            _write_picture(self._lock, self._picture)
            self._changed = True

    def _path(self, key: Key) -> Path:
        # a colon can stand in none of the three
        return self._folder / ":".join(key)


class LeaseStore:
    """`with store.locked() as leases:`. `folder` is made where it is missing, and leases of other
    boots below it are removed. Raises OSError where the folder can't be written."""

    def __init__(self, folder: str | Path, boot_id: str | None = None) -> None:
        self.folder = Path(folder)
        self.boot_folder = self.folder / (boot_id or BOOT_ID.read_text().strip())
        self._current = self.boot_folder / "leases"
        self._mutex = threading.Lock()
        self._picture = Picture(-1, {}, {})
        self._current.mkdir(parents=True, exist_ok=True, mode=0o700)
        for other in self.folder.iterdir():
            if other.is_dir() and other != self.boot_folder:
                shutil.rmtree(other, ignore_errors=True)
                log.info("dropped the address leases of an earlier boot, %s", other.name)

    @contextmanager
    def locked(self) -> Iterator[Leases]:
        """Every other user, thread or process, waits until the block ends."""
        with self._mutex:
            lock = os.open(self._current / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                generation, last = _read_generation(lock)
                if generation != self._picture.generation:
                    self._picture = Picture(generation, self._read(), last)
                yield Leases(self._current, lock, self._picture)
            finally:
                os.close(lock)

    def remove(self) -> None:
        """All leases, and the folder, for an uninstall."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self) -> dict[Key, Lease]:
        found = {}
        for entry in os.scandir(self._current):
            if entry.name.startswith("."):
                if entry.name != ".lock":
                    os.unlink(entry.path)  # half-written when its writer died
                continue
            try:
                lease = Lease.from_json(Path(entry.path).read_bytes())
            except (ValueError, KeyError, TypeError) as error:
                log.warning("address lease %s can't be read, dropped: %s", entry.path, error)
                os.unlink(entry.path)
                continue
            found[lease.key] = lease
        return found


def _read_generation(lock: int) -> tuple[int, dict[str, list[str]]]:
    """A lock file that can't be read makes everybody read the folder anew, nothing worse."""
    try:
        raw = json.loads(os.pread(lock, 1 << 20, 0).partition(b"\n")[0])
        return int(raw["generation"]), dict(raw["last"])
    except (ValueError, KeyError, TypeError):
        return -2, {}


def _write_picture(lock: int, picture: Picture) -> None:
    known = {"generation": picture.generation, "last": picture.last}
    os.pwrite(lock, json.dumps(known).encode() + b"\n", 0)

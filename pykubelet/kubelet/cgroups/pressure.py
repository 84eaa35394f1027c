"""Pressure stall information: how long work waited for CPU, memory or I/O.

Parses the kernel's PSI files (Documentation/accounting/psi.rst), of the whole host below
/proc/pressure or of one cgroup v2 group. Pure, but for the one function that reads the host's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

RESOURCES = ("cpu", "memory", "io")


@dataclass(frozen=True, slots=True)
class Stall:
    """Percent of the last 10, 60 and 300 seconds, and microseconds since the group began."""

    avg10: float = 0.0
    avg60: float = 0.0
    avg300: float = 0.0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Pressure:
    """`some`: at least one task waited; `full`: all of them did. By resource: cpu, memory, io."""

    some: Mapping[str, Stall] = field(default_factory=dict)
    full: Mapping[str, Stall] = field(default_factory=dict)


def parse(texts: Mapping[str, str]) -> Pressure:
    """From the files' contents by resource. What can't be read as PSI is left out."""
    found: dict[str, dict[str, Stall]] = {"some": {}, "full": {}}
    for resource, text in texts.items():
        for line in text.splitlines():
            kind, *pairs = line.split()
            figures = dict(pair.partition("=")[::2] for pair in pairs)
            if kind not in found or "total" not in figures:
                continue
            found[kind][resource] = Stall(
                avg10=float(figures.get("avg10", 0)),
                avg60=float(figures.get("avg60", 0)),
                avg300=float(figures.get("avg300", 0)),
                total=int(figures["total"]),
            )
    return Pressure(found["some"], found["full"])


def of_host(folder: Path = Path("/proc/pressure")) -> Pressure | None:
    """The host's; None where the kernel was built or started without PSI."""
    return read({name: folder / name for name in RESOURCES})


def read(files: Mapping[str, Path]) -> Pressure | None:
    """From files by resource; None if there is not one of them."""
    texts: dict[str, str] = {}
    for resource, file in files.items():
        try:
            texts[resource] = file.read_text()
        except OSError:
            continue  # absent, or PSI switched off (EOPNOTSUPP)
    return parse(texts) if texts else None

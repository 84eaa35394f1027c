"""The manager's figures in Prometheus' text format, under upstream's names. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueFigures:
    name: str
    depth: int
    adds: int
    retries: int
    turns: int
    work_seconds: float


_SERIES = (
    ("workqueue_depth", "gauge", "Keys that wait for their turn", "depth"),
    ("workqueue_adds_total", "counter", "Keys added", "adds"),
    ("workqueue_retries_total", "counter", "Turns that failed and are tried again", "retries"),
)


def text(queues: Iterable[QueueFigures], leads: bool, lease: str, process: dict[str, float]) -> str:
    """`process` are the figures of the process, by their whole name."""
    found = list(queues)
    lines: list[str] = []
    for name, kind, help_, field in _SERIES:
        lines += [f"# HELP {name} [STABLE] {help_}", f"# TYPE {name} {kind}"]
        lines += [f'{name}{{name="{q.name}"}} {getattr(q, field)}' for q in found]
    name = "workqueue_work_duration_seconds"
    lines += [f"# HELP {name} [STABLE] Seconds that turns took", f"# TYPE {name} histogram"]
    for one in found:
        lines += [
            f'{name}_bucket{{name="{one.name}",le="+Inf"}} {one.turns}',
            f'{name}_sum{{name="{one.name}"}} {one.work_seconds:.6f}',
            f'{name}_count{{name="{one.name}"}} {one.turns}',
        ]
    name = "leader_election_master_status"
    lines += [f"# HELP {name} [ALPHA] Whether this process leads", f"# TYPE {name} gauge"]
    lines += [f'{name}{{name="{lease}"}} {int(leads)}']
    name = "running_managed_controllers"
    lines += [f"# HELP {name} [ALPHA] Controllers that run", f"# TYPE {name} gauge"]
    lines += [f'{name}{{manager="{lease}",name="{one.name}"}} 1' for one in found]
    for name, value in process.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# HELP {name} Of this process", f"# TYPE {name} {kind}", f"{name} {value:g}"]
    return "\n".join(lines) + "\n"

"""What the proxy counts, in Prometheus' text format, under upstream's names and labels."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

_QUOTE = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
Labels = tuple[tuple[str, str], ...]


class Series:
    """A counter or gauge, with or without labels. Thread-safe."""

    def __init__(self, name: str, kind: str, about: str, *, start: bool = True) -> None:
        self.name, self._kind, self._about = name, kind, about
        self._lock = threading.Lock()
        self._values: dict[Labels, float] = {(): 0.0} if start else {}

    def add(self, number: float = 1.0, **labels: str) -> None:
        key = tuple(sorted(labels.items()))
        with self._lock:
            self._values[key] = self._values.get(key, 0.0) + number

    def set(self, number: float, **labels: str) -> None:
        with self._lock:
            self._values[tuple(sorted(labels.items()))] = number

    def lines(self) -> Iterator[str]:
        yield from _heading(self.name, self._kind, self._about)
        with self._lock:
            found = sorted(self._values.items())
        for labels, value in found:
            yield f"{self.name}{_braces(dict(labels))} {_number(value)}"


class Histogram:
    """Seconds, by upper bounds."""

    def __init__(self, name: str, about: str, bounds: Sequence[float]) -> None:
        self.name, self._about, self._bounds = name, about, tuple(bounds)
        self._lock = threading.Lock()
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        with self._lock:
            self._counts[bisect_left(self._bounds, seconds)] += 1
            self._sum += seconds

    @property
    def count(self) -> int:
        """How many were observed."""
        with self._lock:
            return sum(self._counts)

    def lines(self) -> Iterator[str]:
        yield from _heading(self.name, "histogram", self._about)
        with self._lock:
            counts, sum_ = list(self._counts), self._sum
        total = 0
        for bound, count in zip([*map(_number, self._bounds), "+Inf"], counts, strict=True):
            total += count
            yield f'{self.name}_bucket{{le="{bound}"}} {total}'
        yield f"{self.name}_sum {_number(sum_)}"
        yield f"{self.name}_count {total}"


def _heading(name: str, kind: str, about: str) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"


def _braces(labels: Mapping[str, str]) -> str:
    written = ",".join(f'{k}="{v.translate(_QUOTE)}"' for k, v in labels.items())
    return f"{{{written}}}" if written else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _doubling(first: float, times: int) -> tuple[float, ...]:
    return tuple(first * 2**n for n in range(times))


class Metrics:
    """One attribute per metric."""

    def __init__(self) -> None:
        prefix = "kubeproxy_sync_proxy_rules"
        self.sync_seconds = Histogram(
            f"{prefix}_duration_seconds",
            "Duration of one change of the rules",
            _doubling(0.001, 15),
        )
        self.full_sync_seconds = Histogram(
            "kubeproxy_sync_full_proxy_rules_duration_seconds",
            "Duration of writing all rules anew",
            _doubling(0.001, 15),
        )
        self.partial_sync_seconds = Histogram(
            "kubeproxy_sync_partial_proxy_rules_duration_seconds",
            "Duration of writing the rules that differ",
            _doubling(0.001, 15),
        )
        self.programming_seconds = Histogram(
            "kubeproxy_network_programming_duration_seconds",
            "From the cause of a change (a pod became ready) to its rules",
            (*_doubling(0.25, 2), *range(1, 60), *range(60, 310, 10)),
        )
        self.conntrack_seconds = Histogram(
            "kubeproxy_conntrack_reconciler_sync_duration_seconds",
            "Duration of forgetting stale UDP flows",
            _doubling(0.001, 15),
        )
        self.last_sync = self._gauge(
            f"{prefix}_last_timestamp_seconds", "When rules were last synced"
        )
        self.last_queued = self._gauge(
            f"{prefix}_last_queued_timestamp_seconds", "When a change last came in"
        )
        self.service_changes = self._counter(
            f"{prefix}_service_changes_total", "Changes of Services that came in"
        )
        self.endpoint_changes = self._counter(
            f"{prefix}_endpoint_changes_total", "Changes of EndpointSlices that came in"
        )
        self.pending = self._gauge(
            f"{prefix}_service_changes_pending", "Services whose changes wait to be programmed"
        )
        self.failures = {
            "nftables": self._counter(
                f"{prefix}_nftables_sync_failures_total", "Transactions that nft refused"
            ),
            "iptables": self._counter(
                f"{prefix}_iptables_restore_failures_total",
                "Transactions that iptables-restore refused",
            ),
        }
        self.no_local_endpoints = Series(
            f"{prefix}_no_local_endpoints_total",
            "gauge",
            "Service ports with a Local policy and no endpoint on this node",
            start=False,
        )
        self.repairs = self._counter(
            "pykubelet_proxy_repairs_total", "Times that rules broken by others were written anew"
        )
        self.conntrack_deleted = self._counter(
            "kubeproxy_conntrack_reconciler_deleted_entries_total", "Stale UDP flows forgotten"
        )
        self.healthz = Series(
            "kubeproxy_proxy_healthz_total", "counter", "Answers of /healthz by code", start=False
        )
        self.livez = Series(
            "kubeproxy_proxy_livez_total", "counter", "Answers of /livez by code", start=False
        )

    @staticmethod
    def _gauge(name: str, about: str) -> Series:
        return Series(name, "gauge", about)

    @staticmethod
    def _counter(name: str, about: str) -> Series:
        return Series(name, "counter", about)

    def text(self) -> str:
        found: list[Series | Histogram] = []
        for value in vars(self).values():
            found += value.values() if isinstance(value, dict) else [value]
        return "".join(f"{line}\n" for one in found for line in one.lines())

"""The counters behind /metrics/probes, under upstream's names.

`prober_probe_total` counts answers, `prober_probe_duration_seconds` is a histogram of how long the
answers took that were no failure. A probe's series go when it goes. The caller holds its own lock.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

from pykubelet.kubelet.probes.state import Kind, Outcome

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_Key = tuple[str, str, str, str, str]  # pod uid, namespace, pod, container, probe type


@dataclass(slots=True)
class _Series:
    totals: dict[Outcome, int] = field(default_factory=dict)
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0


class Metrics:
    def __init__(self) -> None:
        self._series: dict[_Key, _Series] = {}

    def count(
        self, labels: Mapping[str, str], kind: Kind, outcome: Outcome, seconds: float
    ) -> None:
        """One answer. `labels` are namespace, pod, pod_uid and container."""
        series = self._series.setdefault(_key(labels, kind), _Series())
        series.totals[outcome] = series.totals.get(outcome, 0) + 1
        if outcome is not Outcome.FAILURE:
            series.buckets[bisect_left(BUCKETS, seconds)] += 1
            series.seconds += seconds

    def forget(self, labels: Mapping[str, str], kind: Kind) -> None:
        self._series.pop(_key(labels, kind), None)

    def render(self) -> str:
        """The Prometheus text format; empty while no probe has answered."""
        if not self._series:
            return ""
        totals, durations = [], []
        for key in sorted(self._series):
            series = self._series[key]
            uid, namespace, pod, container, kind = key
            common = {"container": container, "namespace": namespace, "pod": pod}
            for outcome, number in series.totals.items():
                labels = _labels(
                    {**common, "pod_uid": uid, "probe_type": kind, "result": outcome.value}
                )
                totals.append(f"prober_probe_total{labels} {number}")
            durations += _histogram({**common, "probe_type": kind}, series)
        return "\n".join(
            [
                "# HELP prober_probe_total Answers of liveness, readiness and startup probes.",
                "# TYPE prober_probe_total counter",
                *totals,
                "# HELP prober_probe_duration_seconds How long probes took to answer.",
                "# TYPE prober_probe_duration_seconds histogram",
                *durations,
                "",
            ]
        )


def _histogram(labels: Mapping[str, str], series: _Series) -> list[str]:
    name, lines, running = "prober_probe_duration_seconds", [], 0
    for bound, number in zip((*map(str, BUCKETS), "+Inf"), series.buckets, strict=True):
        running += number
        lines.append(f"{name}_bucket{_labels({**labels, 'le': bound})} {running}")
    lines.append(f"{name}_sum{_labels(labels)} {series.seconds:g}")
    lines.append(f"{name}_count{_labels(labels)} {running}")
    return lines if running else []


def _key(labels: Mapping[str, str], kind: Kind) -> _Key:
    return (
        labels["pod_uid"],
        labels["namespace"],
        labels["pod"],
        labels["container"],
        kind.value.capitalize(),
    )


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"

"""What /metrics/probes says."""

from __future__ import annotations

from pykubelet.kubelet.probes.metrics import Metrics
from pykubelet.kubelet.probes.state import Kind, Outcome

LABELS = {"namespace": "default", "pod": "web", "pod_uid": "u1", "container": "c"}


def test_answers_are_counted_and_timed_under_upstreams_names() -> None:
    metrics = Metrics()
    metrics.count(LABELS, Kind.READINESS, Outcome.SUCCESS, 0.02)
    metrics.count(LABELS, Kind.READINESS, Outcome.SUCCESS, 20.0)
    metrics.count(LABELS, Kind.READINESS, Outcome.FAILURE, 1.0)
    lines = metrics.render().splitlines()
    who = 'container="c",namespace="default",pod="web"'
    total = f'prober_probe_total{{{who},pod_uid="u1",probe_type="Readiness",result='
    assert f'{total}"successful"}} 2' in lines
    assert f'{total}"failed"}} 1' in lines
    time = f'prober_probe_duration_seconds_bucket{{{who},probe_type="Readiness",le='
    assert f'{time}"0.01"}} 0' in lines
    assert f'{time}"0.025"}} 1' in lines
    assert f'{time}"+Inf"}} 2' in lines
    assert f'prober_probe_duration_seconds_sum{{{who},probe_type="Readiness"}} 20.02' in lines


def test_the_series_of_a_gone_probe_go() -> None:
    metrics = Metrics()
    metrics.count(LABELS, Kind.LIVENESS, Outcome.SUCCESS, 0.1)
    metrics.forget(LABELS, Kind.LIVENESS)
    assert metrics.render() == ""

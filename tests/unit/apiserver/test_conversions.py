"""Two versions of one object say the same."""

from __future__ import annotations

from typing import Any

from pykubelet.apiserver.resources import conversions
from pykubelet.objects.schema import check

Json = dict[str, Any]


def test_an_event_has_other_names_in_its_own_group() -> None:
    old = {
        "kind": "Event", "apiVersion": "v1", "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p"}, "message": "hello", "count": 3,
        "source": {"component": "kubelet"}, "reason": "Started", "type": "Normal",
        "reportingComponent": "kubelet", "reportingInstance": "n",
    }  # fmt: skip
    new = conversions.shown("v1", "events.k8s.io/v1", old)
    assert new["regarding"] == {"kind": "Pod", "name": "p"}
    assert new["note"] == "hello"
    assert [e for e in check("events/v1.Event", new) if e.kind != "required"] == []
    assert conversions.to_store("v1", "events.k8s.io/v1", new) == old


def test_an_autoscaler_loses_nothing_in_the_older_version() -> None:
    cpu = {"type": "Resource", "resource": {"name": "cpu", "target": {
        "type": "Utilization", "averageUtilization": 70}}}  # fmt: skip
    memory = {"type": "Resource", "resource": {"name": "memory", "target": {
        "type": "AverageValue", "averageValue": "1Gi"}}}  # fmt: skip
    v2: Json = {
        "kind": "HorizontalPodAutoscaler", "apiVersion": "autoscaling/v2",
        "metadata": {"name": "h", "annotations": {"a": "b"}},
        "spec": {"minReplicas": 1, "maxReplicas": 3, "metrics": [cpu, memory],
                 "scaleTargetRef": {"kind": "Deployment", "name": "d"},
                 "behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}}},
        "status": {"desiredReplicas": 2, "conditions": [{"type": "AbleToScale"}]},
    }  # fmt: skip
    v1 = conversions.shown("autoscaling/v2", "autoscaling/v1", v2)
    assert v1["spec"]["targetCPUUtilizationPercentage"] == 70
    assert "metrics" not in v1["spec"]
    assert [e for e in check("autoscaling/v1.HorizontalPodAutoscaler", v1)
            if e.kind != "required"] == []  # fmt: skip
    assert conversions.to_store("autoscaling/v2", "autoscaling/v1", v1) == v2

"""The metrics of an autoscaler, asked of the metrics APIs and made into proposals.

metrics.k8s.io says what pods use; custom.metrics.k8s.io and external.metrics.k8s.io, where somebody
serves them, say the rest. A metric that can't be read becomes a Reading with the problem.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from pykubelet.client.api import Api
from pykubelet.clock import from_rfc3339
from pykubelet.controllers import pods
from pykubelet.controllers.horizontal import replicas
from pykubelet.controllers.horizontal.decision import Reading
from pykubelet.controllers.horizontal.replicas import Proposal, Sample, Tolerance
from pykubelet.errors import Failed
from pykubelet.objects import quantity

Json = dict[str, Any]

_RESOURCE = "/apis/metrics.k8s.io/v1beta1/namespaces"
_CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2/namespaces"
_EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1/namespaces"
_PROBLEMS = {
    "Resource": "FailedGetResourceMetric",
    "ContainerResource": "FailedGetContainerResourceMetric",
    "Pods": "FailedGetPodsMetric",
    "Object": "FailedGetObjectMetric",
    "External": "FailedGetExternalMetric",
}


class Readings:
    """One look at the metrics of one autoscaler. `chosen` are its target's pods, `selector` is the
    text that selects them."""

    def __init__(
        self, api: Api, namespace: str, chosen: list[Json], selector: str, current: int,
        tolerance: Tolerance, now: float,
    ) -> None:  # fmt: skip
        self._api = api
        self._namespace = namespace
        self._chosen = chosen
        self._selector = selector
        self._current = current
        self._tolerance = tolerance
        self._now = now
        self._usage: dict[str, Json] | None = None

    def read(self, metric: Json) -> Reading:
        kind = metric["type"]
        readers: dict[str, Callable[[Json], tuple[str, Proposal, Json]]] = {
            "Resource": self._resource,
            "ContainerResource": self._resource,
            "Pods": self._pods,
            "Object": self._object,
            "External": self._external,
        }
        source = metric.get(kind[:1].lower() + kind[1:]) or {}
        name = source.get("name") or (source.get("metric") or {}).get("name") or kind
        try:
            told, proposal, current = readers[kind](source)
        except (Failed, KeyError, ValueError, ZeroDivisionError) as error:
            why = f"the HPA was unable to compute the replica count: {error}"
            return Reading(name, problem=(_PROBLEMS.get(kind, "InvalidMetricSourceType"), why))
        field = kind[:1].lower() + kind[1:]
        kept = {k: source[k] for k in ("name", "container", "metric", "describedObject")
                if k in source}  # fmt: skip
        return Reading(told, proposal.replicas, {"type": kind, field: {**kept, "current": current}})

    # -- what pods use ----------------------------------------------------------------------------

    def _resource(self, source: Json) -> tuple[str, Proposal, Json]:
        name, container, target = source["name"], source.get("container", ""), source["target"]
        samples = self._samples(name, container)
        told = f"{name} {'container ' if container else ''}resource"
        if target["type"] == "Utilization":
            wanted = {
                pod["metadata"]["name"]: replicas.requests_of(pod, name, container)
                for pod in self._chosen
            }
            proposal = replicas.for_utilization(
                self._chosen, samples, wanted, name, target["averageUtilization"], self._current,
                self._tolerance, self._now,
            )  # fmt: skip
            told += " utilization (percentage of request)"
        else:
            proposal = replicas.for_average(
                self._chosen, samples, name, _milli(target["averageValue"]), self._current,
                self._tolerance, self._now,
            )  # fmt: skip
        current: Json = {"averageValue": _spelled(proposal.average)}
        if proposal.utilization is not None:
            current["averageUtilization"] = proposal.utilization
        return told, proposal, current

    def _samples(self, resource: str, container: str) -> dict[str, Sample]:
        if self._usage is None:
            path = f"{_RESOURCE}/{self._namespace}/pods"
            answer = self._api.transport.request(
                "GET", path, query={"labelSelector": self._selector}
            )
            self._usage = {one["metadata"]["name"]: one for one in answer.get("items") or ()}
        found: dict[str, Sample] = {}
        for name, one in self._usage.items():
            measured = [
                _milli(c["usage"][resource])
                for c in one.get("containers") or ()
                if resource in c["usage"] and container in ("", c["name"])
            ]
            if measured:
                window = str(one.get("window") or "60s").removesuffix("s")
                at = from_rfc3339(one["timestamp"]) if one.get("timestamp") else 0.0
                seconds = float(window) if window.replace(".", "").isdigit() else 60.0
                found[name] = Sample(sum(measured), at, seconds)
        return found

    # -- what others measure ----------------------------------------------------------------------

    def _pods(self, source: Json) -> tuple[str, Proposal, Json]:
        metric = source["metric"]
        path = f"{_CUSTOM}/{self._namespace}/pods/*/{quote(metric['name'], safe='')}"
        answer = self._api.transport.request(
            "GET", path, query={"labelSelector": self._selector, **_metric_selector(metric)}
        )
        samples = {
            one["describedObject"]["name"]: Sample(_milli(one["value"]))
            for one in answer.get("items") or ()
        }
        proposal = replicas.for_average(
            self._chosen, samples, "", _milli(source["target"]["averageValue"]), self._current,
            self._tolerance, self._now,
        )  # fmt: skip
        told = f"pods metric {metric['name']}"
        return told, proposal, {"averageValue": _spelled(proposal.average)}

    def _object(self, source: Json) -> tuple[str, Proposal, Json]:
        metric, about = source["metric"], source["describedObject"]
        group = about.get("apiVersion", "").rpartition("/")[0]
        kind = about["kind"].lower() + ("." + group if group else "")
        name = quote(metric["name"], safe="")
        path = f"{_CUSTOM}/{self._namespace}/{kind}/{about['name']}/{name}"
        answer = self._api.transport.request("GET", path, query=_metric_selector(metric))
        value = _milli(answer["items"][0]["value"])
        told = f"{about['kind']} metric {metric['name']}"
        return told, *self._against(value, source["target"])

    def _external(self, source: Json) -> tuple[str, Proposal, Json]:
        metric = source["metric"]
        path = f"{_EXTERNAL}/{self._namespace}/{quote(metric['name'], safe='')}"
        selector = _metric_selector(metric).get("metricLabelSelector", "")
        query = {"labelSelector": selector} if selector else {}
        answer = self._api.transport.request("GET", path, query=query)
        value = sum(_milli(one["value"]) for one in answer.get("items") or ())
        return f"external metric {metric['name']}", *self._against(value, source["target"])

    def _against(self, value: float, target: Json) -> tuple[Proposal, Json]:
        if target["type"] == "AverageValue":
            proposal = replicas.for_value_per_pod(
                value, _milli(target["averageValue"]), self._current, self._tolerance
            )
            return proposal, {"averageValue": _spelled(proposal.average)}
        ready = sum(pods.is_active(pod) and pods.is_ready(pod) for pod in self._chosen)
        proposal = replicas.for_value(
            value, _milli(target["value"]), ready, self._current, self._tolerance
        )
        return proposal, {"value": _spelled(value)}


def _milli(text: str) -> float:
    return float(quantity.parse(text) * 1000)


def _spelled(thousandths: float) -> str:
    return quantity.canonical(f"{int(thousandths)}m")


def _metric_selector(metric: Json) -> dict[str, str]:
    labels = (metric.get("selector") or {}).get("matchLabels") or {}
    text = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return {"metricLabelSelector": text} if text else {}

"""What may stand in a KubeSchedulerConfiguration: the fields that upstream has, as a table.

A shape checks a value and says what is wrong where; unknown fields are refused, since a misspelt
one would silently do nothing. Sources: the configuration reference (kubescheduler.config.k8s.io/v1)
and upstream's validation for the limits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pykubelet.scheduler.plugins.registry import PLUGINS, POINTS

Json = dict[str, Any]
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    path: Path
    what: str
    expected: str
    found: str = ""


Check = Callable[[Any, Path], Iterator[Problem]]


@dataclass(frozen=True, slots=True)
class Record:
    """A map with known fields; `refused` names those that upstream has and that can't be had here,
    with the reason."""

    fields: Mapping[str, Check]
    required: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, value: Any, path: Path) -> Iterator[Problem]:
        if not isinstance(value, dict):
            yield _wrong(path, "a map", value)
            return
        for name, one in value.items():
            if name in self.refused:
                yield Problem((*path, name), "not supported", self.refused[name])
            elif name not in self.fields:
                known = ", ".join(sorted(self.fields))
                yield Problem((*path, name), "unknown field", f"one of {known}", name)
            elif one is not None:
                yield from self.fields[name](one, (*path, name))
        for name in self.required:
            if value.get(name) in (None, ""):
                yield Problem(path, f"{name} is missing", f"a map with {name}")


def listing(item: Check) -> Check:
    def check(value: Any, path: Path) -> Iterator[Problem]:
        if not isinstance(value, list):
            yield _wrong(path, "a list", value)
            return
        for number, one in enumerate(value):
            yield from item(one, (*path, number))

    return check


def integer(low: int, high: int = 2**31 - 1) -> Check:
    def check(value: Any, path: Path) -> Iterator[Problem]:
        good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        if not good:
            span = f"{low} or more" if high == 2**31 - 1 else f"from {low} to {high}"
            yield _wrong(path, f"a whole number, {span}", value)

    return check


def choice(*names: str) -> Check:
    def check(value: Any, path: Path) -> Iterator[Problem]:
        if value not in names:
            yield _wrong(path, f"one of {', '.join(names)}", value)

    return check


def text(value: Any, path: Path) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield _wrong(path, "text", value)


def boolean(value: Any, path: Path) -> Iterator[Problem]:
    if not isinstance(value, bool):
        yield _wrong(path, "true or false", value)


def number(value: Any, path: Path) -> Iterator[Problem]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield _wrong(path, "a number", value)


def anything(value: Any, path: Path) -> Iterator[Problem]:
    yield from ()


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")


def seconds(value: str) -> float:
    """Go's spelling of a duration (`1m30s`). Raises ValueError."""
    parts = _DURATION.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise ValueError(value)
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def duration(value: Any, path: Path) -> Iterator[Problem]:
    try:
        positive = isinstance(value, str) and seconds(value) > 0
    except ValueError:
        positive = False
    if not positive:
        yield _wrong(path, "a duration such as 15s", value)


def _wrong(path: Path, expected: str, value: Any) -> Problem:
    shown = "a map" if isinstance(value, dict) else repr(value)
    if isinstance(value, list):
        shown = "a list"
    return Problem(path, "not a usable value", expected, shown)


def _plugin(value: Any, path: Path) -> Iterator[Problem]:
    yield from Record({"name": text, "weight": integer(0, 2**31 - 1)}, ("name",))(value, path)
    name = value.get("name") if isinstance(value, dict) else None
    if isinstance(name, str) and name and name != "*" and name not in PLUGINS:
        known = ", ".join(sorted(PLUGINS))
        yield Problem((*path, "name"), "no such plugin", f"one of {known}", name)


_PLUGIN_SET = Record({"enabled": listing(_plugin), "disabled": listing(_plugin)})
_RESOURCES = listing(Record({"name": text, "weight": integer(0, 100)}, ("name",)))
_KIND = {"apiVersion": choice("kubescheduler.config.k8s.io/v1"), "kind": text}
_SHAPE = listing(
    Record({"utilization": integer(0, 100), "score": integer(0, 10)}, ("utilization",))
)

ARGUMENTS: dict[str, Record] = {
    "DefaultPreemption": Record(
        {
            **_KIND,
            "minCandidateNodesPercentage": integer(0, 100),
            "minCandidateNodesAbsolute": integer(0),
        }
    ),
    "InterPodAffinity": Record(
        {
            **_KIND,
            "hardPodAffinityWeight": integer(0, 100),
            "ignorePreferredTermsOfExistingPods": boolean,
        }
    ),
    "NodeAffinity": Record({**_KIND, "addedAffinity": anything}),
    "NodeResourcesFit": Record(
        {
            **_KIND,
            "ignoredResources": listing(text),
            "ignoredResourceGroups": listing(text),
            "scoringStrategy": Record(
                {
                    "type": choice("LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"),
                    "resources": _RESOURCES,
                    "requestedToCapacityRatio": Record({"shape": _SHAPE}, ("shape",)),
                }
            ),
        }
    ),
    "NodeResourcesBalancedAllocation": Record({**_KIND, "resources": _RESOURCES}),
    "PodTopologySpread": Record(
        {
            **_KIND,
            "defaultingType": choice("System", "List"),
            "defaultConstraints": listing(
                Record(
                    {
                        "topologyKey": text,
                        "maxSkew": integer(1),
                        "whenUnsatisfiable": choice("DoNotSchedule", "ScheduleAnyway"),
                    },
                    ("topologyKey", "maxSkew", "whenUnsatisfiable"),
                )
            ),
        }
    ),
    "VolumeBinding": Record({**_KIND, "bindTimeoutSeconds": integer(0), "shape": _SHAPE}),
}


def _plugin_config(value: Any, path: Path) -> Iterator[Problem]:
    yield from Record({"name": text, "args": anything}, ("name",))(value, path)
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return
    name, args = value["name"], value.get("args")
    if name not in ARGUMENTS:
        known = ", ".join(sorted(ARGUMENTS))
        yield Problem((*path, "name"), "no plugin with arguments", f"one of {known}", name)
    elif args is not None:
        yield from ARGUMENTS[name](args, (*path, "args"))
        if isinstance(args, dict) and args.get("kind") not in (None, f"{name}Args"):
            yield Problem((*path, "args", "kind"), "wrong kind", f"{name}Args", str(args["kind"]))


_PROFILE = Record(
    {
        "schedulerName": text,
        "percentageOfNodesToScore": integer(0, 100),
        "plugins": Record(dict.fromkeys(("multiPoint", *POINTS), _PLUGIN_SET)),
        "pluginConfig": listing(_plugin_config),
    }
)

CONFIGURATION = Record(
    {
        "apiVersion": text,
        "kind": text,
        "parallelism": integer(1),
        "leaderElection": Record(
            {
                "leaderElect": boolean,
                "leaseDuration": duration,
                "renewDeadline": duration,
                "retryPeriod": duration,
                "resourceLock": choice("leases"),
                "resourceName": text,
                "resourceNamespace": text,
            }
        ),
        "clientConnection": Record(
            {
                "kubeconfig": text,
                "acceptContentTypes": text,
                "contentType": text,
                "qps": number,
                "burst": integer(0),
            }
        ),
        "enableProfiling": boolean,
        "enableContentionProfiling": boolean,
        "percentageOfNodesToScore": integer(0, 100),
        "podInitialBackoffSeconds": integer(1),
        "podMaxBackoffSeconds": integer(1),
        "profiles": listing(_PROFILE),
        "delayCacheUntilActive": boolean,
    },
    refused={"extenders": "plugins in place of extenders"},
)

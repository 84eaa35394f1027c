"""A KubeSchedulerConfiguration document into the value that the scheduler runs with.

All mistakes of a file are told at once, each with file, line and field. Fields that upstream has
and that say nothing here (`parallelism`, profiling) are taken and named in `ignored`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from pykubelet.errors import Invalid
from pykubelet.objects import documents
from pykubelet.objects.fields import written
from pykubelet.scheduler.config.shape import CONFIGURATION, Problem, seconds
from pykubelet.scheduler.plugins.registry import PLUGINS, SCORE
from pykubelet.scheduler.pods import DEFAULT_SCHEDULER
from pykubelet.scheduler.profiles import PluginSet, ProfileSettings, enabled_at

Json = dict[str, Any]

API_VERSION, KIND = "kubescheduler.config.k8s.io/v1", "KubeSchedulerConfiguration"

_WITHOUT_EFFECT = {
    "parallelism": "decisions are made one at a time",
    "enableProfiling": "there is no profiling endpoint",
    "enableContentionProfiling": "there is no profiling endpoint",
    "delayCacheUntilActive": "the cache always begins with the leadership",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Durations are seconds."""

    kubeconfig: str = ""
    profiles: tuple[ProfileSettings, ...] = (ProfileSettings(),)
    first_backoff: float = 1.0
    longest_backoff: float = 10.0
    leader_elect: bool = True
    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0
    lease_name: str = "kube-scheduler"
    lease_namespace: str = "kube-system"
    ignored: tuple[str, ...] = field(default=())
    written: Json = field(default_factory=dict)
    """The document as it was read, for /configz."""


class Rejected(Invalid):
    """A configuration with one or more mistakes; `problems` has each by itself."""

    def __init__(self, problems: list[Invalid]) -> None:
        self.problems = tuple(problems)
        first = problems[0]
        super().__init__(first.what, where=first.where, expected=first.expected, found=first.found)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def load(path: FilePath) -> Configuration:
    """Raises Rejected, which names every mistake."""
    try:
        found = documents.read(path.read_bytes(), str(path))
    except OSError as error:
        raise Invalid("can't be read", where=str(path), found=error.strerror or "") from error
    if len(found) != 1:
        raise Invalid(
            "not one configuration",
            where=str(path),
            expected=f"one {KIND}",
            found=f"{len(found)} documents",
        )
    return read(found[0])


def read(document: documents.Document) -> Configuration:
    """Raises Rejected, which names every mistake."""
    tree = document.object
    problems = list(_header(tree)) or [
        *CONFIGURATION(tree, ()),
        *_contradictions(tree),
    ]
    if problems:
        raise Rejected([_told(document, problem) for problem in problems])
    election = tree.get("leaderElection") or {}
    percentage = tree.get("percentageOfNodesToScore") or 0
    profiles = tuple(_profile(one, percentage) for one in tree.get("profiles") or ())
    return Configuration(
        kubeconfig=(tree.get("clientConnection") or {}).get("kubeconfig") or "",
        profiles=profiles or (ProfileSettings(percentage=percentage),),
        first_backoff=float(tree.get("podInitialBackoffSeconds") or 1),
        longest_backoff=float(tree.get("podMaxBackoffSeconds") or 10),
        leader_elect=election.get("leaderElect", True),
        lease_duration=seconds(election.get("leaseDuration") or "15s"),
        renew_deadline=seconds(election.get("renewDeadline") or "10s"),
        retry_period=seconds(election.get("retryPeriod") or "2s"),
        lease_name=election.get("resourceName") or "kube-scheduler",
        lease_namespace=election.get("resourceNamespace") or "kube-system",
        ignored=tuple(
            f"{document.where((name,))}: {name} has no effect: {why}"
            for name, why in _WITHOUT_EFFECT.items()
            if name in tree
        ),
        written=tree,
    )


def _profile(tree: Json, percentage: int) -> ProfileSettings:
    return ProfileSettings(
        name=tree.get("schedulerName") or DEFAULT_SCHEDULER,
        plugins={
            point: PluginSet(
                tuple((p["name"], p.get("weight") or 0) for p in sets.get("enabled") or ()),
                frozenset(p["name"] for p in sets.get("disabled") or ()),
            )
            for point, sets in (tree.get("plugins") or {}).items()
            if sets
        },
        args={one["name"]: one.get("args") or {} for one in tree.get("pluginConfig") or ()},
        percentage=tree.get("percentageOfNodesToScore") or percentage,
    )


def _header(tree: Json) -> Iterator[Problem]:
    for name, wanted in (("apiVersion", API_VERSION), ("kind", KIND)):
        if tree.get(name) != wanted:
            found = tree.get(name)
            yield Problem((name,), "not this kind of file", f"{name}: {wanted}", str(found))


def _contradictions(tree: Json) -> Iterator[Problem]:
    """What each field by itself can't show. Runs on trees that may be wrong otherwise."""
    first, longest = tree.get("podInitialBackoffSeconds", 1), tree.get("podMaxBackoffSeconds", 10)
    if isinstance(first, int) and isinstance(longest, int) and longest < first:
        yield Problem(
            ("podMaxBackoffSeconds",),
            "below podInitialBackoffSeconds",
            f"{first} or more",
            str(longest),
        )
    profiles = tree.get("profiles")
    names: set[str] = set()
    for number, profile in enumerate(profiles if isinstance(profiles, list) else ()):
        if not isinstance(profile, dict):
            continue
        name = profile.get("schedulerName") or DEFAULT_SCHEDULER
        if name in names:
            path = ("profiles", number, "schedulerName")
            yield Problem(path, "two profiles of one name", "each name once", name)
        names.add(name)
        yield from _in_profile(profile, ("profiles", number))


def _in_profile(profile: Json, path: tuple[str | int, ...]) -> Iterator[Problem]:
    for number, one in enumerate(profile.get("pluginConfig") or ()):
        args = one.get("args") if isinstance(one, dict) else None
        if not isinstance(args, dict):
            continue
        here = (*path, "pluginConfig", number, "args")
        if args.get("defaultingType", "System") == "System" and args.get("defaultConstraints"):
            yield Problem(
                (*here, "defaultConstraints"),
                "default constraints beside defaultingType System",
                "defaultingType: List",
            )
        strategy = args.get("scoringStrategy")
        if isinstance(strategy, dict) and strategy.get("type") == "RequestedToCapacityRatio":
            yield from _curve(strategy, (*here, "scoringStrategy"))
    plugins = profile.get("plugins")
    for point, sets in (plugins if isinstance(plugins, dict) else {}).items():
        for number, one in enumerate((sets or {}).get("enabled") or ()):
            name = one.get("name") if isinstance(one, dict) else None
            if point == "multiPoint" or name not in PLUGINS or point in PLUGINS[name][1]:
                continue
            place = (*path, "plugins", point, "enabled", number, "name")
            yield Problem(place, "the plugin takes no part there", f"a {point} plugin", str(name))


def _curve(strategy: Json, path: tuple[str | int, ...]) -> Iterator[Problem]:
    shape = (strategy.get("requestedToCapacityRatio") or {}).get("shape")
    if not shape:
        yield Problem(path, "no shape", "requestedToCapacityRatio.shape with at least one point")
        return
    points: list[Any] = [p.get("utilization") for p in shape if isinstance(p, dict)]
    if not all(isinstance(p, int) for p in points) or points != sorted(set(points)):
        place = (*path, "requestedToCapacityRatio", "shape")
        yield Problem(place, "points not in order", "utilization that grows from point to point")


def _told(document: documents.Document, problem: Problem) -> Invalid:
    return Invalid(
        f"{written(problem.path)}: {problem.what}",
        where=document.where(problem.path),
        expected=problem.expected,
        found=problem.found,
    )


def described(settings: ProfileSettings) -> Json:
    """A profile for /configz."""
    weights = dict(enabled_at(SCORE, settings.plugins))
    return {"schedulerName": settings.name, "score": weights}

"""Profiles from what a configuration says: plugins on and off, weights, arguments.

Upstream's merging: a profile begins with all plugins by default; `disabled` takes away (`*` all of
them), `enabled` adds or gives another weight; `multiPoint` speaks for every extension point, and a
point's own list overrides it. Scores and filters are the points where plugins of ours are switched
one by one; the points around them (preFilter, preScore, reserve…) follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pykubelet.scheduler.framework import Plugin
from pykubelet.scheduler.plugins import registry
from pykubelet.scheduler.pods import DEFAULT_SCHEDULER
from pykubelet.scheduler.profile import Preemption, Profile

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PluginSet:
    enabled: tuple[tuple[str, int], ...] = ()
    """Name and weight; 0 for the weight by default."""
    disabled: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    name: str = DEFAULT_SCHEDULER
    plugins: Mapping[str, PluginSet] = field(default_factory=dict)
    """By extension point, `multiPoint` among them."""
    args: Mapping[str, Json] = field(default_factory=dict)
    percentage: int = 0


def build(settings: ProfileSettings | None = None) -> Profile:
    settings = settings or ProfileSettings()
    made: dict[str, Plugin] = {}

    def plugin(name: str) -> Plugin | None:
        if name not in made:
            one = registry.make(name, settings.args.get(name) or {})
            if one is None:
                return None
            made[name] = one
        return made[name]

    def chosen(point: str) -> list[tuple[str, int]]:
        return enabled_at(point, settings.plugins)

    filters = [found for name, _ in chosen(registry.FILTER) if (found := plugin(name))]
    scorers = [
        (found, weight) for name, weight in chosen(registry.SCORE) if (found := plugin(name))
    ]
    preempts = any(name == "DefaultPreemption" for name, _ in chosen(registry.POST_FILTER))
    gates = any(name == "SchedulingGates" for name, _ in chosen(registry.PRE_ENQUEUE))
    return Profile(
        filters=filters,
        scorers=scorers,
        name=settings.name,
        preemption=_preemption(settings.args.get("DefaultPreemption") or {}) if preempts else None,
        gates=gates,
        percentage=settings.percentage,
        bind_timeout=float(
            (settings.args.get("VolumeBinding") or {}).get("bindTimeoutSeconds") or 600
        ),
    )


def _preemption(args: Json) -> Preemption:
    return Preemption(
        args.get("minCandidateNodesPercentage", 10), args.get("minCandidateNodesAbsolute", 100)
    )


def enabled_at(point: str, plugins: Mapping[str, PluginSet]) -> list[tuple[str, int]]:
    """Names and weights of the plugins of an extension point, in order."""
    everywhere = plugins.get("multiPoint", PluginSet())
    here = plugins.get(point, PluginSet())
    defaults = [(name, weight) for name, (weight, _) in registry.PLUGINS.items()]
    general = _merged(defaults, everywhere)
    there = [(n, w) for n, w in general if point in registry.PLUGINS[n][1]]
    named = {name for name, _ in here.enabled}
    if "*" in here.disabled:
        there = []
    # What a point names itself stands as it says, and first of all.
    first = [(n, w or registry.PLUGINS[n][0] or 1) for n, w in here.enabled]
    rest = [(n, w) for n, w in there if n not in here.disabled and n not in named]
    return _in_order(first, rest) if point == registry.SCORE else [*first, *rest]


def _in_order(
    first: Sequence[tuple[str, int]], rest: Sequence[tuple[str, int]]
) -> list[tuple[str, int]]:
    return [(name, weight or 1) for name, weight in (*first, *rest)]


def _merged(defaults: Sequence[tuple[str, int]], custom: PluginSet) -> list[tuple[str, int]]:
    again = dict(custom.enabled)
    kept = []
    if "*" not in custom.disabled:
        for name, weight in defaults:
            if name not in custom.disabled:
                kept.append((name, again.get(name) or weight))
    names = {name for name, _ in kept}
    added = [(n, w or registry.PLUGINS[n][0]) for n, w in custom.enabled if n not in names]
    return [*kept, *added]

"""Whether something that happened may help a pod that found no node (queueing hints, KEP-4247).

For an event on one node the question has an exact answer: would all the rules that rejected the pod
let it pass on that node now, if need be after less important pods have left it? Rules about other
pods answer for themselves, since what happens on one node may open another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pykubelet.scheduler.framework import Event, Plugin
from pykubelet.scheduler.pods import PodInfo
from pykubelet.scheduler.profile import Profile
from pykubelet.scheduler.snapshot import Snapshot


class Hints:
    def __init__(self, view: Snapshot, profiles: Mapping[str, Profile]) -> None:
        self._view = view
        self._plugins = {
            name: {plugin.name: plugin for plugin in profile.filters}
            for name, profile in profiles.items()
        }
        self._preempts = {name: bool(profile.preemption) for name, profile in profiles.items()}

    def worth_trying(self, pod: PodInfo, rejected_by: frozenset[str], event: Event) -> bool:
        known = self._plugins.get(pod.scheduler, {})
        plugins = [known[name] for name in rejected_by if name in known]
        if not plugins:
            return True
        event = self._after_preemption(pod, event)
        concerned = [plugin for plugin in plugins if _listens(plugin, event)]
        helped = [plugin for plugin in concerned if plugin.hint(pod, event, self._view)]
        if not helped:
            return False
        if event.node is None or any(plugin.about_others for plugin in helped):
            return True
        for plugin in plugins:
            verdict = plugin.filter(pod, self._view)
            if verdict is not None and verdict(event.node) is not None:
                return False
        return True

    def _after_preemption(self, pod: PodInfo, event: Event) -> Event:
        node = event.node
        if node is None or not pod.preempts or not self._preempts.get(pod.scheduler):
            return event
        lower = [other for other in node.pods.values() if other.priority < pod.priority]
        return replace(event, node=node.without(lower)) if lower else event


def _listens(plugin: Plugin, event: Event) -> bool:
    return event.kind in plugin.kinds if event.kind else event.name in plugin.events

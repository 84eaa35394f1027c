"""Which nodes a DaemonSet runs on, and the pod that it makes for one. Pure.

The scheduler binds the pod; the node is asked for by name in its affinity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pykubelet.client.api import owner_reference
from pykubelet.client.resources import DAEMON_SETS
from pykubelet.controllers import pods
from pykubelet.controllers.revisions import REVISION_LABEL
from pykubelet.objects import selectors

Json = dict[str, Any]

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_GENERATION = "deprecated.daemonset.template.generation"

#: What the pods tolerate unasked: a node's trouble is no reason to take its daemons away.
_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_TOLERATED_ON_HOST_NETWORK = (("node.kubernetes.io/network-unavailable", "NoSchedule"),)


@dataclass(frozen=True, slots=True)
class Fit:
    """`run`: the node is to have a pod. `stay`: one that is there may remain."""

    run: bool
    stay: bool


def fit(daemon_set: Json, node: Json) -> Fit:
    spec = daemon_set["spec"]["template"]["spec"]
    name, labels = node["metadata"]["name"], node["metadata"].get("labels") or {}
    if spec.get("nodeName") and spec["nodeName"] != name:
        return Fit(False, False)
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return Fit(False, False)
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get(_REQUIRED)
    if required is not None and not selectors.node_selector_matches(required, labels, name):
        return Fit(False, False)
    tolerations = _tolerations(spec)
    against = {
        taint["effect"]
        for taint in node["spec"].get("taints") or ()
        if not selectors.tolerated(taint, tolerations)
    }
    return Fit(not against & {"NoSchedule", "NoExecute"}, "NoExecute" not in against)


def _tolerations(spec: Json) -> list[Json]:
    unasked = _TOLERATED + (_TOLERATED_ON_HOST_NETWORK if spec.get("hostNetwork") else ())
    added = [{"key": key, "operator": "Exists", "effect": effect} for key, effect in unasked]
    given = spec.get("tolerations") or []
    return [*given, *(one for one in added if one not in given)]


def new_pod(daemon_set: Json, node: str, hash_: str) -> Json:
    """The pod for a node, to be created."""
    template = daemon_set["spec"]["template"]
    made = pods.from_template(template, daemon_set, owner_reference(daemon_set, DAEMON_SETS))
    labels = {**(made["metadata"].get("labels") or {}), REVISION_LABEL: hash_}
    generation = (daemon_set["metadata"].get("annotations") or {}).get(_GENERATION)
    if generation:
        labels["pod-template-generation"] = generation
    made["metadata"]["labels"] = labels
    spec = template["spec"]
    made["spec"] = {
        **spec,
        "affinity": _only(spec.get("affinity") or {}, node),
        "tolerations": _tolerations(spec),
    }
    return made


def _only(affinity: Json, node: str) -> Json:
    """The affinity, with this node's name in each of its terms instead of whatever fields."""
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    of_nodes = affinity.get("nodeAffinity") or {}
    terms = (of_nodes.get(_REQUIRED) or {}).get("nodeSelectorTerms") or [{}]
    named = {"nodeSelectorTerms": [{**term, "matchFields": [field]} for term in terms]}
    return {**affinity, "nodeAffinity": {**of_nodes, _REQUIRED: named}}


def node_of(pod: Json) -> str:
    """The node that a pod is on, or is meant for; empty if neither."""
    if pod["spec"].get("nodeName"):
        return str(pod["spec"]["nodeName"])
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    for term in (affinity.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field["key"] == "metadata.name" and len(field.get("values") or ()) == 1:
                return str(field["values"][0])
    return ""

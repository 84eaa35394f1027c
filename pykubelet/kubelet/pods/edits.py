"""What an edit of a pod that is already here asks for. Pure.

Most fields of a pod are fixed for its life; the API server refuses to change them, and a static
pod's identity follows from them. Only a manifest that names its UID itself can change them under a
pod that runs: that is another pod of the same name, and the old one has to go first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pykubelet.objects.resources import qos_class

Json = dict[str, Any]

RESIZABLE = ("cpu", "memory")

#: Of a pod's spec: what may change while it runs, beside what its containers may.
_MUTABLE = frozenset(
    {
        "activeDeadlineSeconds",
        "ephemeralContainers",
        "schedulingGates",
        "terminationGracePeriodSeconds",
        "tolerations",
    }
)
_CONTAINERS = ("containers", "initContainers")


def needs_new_pod(old: Json, new: Json) -> bool:
    """Whether the pod that runs as `old` can't become `new`."""
    return _fixed(old) != _fixed(new) or qos_class(old) != qos_class(new)


def _fixed(pod: Mapping[str, Any]) -> Json:
    kept = {k: v for k, v in pod["spec"].items() if k not in _MUTABLE}
    for key in _CONTAINERS:
        kept[key] = [
            {k: v for k, v in without_resizable(c).items() if k != "image"}
            for c in kept.get(key) or ()
        ]
    return kept


def without_resizable(container: Json) -> Json:
    """The container but for the resources that can be changed while it runs."""
    resources = container.get("resources")
    if not resources:
        return container
    kept = {
        part: {k: v for k, v in amounts.items() if k not in RESIZABLE}
        for part, amounts in resources.items()
        if isinstance(amounts, dict)
    }
    return {**container, "resources": kept}

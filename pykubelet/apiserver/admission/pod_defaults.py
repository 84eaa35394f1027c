"""The small plugins that complete a new pod or node: DefaultTolerationSeconds, Priority,
RuntimeClass, TaintNodesByCondition. Sources: "Admission Control in Kubernetes", KEP-688 (overhead),
"Pod Priority and Preemption", "Taints and Tolerations".
"""

from __future__ import annotations

from typing import Any

from pykubelet.apiserver.admission.chain import CREATE, UPDATE, Asked, Plugin

Json = dict[str, Any]

_AWAY_SECONDS = 300
_NOT_READY, _UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"


async def _tolerate_for_a_while(asked: Asked) -> None:
    """A pod stays a while on a node that stops answering, unless it says for how long itself."""
    if not asked.is_of("pods", CREATE, UPDATE):
        return
    spec = asked.new.setdefault("spec", {})
    given = spec.get("tolerations") or []
    added = [
        {"key": taint, "operator": "Exists", "effect": "NoExecute",
         "tolerationSeconds": _AWAY_SECONDS}
        for taint in (_NOT_READY, _UNREACHABLE)
        if not any((one.get("key") in (taint, None, "")) and
                   one.get("effect") in ("NoExecute", None, "") for one in given)
    ]  # fmt: skip
    if added:
        spec["tolerations"] = [*given, *added]


async def _prioritize(asked: Asked) -> None:
    if asked.is_of("pods", UPDATE):
        was = (asked.old or {}).get("spec") or {}
        spec = asked.new["spec"]
        for key in ("priority", "preemptionPolicy"):
            if spec.get(key) is None and was.get(key) is not None:
                spec[key] = was[key]
        return
    if not asked.is_of("pods", CREATE):
        return
    spec = asked.new.setdefault("spec", {})
    name = spec.get("priorityClassName")
    if name:
        chosen = asked.object("priorityclasses.scheduling.k8s.io", name)
        if chosen is None:
            raise asked.forbidden(f"no PriorityClass with name {name} was found")
    else:
        chosen = _default_priority(asked)
        if chosen is not None:
            spec["priorityClassName"] = chosen["metadata"]["name"]
    value = (chosen or {}).get("value", 0)
    policy = (chosen or {}).get("preemptionPolicy") or "PreemptLowerPriority"
    if spec.get("priority") not in (None, value):
        raise asked.forbidden(
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
            f"priority admission controller computed {value} from the given PriorityClass name"
        )
    if spec.get("preemptionPolicy") not in (None, policy):
        raise asked.forbidden(
            f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be "
            f"provided in pod spec; priority admission controller computed {policy} from the given "
            "PriorityClass name"
        )
    spec["priority"], spec["preemptionPolicy"] = value, policy


def _default_priority(asked: Asked) -> Json | None:
    """The class of pods that name none; the lowest, should there be several."""
    classes = asked.objects("priorityclasses.scheduling.k8s.io")
    marked = [one for one in classes if one.get("globalDefault")]
    return min(marked, key=lambda one: one.get("value", 0), default=None)


async def _one_default_priority(asked: Asked) -> None:
    resource = "priorityclasses.scheduling.k8s.io"
    if not asked.is_of(resource, CREATE, UPDATE) or not asked.new.get("globalDefault"):
        return
    other = _default_priority(asked)
    if other is not None and other["metadata"]["name"] != asked.name:
        raise asked.forbidden(
            f"PriorityClass {other['metadata']['name']} is already marked as default. Only one "
            "default can exist"
        )


async def _apply_runtime_class(asked: Asked) -> None:
    """What a runtime class costs, and which nodes have it, becomes part of the pod."""
    if not asked.is_of("pods", CREATE):
        return
    spec = asked.new.setdefault("spec", {})
    chosen = _runtime_class(asked)
    if chosen is None:
        return
    overhead = (chosen.get("overhead") or {}).get("podFixed")
    if overhead:
        if spec.get("overhead") not in (None, overhead):
            raise asked.forbidden(
                "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
            )
        spec["overhead"] = dict(overhead)
    where = chosen.get("scheduling") or {}
    selector = spec.get("nodeSelector") or {}
    for key, value in (where.get("nodeSelector") or {}).items():
        if selector.get(key, value) != value:
            raise asked.forbidden(
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {selector[key]}"
            )
    if where.get("nodeSelector"):
        spec["nodeSelector"] = {**selector, **where["nodeSelector"]}
    given = spec.get("tolerations") or []
    more = [one for one in where.get("tolerations") or () if one not in given]
    if more:
        spec["tolerations"] = [*given, *more]


async def _check_overhead(asked: Asked) -> None:
    if not asked.is_of("pods", CREATE):
        return
    chosen = _runtime_class(asked)
    expected = ((chosen or {}).get("overhead") or {}).get("podFixed") or {}
    given = (asked.new.get("spec") or {}).get("overhead") or {}
    if given and chosen is None:
        raise asked.forbidden(
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
        )
    if given != expected:
        raise asked.forbidden(
            "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"
        )


def _runtime_class(asked: Asked) -> Json | None:
    name = (asked.new.get("spec") or {}).get("runtimeClassName")
    if not name:
        return None
    found = asked.object("runtimeclasses.node.k8s.io", name)
    if found is None:
        raise asked.forbidden(f'pod rejected: RuntimeClass "{name}" not found')
    return found


async def _taint_new_nodes(asked: Asked) -> None:
    """A new node takes pods only once it has said that it is ready."""
    if not asked.is_of("nodes", CREATE):
        return
    spec = asked.new.setdefault("spec", {})
    given = spec.get("taints") or []
    taint = {"key": _NOT_READY, "effect": "NoSchedule"}
    if not any(one.get("key") == _NOT_READY and one.get("effect") == "NoSchedule" for one in given):
        spec["taints"] = [*given, taint]


TOLERATIONS = Plugin("DefaultTolerationSeconds", _tolerate_for_a_while)
PRIORITY = Plugin("Priority", _prioritize, _one_default_priority)
RUNTIME_CLASS = Plugin("RuntimeClass", _apply_runtime_class, _check_overhead)
TAINTS = Plugin("TaintNodesByCondition", _taint_new_nodes)

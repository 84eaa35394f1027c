"""What can be done below an object: binding a pod, scaling, evicting, finalizing a namespace."""

from __future__ import annotations

from typing import Any

import orjson

from pykubelet.apiserver import bodies, presenting, status
from pykubelet.apiserver.calls import Call
from pykubelet.apiserver.front.messages import Response
from pykubelet.apiserver.printing import json_path
from pykubelet.apiserver.verbs import deleting, patching, reading
from pykubelet.apiserver.verbs.writing import change_object
from pykubelet.objects.fields import FieldError
from pykubelet.objects.patches import json_patch, merge
from pykubelet.objects.validation.pod_updates import ephemeral_update

Json = dict[str, Any]


async def bind(call: Call) -> Response:
    """`pods/binding`: give a pod to a node, once."""
    binding = bodies.tree_of(call)
    target = binding.get("target") or {}
    if not target.get("name"):
        error = FieldError(("target", "name"), "", "", "FieldValueRequired", "Required value")
        raise status.invalid(call.resource, call.route.name, [error])
    meta = binding.get("metadata") or {}

    def change(pod: Json) -> Json:
        uid = meta.get("uid")
        if uid and uid != pod["metadata"]["uid"]:
            raise status.conflict(call.resource, call.route.name,
                                  f"Precondition failed: UID in precondition: {uid}, UID in object "
                                  f"meta: {pod['metadata']['uid']}")  # fmt: skip
        spec = pod.get("spec") or {}
        if pod["metadata"].get("deletionTimestamp"):
            raise _not_bound(call, f"pod {call.route.name} is being deleted, cannot be assigned to "
                             "a host")  # fmt: skip
        if spec.get("nodeName"):
            raise _not_bound(call, f"pod {call.route.name} is already assigned to node "
                             f'"{spec["nodeName"]}"')  # fmt: skip
        if spec.get("schedulingGates"):
            raise _not_bound(call, f"pod {call.route.name} has non-empty .spec.schedulingGates")
        annotations = {**(pod["metadata"].get("annotations") or {}),
                       **(meta.get("annotations") or {})}  # fmt: skip
        labels = {**(pod["metadata"].get("labels") or {}), **(meta.get("labels") or {})}
        made = {**pod, "metadata": dict(pod["metadata"]), "spec": {**spec,
                "nodeName": target["name"]}}  # fmt: skip
        for key, values in (("annotations", annotations), ("labels", labels)):
            if values:
                made["metadata"][key] = values
        made["status"] = _scheduled(call, pod)
        return made

    await change_object(call, change, as_is=True)
    return presenting.tree(call, status.success(code=201), 201)


def _not_bound(call: Call, why: str) -> status.Refusal:
    name = call.route.name
    return status.Refusal(
        409,
        "Conflict",
        f'Operation cannot be fulfilled on pods/binding "{name}": {why}',
        name=name,
        kind="pods/binding",
    )


def _scheduled(call: Call, pod: Json) -> Json:
    """The status of a pod that has got its node just now."""
    condition = {
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": None,
        "lastTransitionTime": call.now(),
    }
    given = pod.get("status") or {}
    others = [c for c in given.get("conditions") or () if c.get("type") != "PodScheduled"]
    return {**given, "conditions": [*others, condition]}


async def evict(call: Call) -> Response:
    """`pods/eviction`: delete a pod, if the disruption budgets that cover it allow."""
    eviction = bodies.tree_of(call)
    given = eviction.get("deleteOptions") or {}
    item = await reading.item(call)
    await _spend_budget(call, item.tree())
    demands = given.get("preconditions") or {}
    options = deleting.Options(
        given.get("gracePeriodSeconds"), given.get("propagationPolicy") or "",
        demands.get("uid") or "", demands.get("resourceVersion") or "",
    )  # fmt: skip
    await deleting.delete_object(call, options)
    return presenting.tree(call, status.success(code=201), 201)


async def _spend_budget(call: Call, pod: Json) -> None:
    from pykubelet.objects import selectors

    budgets = call.parts.registry.find("policy", "v1", "poddisruptionbudgets")
    if budgets is None or (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return
    labels = pod["metadata"].get("labels") or {}
    for item in call.parts.caches.of(budgets).items(call.route.namespace):
        budget = item.tree()
        selector = selectors.from_object((budget.get("spec") or {}).get("selector"))
        if not selectors.matches(selector, labels):
            continue
        if (budget.get("status") or {}).get("disruptionsAllowed", 0) <= 0:
            raise status.Refusal(
                429, "TooManyRequests",
                "Cannot evict pod as it would violate the pod's disruption budget.",
                causes=[{"reason": "DisruptionBudget",
                         "message": f"The disruption budget {item.name} needs "
                         f"{(budget.get('status') or {}).get('desiredHealthy', 0)} healthy pods "
                         f"and has {(budget.get('status') or {}).get('currentHealthy', 0)} "
                         "currently"}],
            )  # fmt: skip


async def finalize(call: Call) -> Response:
    """`namespaces/finalize`: take finalizers out of a namespace's spec; the last ends it."""
    wanted = bodies.object_of(call)

    def change(namespace: Json) -> Json:
        kept = (wanted.get("spec") or {}).get("finalizers")
        spec = {**(namespace.get("spec") or {})}
        spec.pop("finalizers", None)
        if kept:
            spec["finalizers"] = kept
        return {**namespace, "spec": spec}

    return presenting.one(call, await change_object(call, change, as_is=True))


async def put_ephemeral(call: Call) -> Response:
    wanted = bodies.object_of(call)
    item = await change_object(call, lambda pod: _with_ephemeral(call, pod, wanted), as_is=True)
    return presenting.one(call, item)


async def patch_ephemeral(call: Call) -> Response:
    change = patching.changing(call, bodies.media_type(call), orjson.loads(call.request.body))
    item = await change_object(
        call, lambda pod: _with_ephemeral(call, pod, change(pod)), as_is=True
    )
    return presenting.one(call, item)


def _with_ephemeral(call: Call, pod: Json, wanted: Json) -> Json:
    """The pod with the ephemeral containers that are wanted, and nothing else changed."""
    given = (wanted.get("spec") or {}).get("ephemeralContainers")
    made = {**pod, "spec": {**pod["spec"]}}
    made["spec"].pop("ephemeralContainers", None)
    if given:
        made["spec"]["ephemeralContainers"] = given
    call.strategy.fill(made)
    errors = [*ephemeral_update(made, pod), *call.strategy.validate(made)]
    if errors:
        raise status.invalid(call.resource, call.route.name, errors)
    return made


async def get_scale(call: Call) -> Response:
    item = await reading.item(call)
    return presenting.tree(call, _scale_of(call, item.tree()))


async def put_scale(call: Call) -> Response:
    wanted = bodies.tree_of(call)
    return await _scale(call, lambda _: wanted)


async def patch_scale(call: Call) -> Response:
    given = orjson.loads(call.request.body)
    apply = json_patch.apply if isinstance(given, list) else merge.apply
    return await _scale(call, lambda scale: apply(scale, given))


async def _scale(call: Call, make: Any) -> Response:
    def change(obj: Json) -> Json:
        scale = make(_scale_of(call, obj))
        replicas = (scale.get("spec") or {}).get("replicas") or 0
        if replicas < 0:
            error = FieldError(("spec", "replicas"), "", "", "FieldValueInvalid",
                               f"Invalid value: {replicas}: must be greater than or equal to "
                               "0")  # fmt: skip
            raise status.invalid(call.resource, call.route.name, [error])
        version = (scale.get("metadata") or {}).get("resourceVersion") or ""
        if version and version != obj["metadata"]["resourceVersion"]:
            raise status.conflict(call.resource, call.route.name)
        custom = call.resource.custom
        path = (custom.scale or {})["specReplicasPath"] if custom else ".spec.replicas"
        made: Json = json_path.put(obj, path, replicas)
        return made

    item = await change_object(call, change)
    return presenting.tree(call, _scale_of(call, item.tree()))


def _scale_of(call: Call, obj: Json) -> Json:
    custom = call.resource.custom
    if custom is None:
        return scale_of(obj)
    paths = custom.scale or {}
    wanted = json_path.first(obj, paths["specReplicasPath"])
    if wanted is None:
        raise status.internal(f"the spec replicas field {paths['specReplicasPath']} does not exist")
    found: Json = {"replicas": json_path.first(obj, paths["statusReplicasPath"]) or 0}
    if paths.get("labelSelectorPath"):
        found["selector"] = json_path.first(obj, paths["labelSelectorPath"]) or ""
    return {**_SCALE, "metadata": _scale_metadata(obj), "spec": {"replicas": wanted},
            "status": found}  # fmt: skip


_SCALE = {"kind": "Scale", "apiVersion": "autoscaling/v1"}


def _scale_metadata(obj: Json) -> Json:
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {key: obj["metadata"][key] for key in kept if key in obj["metadata"]}


def scale_of(obj: Json) -> Json:
    """The `autoscaling/v1` Scale of a workload."""
    spec, state = obj.get("spec") or {}, obj.get("status") or {}
    selector = spec.get("selector") or {}
    from pykubelet.apiserver.printing.cells import labels
    from pykubelet.apiserver.printing.cells import selector as in_one_line

    shown = in_one_line(selector)
    if obj["kind"] == "ReplicationController":
        shown = labels(selector)
    made_status: Json = {"replicas": state.get("replicas", 0)}
    if shown != "<none>":
        made_status["selector"] = shown
    return {
        **_SCALE,
        "metadata": _scale_metadata(obj),
        "spec": {"replicas": spec["replicas"]} if spec.get("replicas") else {},
        "status": made_status,
    }

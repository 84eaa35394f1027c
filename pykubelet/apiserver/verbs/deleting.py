"""delete and deletecollection: now, gracefully, or when the finalizers are done.

A pod that has been given to a node gets a time of grace, and its node removes it when the
containers have stopped. What has finalizers stays, marked, until the last is taken away. How
dependents fare (background, foreground, orphan) is a finalizer too, for the garbage collector.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pykubelet.apiserver import bodies, presenting, status
from pykubelet.apiserver.admission.chain import DELETE, Asked
from pykubelet.apiserver.cache.items import Item
from pykubelet.apiserver.calls import Call
from pykubelet.apiserver.front.messages import Response
from pykubelet.apiserver.routes import Route
from pykubelet.apiserver.storage.contract import Conflict
from pykubelet.apiserver.verbs import reading
from pykubelet.apiserver.verbs.writing import stored
from pykubelet.clock import rfc3339

Json = dict[str, Any]

_TRIES = 6
_ORPHAN, _FOREGROUND = "orphan", "foregroundDeletion"
_POLICIES = ("Background", "Foreground", "Orphan")


@dataclass(frozen=True, slots=True)
class Options:
    """DeleteOptions, as far as they decide. `grace` None: the object's own."""

    grace: int | None = None
    policy: str = ""
    uid: str = ""
    revision: str = ""


async def delete(call: Call) -> Response:
    options = options_of(call)
    return _answer(call, *await delete_object(call, options))


async def collection(call: Call) -> Response:
    options = options_of(call)
    found = await reading.found(call)
    for item in found.items:
        route = Route(
            "delete", call.route.path, call.route.group, call.route.version, call.route.resource,
            item.namespace or call.route.namespace, item.name,
        )  # fmt: skip
        single = Call(call.parts, call.request, route, call.resource, call.user, call.warnings)
        try:
            await delete_object(single, options)
        except status.Refusal as refusal:
            if refusal.code != 404:
                raise
    return presenting.many(call, found)


async def delete_object(call: Call, options: Options) -> tuple[Item, bool]:
    """The object as it was left, and whether it is gone."""
    for _ in range(_TRIES):
        await call.parts.caches.catch_up()
        item = call.parts.caches.of(call.resource).get(call.key)
        if item is None:
            raise status.not_found(call.resource, call.route.name)
        obj = item.tree()
        _check_preconditions(call, options, obj)
        asked = Asked(call, DELETE, obj, obj)
        await call.parts.admission.mutate(asked)
        await call.parts.admission.check(asked)
        marked = _marked(call, options, obj)
        try:
            if marked is None:
                if not call.dry_run:
                    event = await call.parts.store.delete(call.store_key, item.revision)
                    await call.parts.caches.reach(event.revision, timeout=30)
                return item, True
            if marked == obj or call.dry_run:
                return item, False
            record = await call.parts.store.update(
                call.store_key, call.encoded(marked), item.revision
            )
            return await stored(call, record), False
        except Conflict:
            continue
    raise status.conflict(call.resource, call.route.name)


def options_of(call: Call) -> Options:
    """DeleteOptions from the body, and from parameters where the body doesn't say."""
    given: Json = {}
    if call.request.body:
        given = bodies.tree_of(call)
        kind = given.get("kind")
        if kind not in (None, "DeleteOptions"):
            raise status.bad_request(f"the body must be DeleteOptions, not {kind}")
    grace = given.get("gracePeriodSeconds")
    if grace is None and call.option("gracePeriodSeconds"):
        try:
            grace = int(call.option("gracePeriodSeconds"))
        except ValueError:
            raise status.bad_request("gracePeriodSeconds must be a number") from None
    policy = given.get("propagationPolicy") or call.option("propagationPolicy")
    orphan = given.get("orphanDependents")
    if orphan is None and call.option("orphanDependents"):
        orphan = call.option("orphanDependents") == "true"
    if policy and policy not in _POLICIES:
        raise status.Refusal(
            422,
            "Invalid",
            'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: '
            f'"{policy}": supported values: "Background", "Foreground", "Orphan", "nil"',
        )
    if orphan is not None and not policy:
        policy = "Orphan" if orphan else "Background"
    demands = given.get("preconditions") or {}
    return Options(
        grace if grace is None else max(int(grace), 1 if grace < 0 else 0),
        policy or "",
        demands.get("uid") or "",
        demands.get("resourceVersion") or "",
    )


def _check_preconditions(call: Call, options: Options, obj: Json) -> None:
    meta = obj["metadata"]
    for said, found, what in (
        (options.uid, meta["uid"], "UID"),
        (options.revision, meta["resourceVersion"], "ResourceVersion"),
    ):
        if said and said != found:
            raise status.conflict(
                call.resource,
                call.route.name,
                f"Precondition failed: {what} in precondition: {said}, {what} in object meta: "
                f"{found}",
            )


def _marked(call: Call, options: Options, obj: Json) -> Json | None:
    """The object with its deletion in its metadata; None if it can go at once."""
    meta = dict(obj["metadata"])
    made = {**obj, "metadata": meta}
    finalizers = [f for f in meta.get("finalizers") or () if f not in (_ORPHAN, _FOREGROUND)]
    policy = options.policy
    had = set(meta.get("finalizers") or ()) & {_ORPHAN, _FOREGROUND}
    if policy == "Orphan" or (not policy and _ORPHAN in had):
        finalizers.append(_ORPHAN)
    elif policy == "Foreground" or (not policy and _FOREGROUND in had):
        finalizers.append(_FOREGROUND)
    meta.pop("finalizers", None)
    if finalizers:
        meta["finalizers"] = finalizers
    grace = _grace(call, options, obj)
    contents = obj["kind"] == "Namespace" and (obj.get("spec") or {}).get("finalizers")
    if not finalizers and not grace and not contents:
        return None
    now = call.parts.clock.wall()
    already = meta.get("deletionGracePeriodSeconds")
    if not meta.get("deletionTimestamp"):
        meta["deletionTimestamp"] = rfc3339(now + grace)
        meta["deletionGracePeriodSeconds"] = grace
        if call.strategy.generation and meta.get("generation"):
            meta["generation"] += 1
    elif already is not None and grace < already:
        meta["deletionTimestamp"] = rfc3339(now + grace)
        meta["deletionGracePeriodSeconds"] = grace
    if contents:
        made["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    return made


def _grace(call: Call, options: Options, obj: Json) -> int:
    """Seconds of grace: only a pod that a node has, and that has not ended, needs any."""
    if obj["kind"] != "Pod":
        return 0
    spec, phase = obj.get("spec") or {}, (obj.get("status") or {}).get("phase")
    if not spec.get("nodeName") or phase in ("Succeeded", "Failed"):
        return 0
    if options.grace is not None:
        return options.grace
    own = spec.get("terminationGracePeriodSeconds")
    return 30 if own is None else max(int(own), 1 if own < 0 else 0)


def _answer(call: Call, item: Item, gone: bool) -> Response:
    if not gone or call.resource.plural in ("pods", "namespaces", "services"):
        return presenting.one(call, item)
    details = {"name": item.name, "group": call.resource.group, "kind": call.resource.plural,
               "uid": item.tree()["metadata"]["uid"]}  # fmt: skip
    return presenting.tree(call, status.success(details={k: v for k, v in details.items() if v}))

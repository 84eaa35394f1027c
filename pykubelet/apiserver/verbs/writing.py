"""create and update: from the object that a client sends to the one that is stored.

Both go the same way: decode, set what clients may not, default, admit, validate, store, wait until
the cache has it. An update starts from what is there; it is refused if that isn't what the client
has seen, and done again from the start if the client didn't say what it has seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pykubelet.apiserver import bodies, presenting, status
from pykubelet.apiserver.admission.chain import CREATE, UPDATE, Asked
from pykubelet.apiserver.cache.items import Item
from pykubelet.apiserver.calls import Call, generated_name, new_uid
from pykubelet.apiserver.front.messages import Response
from pykubelet.apiserver.resources.strategies import Circumstances
from pykubelet.apiserver.storage.contract import Conflict, Exists, Record
from pykubelet.objects.fields import FieldError
from pykubelet.objects.patches import ownership
from pykubelet.objects.validation.meta import metadata, metadata_update

Json = dict[str, Any]
Change = Callable[[Json], Json]

_GENERATE_TRIES = 8
_UPDATE_TRIES = 6
_STATUS_KEEPS_LABELS = ("apps", "batch")
_STATUS_PARTS = ("status", "approval")


async def create(call: Call) -> Response:
    obj = bodies.object_of(call)
    return presenting.one(call, await create_object(call, obj), 201)


async def create_object(call: Call, obj: Json) -> Item:
    """Store a new object, which is decoded but has nothing filled in yet."""
    try:
        return await _create(call, obj)
    except BaseException:
        await _undo(call)
        raise


async def _undo(call: Call) -> None:
    while call.undo:
        await call.undo.pop()()


async def _create(call: Call, obj: Json) -> Item:
    meta = obj.setdefault("metadata", {})
    if call.resource.namespaced:
        given = meta.setdefault("namespace", call.route.namespace)
        if given != call.route.namespace:
            raise status.bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )
    else:
        if meta.get("namespace"):
            raise status.bad_request("namespace is not allowed on this type")
        meta.pop("namespace", None)
    if meta.get("resourceVersion"):
        raise status.bad_request("resourceVersion should not be set on objects to be created")
    generating = not meta.get("name") and meta.get("generateName")
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"):
        meta.pop(key, None)
    meta["uid"] = new_uid()
    meta["creationTimestamp"] = call.now()
    strategy = call.strategy
    if strategy.generation:
        meta["generation"] = 1
    strategy.prepare_create(obj)
    strategy.stamp(obj, None, Circumstances(call.user, call.now()))
    if generating:
        meta["name"] = generated_name(meta["generateName"])
    strategy.fill(obj)
    asked = Asked(call, CREATE, obj)
    await call.parts.admission.mutate(asked)
    _record_owners(call, obj, None)
    for attempt in range(_GENERATE_TRIES):
        errors = [
            *metadata(obj, strategy.name_rule, call.resource.namespaced),
            *strategy.validate(obj),
            *strategy.validate_create(obj),
        ]
        _refuse_invalid(call, obj, errors)
        if not attempt:
            await call.parts.admission.check(asked)
        try:
            return await _store_new(call, obj)
        except Exists:
            if not generating or attempt == _GENERATE_TRIES - 1:
                raise status.already_exists(call.resource, meta["name"]) from None
            meta["name"] = generated_name(meta["generateName"])
    raise AssertionError("unreachable")


async def _store_new(call: Call, obj: Json) -> Item:
    meta = obj["metadata"]
    name = f"{meta['namespace']}/{meta['name']}" if call.resource.namespaced else meta["name"]
    key = call.resource.prefix() + name
    value = call.encoded(obj)
    if call.dry_run:
        if call.parts.caches.of(call.resource).get(name) is not None:
            raise Exists(key)
        return call.parts.caches.item(call.resource, Record(key, value, 0, 0))
    record = await call.parts.store.create(key, value, call.strategy_ttl)
    return await stored(call, record)


async def stored(call: Call, record: Record) -> Item:
    """A write that was done, as everybody sees it now."""
    await call.parts.caches.reach(record.revision, timeout=30)
    return call.parts.caches.item(call.resource, record)


async def update(call: Call) -> Response:
    obj = bodies.object_of(call)
    name = obj["metadata"].get("name") or call.route.name
    if name != call.route.name:
        raise status.bad_request(
            f"the name of the object ({name}) does not match the name on the URL "
            f"({call.route.name})"
        )
    obj["metadata"]["name"] = name
    if call.resource.namespaced:
        given = obj["metadata"].setdefault("namespace", call.route.namespace)
        if given != call.route.namespace:
            raise status.bad_request(
                "the namespace of the provided object does not match the namespace sent on the "
                "request"
            )
    collection = call.parts.caches.of(call.resource)
    if call.strategy.create_on_update and not call.route.subresource:
        await call.parts.caches.catch_up()
        if collection.get(call.key) is None:
            return presenting.one(call, await create_object(call, obj), 201)
    return presenting.one(call, await change_object(call, lambda _: obj))


async def change_object(call: Call, change: Change, as_is: bool = False) -> Item:
    """Replace the object that the route names by what `change` makes of it: a decoded object of
    the resource's kind. `change` may be called several times, and must leave its input alone. What
    it makes is stored `as_is`, or prepared and checked as an update from a client is."""
    try:
        return await _change(call, change, as_is)
    except BaseException:
        await _undo(call)
        raise


async def _change(call: Call, change: Change, as_is: bool) -> Item:
    for _ in range(_UPDATE_TRIES):
        await call.parts.caches.catch_up()
        before = call.parts.caches.of(call.resource).get(call.key)
        if before is None:
            raise status.not_found(call.resource, call.route.name)
        old = before.tree()
        new = change(old)
        wanted = (new.get("metadata") or {}).get("resourceVersion") or ""
        _check_preconditions(call, wanted, new, old)
        made = _unversioned(new) if as_is else await prepared(call, new, old)
        if as_is:
            await call.parts.admission.check(Asked(call, UPDATE, made, old))
        try:
            return await store_changed(call, made, before)
        except Conflict as conflict:
            if conflict.current is None:
                raise status.not_found(call.resource, call.route.name) from None
            if wanted:
                raise status.conflict(call.resource, call.route.name) from None
            await _undo(call)
    raise status.conflict(call.resource, call.route.name)


async def prepared(call: Call, new: Json, old: Json) -> Json:
    """The object to store in place of `old`, checked."""
    made = _with_parts_kept(call, new, old)
    strategy = call.strategy
    part = call.route.subresource
    if part not in _STATUS_PARTS:
        strategy.prepare_update(made, old)
    strategy.stamp(made, old, Circumstances(call.user, call.now(), part))
    strategy.fill(made)
    if strategy.generation and _wanted(made) != _wanted(old):
        made["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
    asked = Asked(call, UPDATE, made, old)
    await call.parts.admission.mutate(asked)
    _record_owners(call, made, old)
    errors = list(metadata_update(made, old))
    if part in _STATUS_PARTS:
        errors += strategy.validate_status(made, old)
    else:
        errors += [*strategy.validate(made), *strategy.validate_update(made, old)]
    _refuse_invalid(call, made, errors)
    await call.parts.admission.check(asked)
    return made


async def store_changed(call: Call, made: Json, before: Item) -> Item:
    """Write an update. Nothing is written where nothing changed; and an object that waited only
    for its finalizers is removed when the last goes. Raises Conflict."""
    store = call.parts.store
    meta = made["metadata"]
    if meta.get("deletionTimestamp") and not _held(made) and not call.dry_run:
        event = await store.delete(call.store_key, before.revision)
        await call.parts.caches.reach(event.revision, timeout=30)
        return before
    value = call.encoded(made)
    record = Record(call.store_key, value, before.revision, 0)
    if made == _unversioned(before.tree()) or call.dry_run:
        return call.parts.caches.item(call.resource, record)
    record = await store.update(call.store_key, value, before.revision, call.strategy_ttl)
    return await stored(call, record)


def _unversioned(obj: Json) -> Json:
    meta = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    return {**obj, "metadata": meta}


def _held(obj: Json) -> bool:
    """Whether an object that is being deleted must stay: finalizers, a grace period, contents."""
    meta = obj["metadata"]
    if meta.get("finalizers") or meta.get("deletionGracePeriodSeconds"):
        return True
    return obj["kind"] == "Namespace" and bool((obj.get("spec") or {}).get("finalizers"))


def _record_owners(call: Call, made: Json, old: Json | None) -> None:
    """managedFields: as an apply has settled them, or found by comparing."""
    meta = made["metadata"]
    given = meta.pop("managedFields", None)
    if call.owners is not None:
        owners = call.owners
    else:
        before = old
        if old is not None and given is not None and not any(one.get("fieldsV1") for one in given):
            # A client that sends an empty list has them forgotten.
            before = {**old, "metadata": {**old["metadata"], "managedFields": []}}
        who = ownership.Owner(
            call.manager, ownership.UPDATE, call.resource.group_version, call.route.subresource,
            call.now(),
        )  # fmt: skip
        owners = ownership.after_update(before, made, call.shape, who)
    if owners:
        meta["managedFields"] = owners


def _check_preconditions(call: Call, wanted: str, new: Json, old: Json) -> None:
    current = old["metadata"]
    if wanted and wanted != current["resourceVersion"]:
        raise status.conflict(call.resource, call.route.name)
    if not wanted and not call.strategy.unconditional_update and call.route.verb == "update":
        error = FieldError(
            ("metadata", "resourceVersion"), "", "", "FieldValueInvalid",
            'Invalid value: 0: must be specified for an update',
        )  # fmt: skip
        raise status.invalid(call.resource, call.route.name, [error])
    uid = (new.get("metadata") or {}).get("uid")
    if uid and uid != current["uid"]:
        raise status.conflict(
            call.resource,
            call.route.name,
            f"Precondition failed: UID in precondition: {uid}, UID in object meta: "
            f"{current['uid']}",
        )


def _with_parts_kept(call: Call, new: Json, old: Json) -> Json:
    """What the client sent, with those parts of the old object that this request can't change."""
    meta = {**(new.get("metadata") or {})}
    for key in ("uid", "creationTimestamp", "generation", "deletionTimestamp",
                "deletionGracePeriodSeconds", "selfLink", "generateName"):  # fmt: skip
        meta.pop(key, None)
        if key in old["metadata"]:
            meta[key] = old["metadata"][key]
    meta.pop("resourceVersion", None)
    if call.route.subresource in _STATUS_PARTS:
        if call.resource.group in _STATUS_KEEPS_LABELS:
            meta["labels"] = old["metadata"].get("labels")
            if meta["labels"] is None:
                del meta["labels"]
        meta.pop("ownerReferences", None)
        if "ownerReferences" in old["metadata"]:
            meta["ownerReferences"] = old["metadata"]["ownerReferences"]
        made = {**old, "metadata": meta}
        made.pop("status", None)
        return {**made, "status": new["status"]} if "status" in new else made
    made = {**new, "metadata": meta}
    if call.resource.subresource("status") is not None:
        made.pop("status", None)
        if "status" in old:
            made["status"] = old["status"]
    return made


def _wanted(obj: Json) -> Json:
    """The part of an object that says what is wanted."""
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}


def _refuse_invalid(call: Call, obj: Json, errors: list[FieldError]) -> None:
    if errors:
        raise status.invalid(call.resource, obj["metadata"].get("name") or "", errors)

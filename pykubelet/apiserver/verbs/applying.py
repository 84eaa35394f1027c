"""Server-side apply: a configuration becomes part of an object, or the object.

The algebra of ownership is `objects.patches.ownership`; here is the verb around it.
"""

from __future__ import annotations

from typing import Any

from pykubelet.apiserver import bodies, presenting, status
from pykubelet.apiserver.calls import Call
from pykubelet.apiserver.front.messages import Response
from pykubelet.apiserver.verbs.writing import change_object, create_object
from pykubelet.errors import Invalid
from pykubelet.objects import documents
from pykubelet.objects.defaults.pods import without_nulls
from pykubelet.objects.patches import ownership

Json = dict[str, Any]


async def apply(call: Call) -> Response:
    if not call.option("fieldManager"):
        raise status.Refusal(
            422,
            "Invalid",
            'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for '
            "apply patch",
        )
    force = call.option("force").lower() in ("true", "1")
    config = _config(call)
    await call.parts.caches.catch_up()
    item = call.parts.caches.of(call.resource).get(call.key)
    if item is None:
        if call.route.subresource:
            raise status.not_found(call.resource, call.route.name)
        if config["metadata"].get("uid"):
            raise status.conflict(
                call.resource, call.route.name,
                f"uid mismatch: the provided object specified uid {config['metadata']['uid']}, and "
                "no existing object was found",
            )  # fmt: skip
        _, call.owners = ownership.apply(None, config, call.shape, _who(call), force)
        return presenting.one(call, await create_object(call, _typed(call, config)), 201)

    def change(live: Json) -> Json:
        try:
            merged, call.owners = ownership.apply(live, config, call.shape, _who(call), force)
        except ownership.Conflicts as conflicts:
            raise status.Refusal(
                409, "Conflict", conflicts.sentence(), causes=conflicts.causes()
            ) from None
        typed = _typed(call, merged)
        if not config["metadata"].get("resourceVersion"):
            typed["metadata"].pop("resourceVersion", None)
        return typed

    return presenting.one(call, await change_object(call, change))


def _config(call: Call) -> Json:
    """The configuration in the body, spelled canonically, with nothing filled in."""
    try:
        found = documents.read(call.request.body, "body")
    except Invalid as error:
        raise status.bad_request(f"error decoding YAML: {error}") from None
    if len(found) != 1:
        raise status.bad_request("the body of the request must hold one object")
    tree: Json = without_nulls(found[0].object)
    resource = call.resource
    for key in ("apiVersion", "kind"):
        if not tree.get(key):
            raise status.bad_request(f"Object '{key}' is missing in the configuration to apply")
    bodies.check_kind(call, tree, resource.group_version, resource.kind)
    meta = tree.setdefault("metadata", {})
    if meta.get("managedFields"):
        raise status.bad_request("metadata.managedFields must be nil")
    for key, wanted in (("name", call.route.name), ("namespace", call.route.namespace)):
        if key == "namespace" and not resource.namespaced:
            continue
        if meta.setdefault(key, wanted) != wanted:
            raise status.bad_request(
                f"the {key} of the object ({meta[key]}) does not match the {key} on the URL "
                f"({wanted})"
            )
    typed = bodies.typed(call, tree, resource.type_name, resource.kind)
    narrowed: Json = _narrowed(typed, tree)
    return {**narrowed, "apiVersion": tree["apiVersion"], "kind": tree["kind"]}


def _narrowed(typed: Any, written: Any) -> Any:
    """What was written, with the values of the canonical form."""
    if isinstance(written, dict) and isinstance(typed, dict):
        return {
            key: _narrowed(typed[key], value) if key in typed else value
            for key, value in written.items()
            if key in typed or not value
        }
    if isinstance(written, list) and isinstance(typed, list) and len(written) == len(typed):
        return [_narrowed(one, other) for one, other in zip(typed, written, strict=True)]
    return typed


def _typed(call: Call, tree: Json) -> Json:
    resource = call.resource
    made = bodies.typed(call, tree, resource.type_name, resource.kind)
    return {**made, "kind": resource.kind, "apiVersion": resource.group_version}


def _who(call: Call) -> ownership.Owner:
    return ownership.Owner(
        call.manager, ownership.APPLY, call.resource.group_version, call.route.subresource,
        call.now(),
    )  # fmt: skip

"""Metadata: names, labels, annotations, owners, finalizers; and label selectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pykubelet.objects import fields, names
from pykubelet.objects.fields import FieldError, Path
from pykubelet.objects.validation.rules import Errors, Json, named, not_negative

_ANNOTATIONS_LIMIT = 256 * 1024
_ORPHAN, _FOREGROUND = "orphan", "foregroundDeletion"
IMMUTABLE = "field is immutable"


def metadata(obj: Json, rule: names.Rule, namespaced: bool) -> Errors:
    """`metadata` of a new object. `rule` is for its name."""
    meta = obj.get("metadata") or {}
    path: Path = ("metadata",)
    if not meta.get("name"):
        yield fields.required((*path, "name"), "name or generateName is required")
    else:
        yield from named(meta["name"], (*path, "name"), rule)
    namespace = meta.get("namespace")
    if namespaced and not namespace:
        yield fields.required((*path, "namespace"))
    elif namespaced:
        yield from named(namespace or "", (*path, "namespace"), names.dns_label)
    elif namespace:
        yield fields.forbidden((*path, "namespace"), "not allowed on this type")
    yield from not_negative(meta, ("generation",), path)
    yield from labels(meta.get("labels"), (*path, "labels"))
    yield from annotation_map(meta.get("annotations"), (*path, "annotations"))
    yield from _owners(meta, (*path, "ownerReferences"))
    yield from _finalizers(obj, meta.get("finalizers") or (), (*path, "finalizers"))


def metadata_update(new: Json, old: Json) -> Errors:
    """`metadata` of an update. What an update may not change is compared; the rest is checked."""
    after, before = new.get("metadata") or {}, old.get("metadata") or {}
    path: Path = ("metadata",)
    if before.get("deletionTimestamp"):
        known = set(before.get("finalizers") or ())
        extra = sorted(set(after.get("finalizers") or ()) - known)
        if extra:
            listed = ", ".join(f'"{name}"' for name in extra)
            yield fields.forbidden(
                (*path, "finalizers"),
                "no new finalizers can be added if the object is being deleted, found new "
                f"finalizers []string{{{listed}}}",
            )
    for key in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp",
                "deletionGracePeriodSeconds"):  # fmt: skip
        yield from immutable(after.get(key), before.get(key), (*path, key))
    yield from labels(after.get("labels"), (*path, "labels"))
    yield from annotation_map(after.get("annotations"), (*path, "annotations"))
    yield from _owners(after, (*path, "ownerReferences"))
    yield from _finalizers(new, after.get("finalizers") or (), (*path, "finalizers"))


def immutable(new: object, old: object, path: Path) -> Errors:
    if (new or None) != (old or None):
        yield fields.invalid(path, new, IMMUTABLE)


def labels(given: Json | None, path: Path) -> Errors:
    for key, value in (given or {}).items():
        yield from label_key(key, path)
        yield from named(value, path, names.label_value)


def label_key(key: str, path: Path) -> Errors:
    yield from named(key, path, names.qualified)


def annotation_map(given: Json | None, path: Path) -> Errors:
    size = 0
    for key, value in (given or {}).items():
        size += len(key.encode()) + len(value.encode())
        for said in names.qualified(key.lower()):
            yield fields.invalid(path, key, said)
    if size > _ANNOTATIONS_LIMIT:
        yield fields.too_long(path, _ANNOTATIONS_LIMIT)


#: Of label and node selectors alike.
SET_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def set_values(operator: str, values: Sequence[Any], at: Path) -> Errors:
    """Whether one of `SET_OPERATORS` has values where it needs them, and none where not."""
    if operator in ("In", "NotIn"):
        if not values:
            yield fields.required(
                (*at, "values"), "must be specified when `operator` is 'In' or 'NotIn'"
            )
    elif values:
        yield fields.forbidden(
            (*at, "values"), "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        )


def label_selector(selector: Json | None, path: Path) -> Errors:
    """A `metav1.LabelSelector`."""
    if not selector:
        return
    yield from labels(selector.get("matchLabels"), (*path, "matchLabels"))
    for index, one in enumerate(selector.get("matchExpressions") or ()):
        at = (*path, "matchExpressions", index)
        operator, values = one.get("operator"), one.get("values") or ()
        if operator in SET_OPERATORS:
            yield from set_values(operator, values, at)
        else:
            yield fields.invalid((*at, "operator"), operator or "", "not a valid selector operator")
        yield from label_key(one.get("key") or "", (*at, "key"))
        for number, value in enumerate(values):
            yield from named(value, (*at, "values", number), names.label_value)


def _owners(meta: Json, path: Path) -> Errors:
    controller = ""
    references = meta.get("ownerReferences") or ()
    for one in references:
        if not (one.get("apiVersion") or "").rpartition("/")[2]:
            yield fields.invalid(
                (*path, "apiVersion"), one.get("apiVersion", ""), "version must not be empty"
            )
        for key in ("kind", "name", "uid"):
            if not one.get(key):
                yield fields.invalid((*path, key), one.get(key, ""), "must not be empty")
        if (one.get("apiVersion"), one.get("kind")) == ("v1", "Event"):
            yield fields.invalid(path, one, "/v1, Kind=Event is disallowed from being an owner")
        if one.get("controller"):
            this = f"{one.get('kind')}/{one.get('name')}"
            if controller:
                yield fields.invalid(
                    path,
                    references,
                    'Only one reference can have Controller set to true. Found "true" in '
                    f"references for {controller} and {this}",
                )
            controller = controller or this


def _finalizers(obj: Json, finalizers: list[str] | tuple[str, ...], path: Path) -> Errors:
    """Core objects take only standard names without a prefix; the others take any."""
    core = obj.get("apiVersion", "v1") == "v1"
    for name in finalizers:
        complaints = names.qualified(name)
        yield from (fields.invalid(path, name, said) for said in complaints)
        if (
            core
            and not complaints
            and "/" not in name
            and name not in (_ORPHAN, _FOREGROUND, "kubernetes")
        ):
            yield fields.invalid(
                path, name, "name is neither a standard finalizer name nor is it fully qualified"
            )
    if {_ORPHAN, _FOREGROUND} <= set(finalizers):
        yield fields.invalid(
            path, list(finalizers), f"finalizer {_ORPHAN} and {_FOREGROUND} cannot be both set"
        )


def all_of(*parts: Errors) -> list[FieldError]:
    """The errors of several parts, as a list."""
    return [error for part in parts for error in part]

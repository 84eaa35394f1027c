"""Who owns which field: `metadata.managedFields`, after an update and in server-side apply.

`after_update` records what a plain write has changed. `apply` merges a configuration into what is
there: fields that the configuration has are set, those that it had and has no longer are removed
unless somebody else owns them, and changing what somebody else owns is a conflict. Source: "Server-
Side Apply", KEP-555.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from pykubelet.objects.patches import field_sets as sets
from pykubelet.objects.patches.field_sets import AnyShape, FieldSet

Json = dict[str, Any]

APPLY, UPDATE = "Apply", "Update"
_MOST_UPDATERS = 10
_ANCIENT = "ancient-changes"
_NOBODYS = (
    ("f:apiVersion",),
    ("f:kind",),
    *(
        ("f:metadata", f"f:{key}")
        for key in ("name", "namespace", "creationTimestamp", "selfLink", "uid", "generation",
                    "managedFields", "resourceVersion", "deletionTimestamp",
                    "deletionGracePeriodSeconds", "generateName")
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Owner:
    """One entry of managedFields."""

    manager: str
    operation: str
    api_version: str
    subresource: str = ""
    time: str = ""
    fields: FieldSet | None = None

    @property
    def identity(self) -> tuple[str, str, str, str]:
        return self.manager, self.operation, self.api_version, self.subresource

    def entry(self) -> Json:
        made: Json = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": self.fields or {},
        }
        return {**made, "subresource": self.subresource} if self.subresource else made


class Conflicts(Exception):
    """Fields that an apply would change and that others own: (owner, path) pairs."""

    def __init__(self, found: list[tuple[Owner, str]]) -> None:
        super().__init__(f"{len(found)} conflicts")
        self.found = found

    def sentence(self) -> str:
        """In upstream's words."""
        count = len(self.found)
        if count == 1:
            owner, path = self.found[0]
            return f"Apply failed with 1 conflict: {_named(owner)}: {path}"
        groups: dict[str, list[str]] = {}
        for owner, path in self.found:
            groups.setdefault(_named(owner), []).append(path)
        parts = []
        for name, paths in groups.items():
            if len(paths) == 1:
                parts.append(f"{name}: {paths[0]}")
            else:
                parts.append(
                    f"{name.replace('conflict', 'conflicts', 1)}:\n"
                    + "\n".join(f"- {path}" for path in paths)
                )
        return f"Apply failed with {count} conflicts: " + "\n".join(parts)

    def causes(self) -> list[Json]:
        return [
            {"reason": "FieldManagerConflict", "message": _named(owner), "field": path}
            for owner, path in self.found
        ]


def after_update(old: Json | None, new: Json, shape: AnyShape, who: Owner) -> list[Json]:
    """The entries after `who` has changed `old` (None: nothing) into `new`."""
    owners = owners_of(old) if old is not None else []
    set_now, gone = sets.changed(_owned(old or {}), _owned(new), shape)
    set_now, gone = sets.without(set_now, *_NOBODYS), sets.without(gone, *_NOBODYS)
    if not set_now and not gone:
        return [owner.entry() for owner in owners]
    made: list[Owner] = []
    mine: FieldSet = {}
    for owner in owners:
        fields = owner.fields or {}
        if owner.identity == who.identity:
            mine = fields
            continue
        left = sets.difference(fields, gone)
        if set_now:
            left = sets.difference(left, set_now)
        if left:
            made.append(replace(owner, fields=left))
    mine = sets.union(sets.difference(mine, gone), set_now)
    if mine:
        made.append(replace(who, fields=mine))
    return [owner.entry() for owner in _bounded(made)]


def apply(
    live: Json | None, config: Json, shape: AnyShape, who: Owner, force: bool
) -> tuple[Json, list[Json]]:
    """The object with the configuration applied, and its entries. Raises Conflicts."""
    wanted = sets.without(sets.set_of(_owned(config), shape), *_NOBODYS)
    if live is None:
        return config, [replace(who, fields=wanted).entry()]
    owners = owners_of(live)
    merged = _merge(live, config, shape)
    before = next((o for o in owners if o.identity == who.identity), None)
    others = [owner for owner in owners if owner.identity != who.identity]
    set_now, _ = sets.changed(_owned(live), _owned(merged), shape)
    found = [
        (owner, sets.path_text(path))
        for owner in others
        for path in sorted(sets.leaves(sets.intersection(owner.fields or {}, set_now)))
        if path
    ]
    if found and not force:
        raise Conflicts(found)
    if before is not None:
        dropped = sets.difference(before.fields or {}, wanted)
        for owner in others:
            dropped = _not_owned(dropped, owner.fields or {})
        merged = sets.remove(merged, dropped, shape)
    kept = [
        replace(owner, fields=left)
        for owner in others
        if (left := sets.difference(owner.fields or {}, set_now if found else {}))
    ]
    time = who.time
    if before is not None and before.fields == wanted and merged == live:
        time = before.time
    mine = replace(who, fields=wanted, time=time)
    made = [mine, *kept] if wanted else kept
    order = {owner.identity: index for index, owner in enumerate(owners)}
    made.sort(key=lambda owner: order.get(owner.identity, len(order)))
    return merged, [owner.entry() for owner in made]


def owners_of(obj: Json) -> list[Owner]:
    """The entries of an object. One that is no entry (how clients reset them) is left out."""
    return [
        Owner(
            one.get("manager", ""),
            one.get("operation", UPDATE),
            one.get("apiVersion", ""),
            one.get("subresource", ""),
            one.get("time", ""),
            one["fieldsV1"],
        )
        for one in (obj.get("metadata") or {}).get("managedFields") or ()
        if one.get("fieldsV1")
    ]


def _not_owned(fields: FieldSet, owned: FieldSet) -> FieldSet:
    """What of a set somebody else doesn't own. What somebody owns a part of, stays itself."""
    made: FieldSet = {}
    for key, below in fields.items():
        if key not in owned:
            made[key] = below
            continue
        theirs = owned[key]
        if not below or not theirs:
            continue
        left = _not_owned({k: v for k, v in below.items() if k != sets.SELF}, theirs)
        if left:
            made[key] = left
    return made


def _merge(live: Any, config: Any, shape: AnyShape) -> Any:
    """Mappings merge, lists merge by keys or values, all else is the configuration's."""
    if isinstance(config, dict) and isinstance(live, dict) and not shape.atomic:
        made = dict(live)
        for key, value in config.items():
            made[key] = _merge(live[key], value, shape.child(key)) if key in live else value
        return made
    if isinstance(config, list) and isinstance(live, list):
        if shape.list_type == "set":
            return [*live, *(item for item in config if item not in live)]
        if shape.list_type == "map":
            return _merge_items(live, config, shape)
    return config


def _merge_items(live: list[Any], config: list[Any], shape: AnyShape) -> list[Any]:
    """Items of the configuration in its order; the others stay after what they followed."""
    mine = {sets.key_of(item, shape): item for item in config}
    there = {sets.key_of(item, shape): item for item in live}
    made: list[Any] = []
    placed: set[str] = set()

    def place(key: str) -> None:
        item = mine[key]
        made.append(_merge(there[key], item, shape.item()) if key in there else item)
        placed.add(key)

    waiting = list(mine)
    for key, item in there.items():
        if key not in mine:
            made.append(item)
            continue
        while waiting and key not in placed:
            following = waiting.pop(0)
            if following not in placed:
                place(following)
    for key in waiting:
        if key not in placed:
            place(key)
    return made


def _owned(obj: Json) -> Json:
    """An object without what nobody owns, as far as it is costly to compare."""
    meta = obj.get("metadata")
    if not isinstance(meta, dict):
        return obj
    return {**obj, "metadata": {k: v for k, v in meta.items() if k != "managedFields"}}


def _bounded(owners: Iterable[Owner]) -> list[Owner]:
    """At most so many updaters: the oldest become one."""
    made = list(owners)
    updaters = sorted((o for o in made if o.operation == UPDATE), key=lambda o: o.time)
    too_many = len(updaters) - _MOST_UPDATERS
    if too_many <= 0:
        return made
    old = updaters[: too_many + 1]
    fields: FieldSet = {}
    for owner in old:
        fields = sets.union(fields, owner.fields or {})
    ancient = Owner(_ANCIENT, UPDATE, old[-1].api_version, "", old[-1].time, fields)
    return [ancient, *(owner for owner in made if owner not in old)]


def _named(owner: Owner) -> str:
    text = f'conflict with "{owner.manager}"'
    if owner.subresource:
        text += f' with subresource "{owner.subresource}"'
    if owner.operation == UPDATE:
        return f"{text} using {owner.api_version}"
    return text

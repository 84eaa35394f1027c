"""ControllerRevisions: the templates that a StatefulSet or DaemonSet has had, as numbered objects.

`plan` is pure: which revision is the present template's, whether it is to be made or to get a new
number, which old ones are to go. `History` carries that out. The data is the patch that
`kubectl rollout undo` applies. Source: the ControllerRevision reference (apps/v1).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from pykubelet.client.api import owner_reference
from pykubelet.client.errors import AlreadyExists, NotFound
from pykubelet.client.resources import CONTROLLER_REVISIONS, Resource
from pykubelet.controllers.base import Controller
from pykubelet.controllers.dependents import Dependents
from pykubelet.controllers.hashes import short
from pykubelet.controllers.templates import essence, same_template
from pykubelet.errors import Failed

Json = dict[str, Any]

#: The label of a pod that says which revision it is of.
REVISION_LABEL = "controller-revision-hash"


@dataclass(frozen=True, slots=True)
class Plan:
    """`present` is the revision of the present template, maybe not yet stored: then `create`; or
    with an old number: then `renumber`."""

    present: Json
    create: bool = False
    renumber: bool = False


def plan(owner: Json, resource: Resource, known: list[Json]) -> Plan:
    """The revision of the owner's present template among those known."""
    ordered = in_order(known)
    number = (ordered[-1]["revision"] if ordered else 0) + 1
    template = owner["spec"]["template"]
    equal = [one for one in ordered if same_template(template_of(one), template)]
    if not equal:
        return Plan(_made(owner, resource, number), create=True)
    if equal[-1] is ordered[-1]:
        return Plan(equal[-1])
    return Plan({**equal[-1], "revision": number}, renumber=True)


def in_order(revisions: list[Json]) -> list[Json]:
    return sorted(revisions, key=lambda r: (r["revision"], r["metadata"]["name"]))


def template_of(revision: Json) -> Json:
    template: Json = revision["data"]["spec"]["template"]
    return {key: value for key, value in template.items() if key != "$patch"}


def _made(owner: Json, resource: Resource, number: int) -> Json:
    template = owner["spec"]["template"]
    hash_ = short(essence(template), (owner.get("status") or {}).get("collisionCount"))
    labels = (template.get("metadata") or {}).get("labels") or {}
    return {
        "apiVersion": CONTROLLER_REVISIONS.api_version,
        "kind": CONTROLLER_REVISIONS.kind,
        "metadata": {
            "name": f"{owner['metadata']['name'][:223]}-{hash_}",
            "namespace": owner["metadata"]["namespace"],
            "labels": {**labels, "controller.kubernetes.io/hash": hash_, REVISION_LABEL: hash_},
            "annotations": dict(owner["metadata"].get("annotations") or {}),
            "ownerReferences": [owner_reference(owner, resource)],
        },
        "data": {"spec": {"template": {**template, "$patch": "replace"}}},
        "revision": number,
    }


def to_clear_away(owner: Json, known: list[Json], in_use: Collection[str]) -> list[Json]:
    """The oldest revisions beyond the limit of the history, of those that nothing uses."""
    limit = owner["spec"].get("revisionHistoryLimit")
    limit = 10 if limit is None else limit
    idle = [one for one in in_order(known) if one["metadata"]["name"] not in in_use]
    return idle[: max(len(idle) - limit, 0)]


class Collision(Failed):
    """The name of a revision is taken by another template; count `collisionCount` up."""


class History:
    """The stored revisions of one kind's objects."""

    def __init__(self, controller: Controller, owners: Resource) -> None:
        self._api = controller.api
        self._owners = owners
        self._own = Dependents(controller, owners, CONTROLLER_REVISIONS)

    def look(self, key: str, owner: Json) -> tuple[Json, list[Json]] | None:
        """(the present template's revision, all revisions), made or renumbered where need be.
        None while what was written before does not show yet. Raises Collision."""
        known = self._own.claim(owner)
        if not self._own.caught_up(key, known):
            return None
        found = plan(owner, self._owners, known)
        present = found.present
        if found.create:
            present = self._create(key, present)
            known = [*known, present]
        elif found.renumber:
            present = self._api.update(CONTROLLER_REVISIONS, present)
            self._own.wrote(key, present)
        return present, known

    def _create(self, key: str, wanted: Json) -> Json:
        try:
            made = self._api.create(CONTROLLER_REVISIONS, wanted)
        except AlreadyExists:
            name, namespace = wanted["metadata"]["name"], wanted["metadata"]["namespace"]
            made = self._api.get(CONTROLLER_REVISIONS, name, namespace)
            owners = {r["uid"] for r in made["metadata"].get("ownerReferences") or ()}
            ours = wanted["metadata"]["ownerReferences"][0]["uid"] in owners
            if not ours or not same_template(template_of(made), template_of(wanted)):
                raise Collision(f"the name {name} is taken by another revision") from None
        self._own.wrote(key, made)
        return made

    def clear_away(self, owner: Json, known: list[Json], in_use: Collection[str]) -> None:
        for one in to_clear_away(owner, known, in_use):
            metadata = one["metadata"]
            try:
                self._api.delete(
                    CONTROLLER_REVISIONS, metadata["name"], metadata["namespace"],
                    uid=metadata["uid"],
                )  # fmt: skip
            except NotFound:
                pass

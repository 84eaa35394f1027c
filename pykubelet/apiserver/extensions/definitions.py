"""What a CustomResourceDefinition says, as resources and strategies. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pykubelet.apiserver.resources.registry import Custom, Resource, Subresource
from pykubelet.apiserver.resources.strategies import Errors, Strategy
from pykubelet.objects.structural.pruning import default
from pykubelet.objects.structural.validating import validate

Json = dict[str, Any]

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
"""The finalizer that keeps a definition until its objects are gone."""
_WRITE = ("get", "patch", "update")


def resources_of(definition: Json) -> list[Resource]:
    """A resource for each served version."""
    spec = definition["spec"]
    names = spec["names"]
    stored = next(v["name"] for v in spec["versions"] if v.get("storage"))
    group = spec["group"]
    made = []
    for version in spec["versions"]:
        if not version.get("served"):
            continue
        below = version.get("subresources") or {}
        subresources = []
        if "status" in below:
            subresources.append(Subresource("status", _WRITE, names["kind"]))
        if "scale" in below:
            subresources.append(Subresource("scale", _WRITE, "Scale", "autoscaling/v1"))
        made.append(
            Resource(
                group=group,
                version=version["name"],
                plural=names["plural"],
                kind=names["kind"],
                namespaced=spec["scope"] == "Namespaced",
                folder=f"{group}/{names['plural']}",
                stored_as="" if version["name"] == stored else f"{group}/{stored}",
                singular=names.get("singular") or names["kind"].lower(),
                short_names=tuple(names.get("shortNames") or ()),
                categories=tuple(names.get("categories") or ()),
                subresources=tuple(subresources),
                custom=Custom(
                    schema=_schema(version),
                    columns=tuple(version.get("additionalPrinterColumns") or ()),
                    scale=below.get("scale"),
                    selectable=tuple(
                        f["jsonPath"].removeprefix(".")
                        for f in version.get("selectableFields") or ()
                    ),
                    definition=definition["metadata"]["name"],
                ),
            )
        )
    return made


def strategy_of(resource: Resource) -> Strategy:
    """How objects of a custom resource are treated."""
    custom = resource.custom
    assert custom is not None
    schema = custom.schema

    def fill(obj: Json) -> None:
        obj.update(default(obj, schema))

    def check(obj: Json) -> Errors:
        bare = {k: v for k, v in obj.items() if k not in ("apiVersion", "kind", "metadata")}
        return validate(bare, {**schema, "required": _without_head(schema)})

    def prepare_create(obj: Json) -> None:
        if resource.subresource("status") is not None:
            obj.pop("status", None)

    return Strategy(
        fill=fill,
        prepare_create=prepare_create,
        validate=check,
        fields_of=_fields_of(custom.selectable) if custom.selectable else None,
        create_on_update=False,
        unconditional_update=False,
    )


def established(definition: Json, now: str) -> Json:
    """The status of a definition that is served."""
    spec = definition["spec"]
    status = definition.get("status") or {}
    stored = [v["name"] for v in spec["versions"] if v.get("storage")]
    kept = list(status.get("storedVersions") or ())
    conditions = []
    for kind, reason, message in (
        ("NamesAccepted", "NoConflicts", "no conflicts found"),
        ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    ):
        old = next((c for c in status.get("conditions") or () if c.get("type") == kind), None)
        if old is not None and old.get("status") == "True":
            conditions.append(old)
        else:
            conditions.append({"type": kind, "status": "True", "reason": reason,
                               "message": message, "lastTransitionTime": now})  # fmt: skip
    others = [c for c in status.get("conditions") or () if c["type"] not in
              ("NamesAccepted", "Established")]  # fmt: skip
    return {
        "conditions": [*conditions, *others],
        "acceptedNames": spec["names"],
        "storedVersions": kept + [name for name in stored if name not in kept],
    }


def _schema(version: Json) -> Json:
    schema: Json = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    return schema


def _without_head(schema: Json) -> list[str]:
    head = ("apiVersion", "kind", "metadata")
    return [key for key in schema.get("required") or () if key not in head]


def _fields_of(paths: tuple[str, ...]) -> Callable[[Json], Mapping[str, str]]:
    def fields_of(obj: Json) -> Mapping[str, str]:
        found = {}
        for path in paths:
            at: Any = obj
            for step in path.split("."):
                at = at.get(step) if isinstance(at, dict) else None
            found[path] = str(at).lower() if isinstance(at, bool) else "" if at is None else str(at)
        return found

    return fields_of

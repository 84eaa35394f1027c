"""CustomResourceDefinitions: names, versions, and schemas that are structural.

Source: "Extend the Kubernetes API with CustomResourceDefinitions", "Specifying a structural
schema".
"""

from __future__ import annotations

import re

from pykubelet.objects import fields, names
from pykubelet.objects.fields import Path
from pykubelet.objects.validation.meta import immutable
from pykubelet.objects.validation.rules import Errors, Json, chosen, named
from pykubelet.objects.validation.webhooks import client

_SPEC: Path = ("spec",)
_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_LIST_TYPES, _MAP_TYPES = ("atomic", "map", "set"), ("atomic", "granular")
_COMPOUND = ("allOf", "anyOf", "oneOf")
_NOT_INSIDE = ("additionalProperties", "default", "description", "nullable", "title", "type",
               "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string",
               "x-kubernetes-preserve-unknown-fields")  # fmt: skip
_PATH = re.compile(r"\.[\w.\[\]'\-/\"@?()=&|<>! *:,~]+")


def definition(obj: Json) -> Errors:
    spec = obj.get("spec") or {}
    yield from _group_and_names(obj, spec)
    yield from chosen(spec, "scope", ("Cluster", "Namespaced"), _SPEC, empty=False)
    versions = spec.get("versions") or []
    at = (*_SPEC, "versions")
    if not versions:
        yield fields.required(at, "must have at least one version")
    seen: set[str] = set()
    for index, version in enumerate(versions):
        name = version.get("name") or ""
        yield from named(name, (*at, index, "name"), names.dns_label_1035)
        if name in seen:
            yield fields.invalid(at, name, "must contain unique version names")
        seen.add(name)
        yield from _version(version, bool(spec.get("preserveUnknownFields")), (*at, index))
    storing = sum(bool(version.get("storage")) for version in versions)
    if versions and storing != 1:
        yield fields.invalid(
            at, versions, "must have exactly one version marked as storage version"
        )
    if spec.get("preserveUnknownFields"):
        yield fields.invalid(
            (*_SPEC, "preserveUnknownFields"), True,
            "must be false in order to use defaults in the schema"
            if _has_defaults(versions) else
            "must be false",
        )  # fmt: skip
    yield from _conversion(spec.get("conversion") or {}, (*_SPEC, "conversion"))


def definition_update(new: Json, old: Json) -> Errors:
    """Once it is established, group, kind, plural and scope stay."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    yield from immutable(after.get("group"), before.get("group"), (*_SPEC, "group"))
    yield from immutable(
        (after.get("names") or {}).get("plural"), (before.get("names") or {}).get("plural"),
        (*_SPEC, "names", "plural"),
    )  # fmt: skip
    conditions = (old.get("status") or {}).get("conditions") or ()
    if any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions):
        yield from immutable(after.get("scope"), before.get("scope"), (*_SPEC, "scope"))
        yield from immutable(
            (after.get("names") or {}).get("kind"), (before.get("names") or {}).get("kind"),
            (*_SPEC, "names", "kind"),
        )  # fmt: skip
    stored = set((old.get("status") or {}).get("storedVersions") or ())
    kept = {version.get("name") for version in after.get("versions") or ()}
    for index, name in enumerate((old.get("status") or {}).get("storedVersions") or ()):
        if name in stored - kept:
            yield fields.invalid(
                ("status", "storedVersions", index), name, "missing from spec.versions; "
                f"{name} was previously a storage version, and must remain in spec.versions until "
                "a storage migration ensures no data remains persisted in it and removes it from "
                "status.storedVersions",
            )  # fmt: skip


def structural(schema: Json, at: Path) -> Errors:
    """What keeps a schema from being structural: every field has a type, said outside of the
    logical junctors."""
    yield from _structural(schema, at, root=True)


def _group_and_names(obj: Json, spec: Json) -> Errors:
    group, given = spec.get("group") or "", spec.get("names") or {}
    at = (*_SPEC, "names")
    plural = given.get("plural") or ""
    expected = f"{plural}.{group}"
    if obj["metadata"].get("name") != expected:
        yield fields.invalid(
            ("metadata", "name"), obj["metadata"].get("name") or "",
            'must be spec.names.plural+"."+spec.group',
        )  # fmt: skip
    if not group:
        yield fields.required((*_SPEC, "group"))
    else:
        yield from named(group, (*_SPEC, "group"), names.dns_subdomain)
        if "." not in group:
            yield fields.invalid(
                (*_SPEC, "group"), group, "should be a domain with at least one dot"
            )
    for key in ("plural", "singular"):
        if not given.get(key):
            if key == "plural":
                yield fields.required((*at, key))
        else:
            yield from named(given[key], (*at, key), names.dns_label_1035)
    for key in ("kind", "listKind"):
        value = given.get(key) or ""
        if not value:
            if key == "kind":
                yield fields.required((*at, key))
            continue
        for said in names.dns_label_1035(value.lower()):
            yield fields.invalid(
                (*at, key), value, f"may have mixed case, but should otherwise match: {said}"
            )
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        yield fields.invalid(
            (*at, "listKind"), given["listKind"], "kind and listKind may not be the same"
        )
    for key in ("shortNames", "categories"):
        for index, value in enumerate(given.get(key) or ()):
            yield from named(value, (*at, key, index), names.dns_label_1035)
    protected = group.endswith((".k8s.io", ".kubernetes.io")) or group in (
        "k8s.io",
        "kubernetes.io",
    )
    note = (obj["metadata"].get("annotations") or {}).get("api-approved.kubernetes.io") or ""
    if protected and not note:
        yield fields.required(
            ("metadata", "annotations", "[api-approved.kubernetes.io]"),
            "protected groups must have approval annotation "
            '"api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111',
        )


def _version(version: Json, preserving: bool, at: Path) -> Errors:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    here = (*at, "schema", "openAPIV3Schema")
    if schema is None:
        yield fields.required(here, "schemas are required")
    else:
        if schema.get("type") not in (None, "", "object"):
            yield fields.invalid((*here, "type"), schema["type"], 'must be "object"')
        if not preserving:
            yield from structural(schema, here)
    warning = version.get("deprecationWarning")
    if warning is not None:
        if not version.get("deprecated"):
            yield fields.invalid(
                (*at, "deprecationWarning"), warning, "can only be set for deprecated versions"
            )
        if not warning:
            yield fields.invalid(
                (*at, "deprecationWarning"), warning, "must not be an empty string"
            )
        if len(warning.encode()) > 256:
            yield fields.too_long((*at, "deprecationWarning"), 256)
    below = version.get("subresources") or {}
    if "scale" in below:
        yield from _scale(below["scale"] or {}, (*at, "subresources", "scale"))
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        there = (*at, "additionalPrinterColumns", index)
        if not column.get("name"):
            yield fields.required((*there, "name"))
        yield from chosen(column, "type", _COLUMN_TYPES, there, empty=False)
        yield from chosen(
            column, "format",
            ("binary", "byte", "date", "date-time", "double", "float", "int32", "int64",
             "password"), there,
        )  # fmt: skip
        path = column.get("jsonPath") or ""
        if not path:
            yield fields.required((*there, "jsonPath"))
        elif not _PATH.fullmatch(path):
            yield fields.invalid((*there, "jsonPath"), path, "is an invalid JSON path")
    selectable = version.get("selectableFields") or []
    if len(selectable) > 8:
        yield fields.too_many((*at, "selectableFields"), len(selectable), 8)


def _scale(scale: Json, at: Path) -> Errors:
    for key, parent in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        path = scale.get(key) or ""
        if not path:
            yield fields.required((*at, key))
        elif not path.startswith(parent):
            yield fields.invalid((*at, key), path, f"should be a json path under {parent[:-1]}")
    selector = scale.get("labelSelectorPath")
    if selector and not selector.startswith((".spec.", ".status.")):
        yield fields.invalid(
            (*at, "labelSelectorPath"),
            selector,
            "should be a json path under either .spec or .status",
        )


def _structural(schema: Json, at: Path, root: bool = False) -> Errors:
    kind = schema.get("type") or ""
    either = bool(schema.get("x-kubernetes-int-or-string"))
    free = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if either:
        if kind:
            yield fields.forbidden(
                (*at, "type"), "must be empty if x-kubernetes-int-or-string is true"
            )
    elif not kind and not (free and not root):
        word = (
            "must not be empty at the root"
            if root
            else "must not be empty for specified object fields"
        )
        yield fields.required((*at, "type"), word)
    elif kind and kind not in _TYPES:
        yield fields.not_supported((*at, "type"), kind, _TYPES)
    if schema.get("x-kubernetes-embedded-resource"):
        if kind != "object":
            yield fields.invalid(
                (*at, "type"), kind, "must be object if x-kubernetes-embedded-resource is true"
            )
        if not free and not schema.get("properties"):
            yield fields.required(
                (*at, "properties"),
                "must not be empty if x-kubernetes-embedded-resource is true without "
                "x-kubernetes-preserve-unknown-fields",
            )
    for key in ("$ref", "definitions", "dependencies", "deprecated", "discriminator", "id",
                "patternProperties", "readOnly", "writeOnly", "xml"):  # fmt: skip
        if schema.get(key):
            yield fields.forbidden((*at, key), f"{key} is not supported")
    if schema.get("uniqueItems"):
        yield fields.forbidden(
            (*at, "uniqueItems"),
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        )
    yield from _lists(schema, kind, at)
    properties, others = schema.get("properties") or {}, schema.get("additionalProperties")
    if properties and isinstance(others, dict):
        yield fields.forbidden(
            (*at, "additionalProperties"),
            "additionalProperties and properties are mutual exclusive",
        )
    for name, inner in properties.items():
        yield from _structural(inner or {}, (*at, "properties", f"[{name}]"))
    if isinstance(others, dict):
        yield from _structural(others, (*at, "additionalProperties"))
    items = schema.get("items")
    if isinstance(items, dict):
        yield from _structural(items, (*at, "items"))
    elif isinstance(items, list):
        yield fields.forbidden((*at, "items"), "items must be a schema object and not an array")
    elif kind == "array":
        yield fields.required((*at, "items"), "must be specified")
    for key in _COMPOUND:
        for index, inner in enumerate(schema.get(key) or ()):
            yield from _inside(inner, (*at, key, index), either)
    if schema.get("not"):
        yield from _inside(schema["not"], (*at, "not"), either)


def _lists(schema: Json, kind: str, at: Path) -> Errors:
    how = schema.get("x-kubernetes-list-type")
    if how is not None:
        if how not in _LIST_TYPES:
            yield fields.not_supported((*at, "x-kubernetes-list-type"), how, _LIST_TYPES)
        if kind != "array":
            yield fields.invalid(
                (*at, "type"), kind, "must be array if x-kubernetes-list-type is specified"
            )
    keys = schema.get("x-kubernetes-list-map-keys") or []
    if how == "map" and not keys:
        yield fields.required(
            (*at, "x-kubernetes-list-map-keys"),
            "must not be empty if x-kubernetes-list-type is map",
        )
    if keys and how != "map":
        yield fields.invalid(
            (*at, "x-kubernetes-list-type"),
            how or "",
            "must be map if x-kubernetes-list-map-keys is non-empty",
        )
    properties = (schema.get("items") or {}).get("properties") or {} if how == "map" else {}
    for index, key in enumerate(keys if how == "map" else ()):
        if key not in properties:
            yield fields.invalid(
                (*at, "x-kubernetes-list-map-keys", index),
                key,
                "entries must all be names of item properties",
            )
    maps = schema.get("x-kubernetes-map-type")
    if maps is not None:
        if maps not in _MAP_TYPES:
            yield fields.not_supported((*at, "x-kubernetes-map-type"), maps, _MAP_TYPES)
        if kind != "object":
            yield fields.invalid(
                (*at, "type"), kind, "must be object if x-kubernetes-map-type is specified"
            )


def _inside(schema: Json, at: Path, either: bool) -> Errors:
    """Within a junctor nothing says what a field is, only what its value may be."""
    for key in _NOT_INSIDE:
        if schema.get(key) not in (None, False, "") and not (key == "type" and either):
            yield fields.forbidden(
                (*at, key),
                "must be empty to be structural"
                if key != "additionalProperties"
                else "must be undefined to be structural",
            )
    for name, inner in (schema.get("properties") or {}).items():
        yield from _inside(inner or {}, (*at, "properties", f"[{name}]"), False)
    if isinstance(schema.get("items"), dict):
        yield from _inside(schema["items"], (*at, "items"), False)
    for key in _COMPOUND:
        for index, inner in enumerate(schema.get(key) or ()):
            yield from _inside(inner, (*at, key, index), either)


def _conversion(given: Json, at: Path) -> Errors:
    yield from chosen(given, "strategy", ("None", "Webhook"), at)
    hook = given.get("webhook")
    if given.get("strategy") == "Webhook":
        if not (hook or {}).get("clientConfig"):
            yield fields.required(
                (*at, "webhook", "clientConfig"), "required when strategy is set to Webhook"
            )
            return
        assert hook is not None
        yield from client(hook["clientConfig"], (*at, "webhook", "clientConfig"))
        versions = hook.get("conversionReviewVersions") or []
        if not {"v1", "v1beta1"} & set(versions):
            yield fields.invalid(
                (*at, "webhook", "conversionReviewVersions"),
                versions,
                "must include at least one of v1, v1beta1",
            )
    elif hook is not None:
        yield fields.forbidden(
            (*at, "webhook"), "should not be set when strategy is not set to Webhook"
        )


def _has_defaults(tree: object) -> bool:
    if isinstance(tree, dict):
        return "default" in tree or any(map(_has_defaults, tree.values()))
    return isinstance(tree, list) and any(map(_has_defaults, tree))

"""The schema tables' types as OpenAPI schemas.

Version 3 wraps a reference that has a description in `allOf`; version 2 puts them side by side.
Source: the OpenAPI documents of the reference, whose extensions (`x-kubernetes-...`) are kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from pykubelet.apiserver.openapi import descriptions
from pykubelet.apiserver.resources.registry import Resource
from pykubelet.objects.schema import tables

Json = dict[str, Any]

_HOMES = {
    "meta": "io.k8s.apimachinery.pkg.apis.meta",
    "apiextensions": "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
    "apiregistration": "io.k8s.kube-aggregator.pkg.apis.apiregistration",
}
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_EXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_PLAIN: dict[str, Json] = {
    "string": {"type": "string"},
    "bool": {"type": "boolean"},
    "int32": {"type": "integer", "format": "int32"},
    "int64": {"type": "integer", "format": "int64"},
    "byte": {"type": "integer", "format": "byte"},
    "float64": {"type": "number", "format": "double"},
    "bytes": {"type": "string", "format": "byte"},
}
_NAMED: dict[str, tuple[str, Json]] = {
    "Quantity": (
        "io.k8s.apimachinery.pkg.api.resource.Quantity",
        {"type": "string", "description": "A number with a suffix, such as 100m or 1.5Gi."},
    ),
    "IntOrString": (
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
        {"type": "string", "format": "int-or-string",
         "description": "An integer or a string, such as a port's number or its name."},
    ),
    "Time": (
        _META + "Time",
        {"type": "string", "format": "date-time", "description": "A time in RFC 3339."},
    ),
    "MicroTime": (
        _META + "MicroTime",
        {"type": "string", "format": "date-time",
         "description": "A time in RFC 3339, with microseconds."},
    ),
    "Duration": (
        _META + "Duration",
        {"type": "string", "description": "A duration, such as 1h30m."},
    ),
    "RawExtension": (
        "io.k8s.apimachinery.pkg.runtime.RawExtension",
        {"type": "object", "description": "An object of any kind."},
    ),
    "FieldsV1": (_META + "FieldsV1", {"type": "object", "description": "A set of fields."}),
    "JSON": (_EXTENSIONS + "JSON", {"description": "Any JSON value."}),
    "JSONSchemaPropsOrArray": (_EXTENSIONS + "JSONSchemaPropsOrArray",
                               {"description": "A schema, or a list of them."}),
    "JSONSchemaPropsOrBool": (_EXTENSIONS + "JSONSchemaPropsOrBool",
                              {"description": "A schema, or true or false."}),
    "JSONSchemaPropsOrStringArray": (_EXTENSIONS + "JSONSchemaPropsOrStringArray",
                                     {"description": "A schema, or a list of strings."}),
}  # fmt: skip


@cache
def model_name(type_name: str) -> str:
    """`core/v1.Pod` as OpenAPI calls it: `io.k8s.api.core.v1.Pod`."""
    package, _, short = type_name.rpartition(".")
    group, _, version = package.partition("/")
    return f"{_HOMES.get(group, f'io.k8s.api.{group}')}.{version}.{short}"


def custom_name(resource: Resource) -> str:
    """`com.example.v1.Widget` for a Widget of `example.com/v1`."""
    return ".".join([*reversed(resource.group.split(".")), resource.version, resource.kind])


_HEAD: Json = {
    "apiVersion": {"type": "string", "description": "The version of the API that this is in."},
    "kind": {"type": "string", "description": "The kind of object that this is."},
}


class Schemas:
    """Collects the schemas of types and of all that they refer to. `prefix` is where references
    point: `#/components/schemas/` or `#/definitions/`."""

    def __init__(self, version3: bool) -> None:
        self.found: dict[str, Json] = {}
        self._version3 = version3
        self._prefix = "#/components/schemas/" if version3 else "#/definitions/"
        self._described: dict[str, descriptions.Described] = {}

    def reference(self, type_name: str) -> Json:
        """A reference to a type, which is collected with everything below it."""
        name = model_name(type_name)
        if name not in self.found:
            self.found[name] = {}
            self.found[name] = self._schema(type_name)
        return {"$ref": self._prefix + name}

    def custom(self, resource: Resource) -> Json:
        """A reference to a custom resource's type, which is its definition's schema."""
        assert resource.custom is not None
        name = custom_name(resource)
        if name not in self.found:
            kind = {"group": resource.group, "kind": resource.kind, "version": resource.version}
            given = resource.custom.schema
            made: Json = {"type": "object", **given}
            made["properties"] = {
                **_HEAD,
                "metadata": self.reference("meta/v1.ObjectMeta"),
                **{k: v for k, v in (given.get("properties") or {}).items()
                   if k not in ("apiVersion", "kind", "metadata")},
            }  # fmt: skip
            self.found[name] = {**made, "x-kubernetes-group-version-kind": [kind]}
            self.found[f"{name}List"] = {
                "type": "object",
                "description": f"{resource.kind}List is a list of {resource.kind}",
                "required": ["items"],
                "properties": {
                    **_HEAD,
                    "metadata": self.reference("meta/v1.ListMeta"),
                    "items": {"type": "array", "items": {"$ref": self._prefix + name}},
                },
                "x-kubernetes-group-version-kind": [{**kind, "kind": f"{resource.kind}List"}],
            }
        return {"$ref": self._prefix + name}

    def mark(self, type_name: str, kinds: Iterable[Json]) -> None:
        """Say of which kinds a type is."""
        self.reference(type_name)
        self.found[model_name(type_name)]["x-kubernetes-group-version-kind"] = list(kinds)

    def _schema(self, type_name: str) -> Json:
        made = tables.type_of(type_name)
        package, _, short = type_name.rpartition(".")
        if package not in self._described:
            self._described[package] = descriptions.of_package(package)
        about, fields = self._described[package].get(short, ("", {}))
        schema: Json = {"description": about} if about else {}
        if made.wrapper:
            return {**schema, **self._shaped("[]", "string")}
        schema["type"] = "object"
        if made.fields:
            schema["properties"] = {
                field.name: self._field(field, fields.get(field.name, ""))
                for field in sorted(made.fields.values(), key=lambda field: field.name)
            }
        required = sorted(made.required)
        if required:
            schema["required"] = required
        if made.atomic:
            schema["x-kubernetes-map-type"] = "atomic"
        return schema

    def _field(self, field: tables.Field, about: str) -> Json:
        schema = self._shaped(field.shape, field.base)
        extra: Json = {"description": about} if about else {}
        if field.default is not None:
            extra["default"] = field.default
        if field.list_type:
            extra["x-kubernetes-list-type"] = field.list_type
        if field.keys:
            extra["x-kubernetes-list-map-keys"] = list(field.keys)
        if field.merge_key:
            extra["x-kubernetes-patch-merge-key"] = field.merge_key
        strategies = ["merge"] * field.merge + ["retainKeys"] * field.retain_keys
        if strategies:
            extra["x-kubernetes-patch-strategy"] = ",".join(strategies)
        if field.atomic:
            extra["x-kubernetes-map-type"] = "atomic"
        if "$ref" in schema and extra and self._version3:
            schema = {"allOf": [schema]}
        return {**schema, **extra}

    def _shaped(self, shape: str, base: str) -> Json:
        if shape.startswith("[]"):
            return {"type": "array", "items": self._shaped(shape[2:], base)}
        if shape.startswith("{}"):
            return {"type": "object", "additionalProperties": self._shaped(shape[2:], base)}
        if base in _PLAIN:
            return dict(_PLAIN[base])
        if base in _NAMED:
            name, schema = _NAMED[base]
            self.found.setdefault(name, dict(schema))
            return {"$ref": self._prefix + name}
        values = tables.enum_of(base)
        if values:
            return {"type": "string", "enum": sorted(values)}
        return self.reference(base)

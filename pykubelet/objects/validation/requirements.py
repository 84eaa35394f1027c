"""Resource requirements: which resources a container may ask for, and requests within limits."""

from __future__ import annotations

from pykubelet.objects import fields, names, quantity
from pykubelet.objects.fields import Path
from pykubelet.objects.validation.rules import NOT_NEGATIVE, Errors, Json, named

_STANDARD = ("cpu", "memory", "ephemeral-storage")
_HUGE = "hugepages-"
_INTEGER = "must be an integer"


def requirements(given: Json | None, path: Path, whole_pod: bool = False) -> Errors:
    """A container's `resources`, or with `whole_pod` those of a pod (KEP-2837)."""
    limits = (given or {}).get("limits") or {}
    requests = (given or {}).get("requests") or {}
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, value in amounts.items():
            at = (*path, kind, f"[{name}]")
            if whole_pod and name not in ("cpu", "memory") and not name.startswith(_HUGE):
                yield fields.not_supported(at, name, ("cpu", "hugepages-", "memory"))
                continue
            yield from resource_name(name, at)
            yield from amount(name, value, at)
    for name, value in limits.items():
        if name in requests:
            yield from _within(name, requests[name], value, (*path, "requests"))
        elif not _overcommits(name):
            continue  # a limit alone is the request
    for name in requests:
        if name not in limits and not _overcommits(name):
            yield fields.required(
                (*path, "limits"), "Limit must be set for non overcommitable resources"
            )
    asked = {*limits, *requests}
    if any(name.startswith(_HUGE) for name in asked) and not asked & {"cpu", "memory"}:
        yield fields.forbidden(path, "HugePages require cpu or memory")


def resource_name(name: str, path: Path) -> Errors:
    """A resource that a container can have: a standard one, or one with a domain."""
    yield from named(name, path, names.qualified)
    if "/" not in name and name not in _STANDARD and not name.startswith(_HUGE):
        yield fields.invalid(path, name, "must be a standard resource for containers")


def amount(name: str, value: object, path: Path) -> Errors:
    number = quantity.parse(value)
    if number < 0:
        yield fields.invalid(path, str(value), NOT_NEGATIVE)
    if ("/" in name or name.startswith(_HUGE)) and number.denominator != 1:
        yield fields.invalid(path, str(value), _INTEGER)


def _within(name: str, request: object, limit: object, path: Path) -> Errors:
    order = quantity.compare(request, limit)
    bound = f"{name} limit of {quantity.canonical(limit)}"
    if not _overcommits(name) and order:
        yield fields.invalid(path, quantity.canonical(request), f"must be equal to {bound}")
    elif order > 0:
        yield fields.invalid(
            path, quantity.canonical(request), f"must be less than or equal to {bound}"
        )


def _overcommits(name: str) -> bool:
    """Whether requests may be below limits: native resources but huge pages."""
    native = "/" not in name or "kubernetes.io/" in name
    return native and not name.startswith(_HUGE)

"""The small rules that every subject needs: names, choices, ranges, paths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pykubelet.objects import fields, names
from pykubelet.objects.fields import FieldError, Path

Json = dict[str, Any]
Errors = Iterator[FieldError]

INT32_MAX = 2**31 - 1
NOT_NEGATIVE = "must be greater than or equal to 0"
POSITIVE = "must be greater than 0"


def named(value: str, path: Path, rule: names.Rule) -> Errors:
    """The complaints of a naming rule."""
    for said in rule(value):
        yield fields.invalid(path, value, said)


def required_name(owner: Json, key: str, path: Path, rule: names.Rule, detail: str = "") -> Errors:
    """A field that must be there, and follow a naming rule."""
    if not owner.get(key):
        yield fields.required((*path, key), detail)
    else:
        yield from named(owner[key], (*path, key), rule)


def optional_name(owner: Json, key: str, path: Path, rule: names.Rule) -> Errors:
    if owner.get(key):
        yield from named(owner[key], (*path, key), rule)


def present(owner: Json, keys: Iterable[str], path: Path) -> Errors:
    """Fields that must not be empty."""
    for key in keys:
        if not owner.get(key):
            yield fields.required((*path, key))


def chosen(owner: Json, key: str, choices: Iterable[str], path: Path, empty: bool = True) -> Errors:
    """One of the values that there are. With `empty` false it must be given, too."""
    value = owner.get(key)
    if not value:
        if not empty:
            yield fields.required((*path, key))
    elif value not in choices:
        yield fields.not_supported((*path, key), value, choices)


def between(owner: Json, key: str, low: int, high: int, path: Path) -> Errors:
    value = owner.get(key)
    if value is not None and not low <= value <= high:
        yield fields.invalid((*path, key), value, f"must be between {low} and {high}, inclusive")


def not_negative(owner: Json, keys: Iterable[str], path: Path) -> Errors:
    for key in keys:
        if (owner.get(key) or 0) < 0:
            yield fields.invalid((*path, key), owner[key], NOT_NEGATIVE)


def positive(owner: Json, key: str, path: Path) -> Errors:
    value = owner.get(key)
    if value is not None and value <= 0:
        yield fields.invalid((*path, key), value, POSITIVE)


def port_number(value: int, path: Path) -> Errors:
    if not 1 <= value <= 65535:
        yield fields.invalid(path, value, "must be between 1 and 65535, inclusive")


def port_number_or_name(value: Any, path: Path) -> Errors:
    if isinstance(value, str):
        yield from named(value, path, names.port_name)
    else:
        yield from port_number(value or 0, path)


def relative_path(value: str, path: Path) -> Errors:
    """A path that stays below where it starts."""
    if value.startswith("/"):
        yield fields.invalid(path, value, "must be a relative path")
    yield from no_backsteps(value, path)


def no_backsteps(value: str, path: Path) -> Errors:
    if ".." in value.split("/"):
        yield fields.invalid(path, value, "must not contain '..'")


def domain_prefixed(value: str, path: Path) -> Errors:
    """`example.com/controller`."""
    domain, slash, rest = value.partition("/")
    if not slash or not domain or not rest:
        yield fields.invalid(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')
        return
    yield from named(domain, path, names.dns_subdomain)


def unique(items: Iterable[Json], key: str, path: Path) -> Errors:
    """The items of a list tell themselves apart by this field."""
    seen: set[Any] = set()
    for index, item in enumerate(items):
        value = item.get(key)
        if value and value in seen:
            yield fields.duplicate((*path, index, key), value)
        seen.add(value)


def exactly_one(
    owner: Json, choices: Iterable[str], path: Path, kind: str, missing: str
) -> Iterator[str | FieldError]:
    """The one of `choices` that is given (as text); errors for none or more than one."""
    given = [choice for choice in choices if choice in owner]
    if not given:
        yield fields.required(path, missing)
        return
    yield given[0]
    for choice in given[1:]:
        yield fields.forbidden((*path, choice), f"may not specify more than 1 {kind}")

"""Which items a request means: label and field selectors, as one predicate."""

from __future__ import annotations

from collections.abc import Callable

from pykubelet.apiserver import status
from pykubelet.apiserver.cache.items import Item
from pykubelet.apiserver.calls import Call
from pykubelet.errors import Invalid
from pykubelet.objects import selectors

Predicate = Callable[[Item], bool]


def everything(_: Item) -> bool:
    return True


def of(call: Call) -> Predicate:
    """The predicate of a list or watch. `everything` itself where nothing is asked."""
    namespace = call.route.namespace if call.resource.namespaced else ""
    name = call.route.name
    labels = _labels(call.option("labelSelector"))
    fields = _fields(call)
    if not labels and not fields and not namespace and not name:
        return everything
    inside = f"{namespace}/" if namespace else ""

    def selected(item: Item) -> bool:
        if inside and not item.key.startswith(inside):
            return False
        if name and item.name != name:
            return False
        if labels and not selectors.matches(labels, item.labels):
            return False
        return all((_value(item, key) == value) is equal for key, equal, value in fields)

    return selected


def single_name(call: Call) -> str:
    """The one name that a field selector asks for, if it does."""
    if not call.option("fieldSelector"):
        return ""
    for key, equal, value in _fields(call):
        if key == "metadata.name" and equal:
            return value
    return ""


def _labels(text: str) -> selectors.Selector:
    try:
        return selectors.parse_labels(text) if text else ()
    except Invalid as error:
        raise status.bad_request(str(error)) from None


def _fields(call: Call) -> tuple[tuple[str, bool, str], ...]:
    text = call.option("fieldSelector")
    if not text:
        return ()
    try:
        fields = selectors.parse_fields(text)
    except Invalid as error:
        raise status.bad_request(str(error)) from None
    known = {"metadata.name", "metadata.namespace", *call.strategy.selectable}
    if not call.resource.namespaced:
        known.discard("metadata.namespace")
    for key, _, _ in fields:
        if key not in known:
            raise status.bad_request(f"field label not supported: {key}")
    return fields


def _value(item: Item, key: str) -> str:
    if key == "metadata.name":
        return item.name
    if key == "metadata.namespace":
        return item.namespace
    return item.fields.get(key, "")

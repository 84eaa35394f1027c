"""What a pod says about where it may run: tolerations, affinity, spreading."""

from __future__ import annotations

from pykubelet.objects import fields, names
from pykubelet.objects.fields import Path
from pykubelet.objects.validation.meta import (
    SET_OPERATORS,
    label_key,
    label_selector,
    labels,
    set_values,
)
from pykubelet.objects.validation.rules import Errors, Json, chosen, named, positive

EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def tolerations(given: list[Json], path: Path) -> Errors:
    for index, one in enumerate(given):
        at = (*path, index)
        key, operator, value = one.get("key"), one.get("operator") or "", one.get("value") or ""
        if key:
            yield from label_key(key, (*at, "key"))
        elif operator != "Exists":
            yield fields.invalid(
                (*at, "operator"),
                operator,
                'operator must be Exists when `key` is empty, which means "match all values and '
                'all keys"',
            )
        if one.get("tolerationSeconds") is not None and one.get("effect") != "NoExecute":
            yield fields.invalid(
                (*at, "effect"),
                one.get("effect") or "",
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            )
        if operator in ("", "Equal"):
            complaints = names.label_value(value)
            if complaints:
                yield fields.invalid((*at, "operator"), value, ";".join(complaints))
        elif operator == "Exists":
            if value:
                yield fields.invalid(
                    (*at, "operator"), one, "value must be empty when `operator` is 'Exists'"
                )
        else:
            yield fields.not_supported((*at, "operator"), operator, ("Equal", "Exists"))
        yield from chosen(one, "effect", EFFECTS, at)


def affinity(given: Json, path: Path) -> Errors:
    node = given.get("nodeAffinity") or {}
    at = (*path, "nodeAffinity")
    if _REQUIRED in node:
        yield from node_selector(node[_REQUIRED], (*at, _REQUIRED))
    for index, one in enumerate(node.get(_PREFERRED) or ()):
        here = (*at, _PREFERRED, index)
        yield from _weight(one, here)
        yield from node_term(one.get("preference") or {}, (*here, "preference"))
    for kind in ("podAffinity", "podAntiAffinity"):
        pods = given.get(kind) or {}
        for index, term in enumerate(pods.get(_REQUIRED) or ()):
            yield from _pod_term(term, (*path, kind, _REQUIRED, index))
        for index, one in enumerate(pods.get(_PREFERRED) or ()):
            here = (*path, kind, _PREFERRED, index)
            yield from _weight(one, here)
            yield from _pod_term(one.get("podAffinityTerm") or {}, (*here, "podAffinityTerm"))


def node_selector(given: Json, path: Path) -> Errors:
    terms = given.get("nodeSelectorTerms") or ()
    if not terms:
        yield fields.required(
            (*path, "nodeSelectorTerms"), "must have at least one node selector term"
        )
    for index, term in enumerate(terms):
        yield from node_term(term, (*path, "nodeSelectorTerms", index))


def node_term(term: Json, path: Path) -> Errors:
    for index, one in enumerate(term.get("matchExpressions") or ()):
        at = (*path, "matchExpressions", index)
        operator, values = one.get("operator"), one.get("values") or ()
        if operator in SET_OPERATORS:
            yield from set_values(operator, values, at)
        elif operator in ("Gt", "Lt"):
            if len(values) != 1:
                yield fields.required(
                    (*at, "values"),
                    "must be specified single value when `operator` is 'Lt' or 'Gt'",
                )
        else:
            yield fields.invalid((*at, "operator"), operator or "", "not a valid selector operator")
        yield from label_key(one.get("key") or "", (*at, "key"))
        for number, value in enumerate(values):
            yield from named(value, (*at, "values", number), names.label_value)
    for index, one in enumerate(term.get("matchFields") or ()):
        at = (*path, "matchFields", index)
        if one.get("operator") not in ("In", "NotIn"):
            yield fields.invalid(
                (*at, "operator"), one.get("operator") or "", "not a valid selector operator"
            )
        elif len(one.get("values") or ()) != 1:
            yield fields.required(
                (*at, "values"),
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
            )
        if one.get("key") != "metadata.name":
            yield fields.invalid(
                (*at, "key"), one.get("key") or "", "not a valid field selector key"
            )


def spread(given: list[Json], path: Path) -> Errors:
    """Topology spread constraints."""
    seen: set[tuple[str, str]] = set()
    for index, one in enumerate(given):
        at = (*path, index)
        if (one.get("maxSkew") or 0) <= 0:
            yield fields.invalid(
                (*at, "maxSkew"), one.get("maxSkew") or 0, "must be greater than zero"
            )
        yield from _topology_key(one, at)
        yield from chosen(
            one, "whenUnsatisfiable", ("DoNotSchedule", "ScheduleAnyway"), at, empty=False
        )
        pair = (one.get("topologyKey") or "", one.get("whenUnsatisfiable") or "")
        if pair in seen:
            yield fields.duplicate(
                (*at, "{topologyKey, whenUnsatisfiable}"), f"{{{pair[0]}, {pair[1]}}}"
            )
        seen.add(pair)
        yield from positive(one, "minDomains", at)
        if "minDomains" in one and one.get("whenUnsatisfiable") != "DoNotSchedule":
            yield fields.invalid(
                (*at, "minDomains"),
                one["minDomains"],
                "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not "
                f"{one.get('whenUnsatisfiable')}",
            )
        for key in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            yield from chosen(one, key, ("Honor", "Ignore"), at)
        yield from label_selector(one.get("labelSelector"), (*at, "labelSelector"))


def node_labels(given: Json | None, path: Path) -> Errors:
    """`nodeSelector`."""
    yield from labels(given, path)


def _weight(one: Json, path: Path) -> Errors:
    if not 1 <= (one.get("weight") or 0) <= 100:
        yield fields.invalid(
            (*path, "weight"), one.get("weight") or 0, "must be in the range 1-100"
        )


def _pod_term(term: Json, path: Path) -> Errors:
    yield from label_selector(term.get("labelSelector"), (*path, "labelSelector"))
    yield from label_selector(term.get("namespaceSelector"), (*path, "namespaceSelector"))
    for name in term.get("namespaces") or ():
        yield from named(name, (*path, "namespace"), names.dns_label)
    yield from _topology_key(term, path)


def _topology_key(owner: Json, path: Path) -> Errors:
    if not owner.get("topologyKey"):
        yield fields.required((*path, "topologyKey"), "can not be empty")
    else:
        yield from label_key(owner["topologyKey"], (*path, "topologyKey"))

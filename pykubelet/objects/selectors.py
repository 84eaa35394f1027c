"""Selectors: which labels, fields and nodes are meant.

Label selectors come as text in a URL (`app=web,tier in (a,b),!old`) and as objects in specs; both
become the same requirements. Field selectors are text only. Node selectors and tolerations are how
pods choose nodes. Sources: "Labels and Selectors", "Field Selectors", "Taints and Tolerations".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pykubelet.errors import Invalid
from pykubelet.objects import names

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Requirement:
    """`operator` is `in`, `notin`, `exists`, `!`, `gt` or `lt`."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        has = self.key in labels
        match self.operator:
            case "exists":
                return has
            case "!":
                return not has
            case "in":
                return has and labels[self.key] in self.values
            case "notin":
                return not has or labels[self.key] not in self.values
        try:
            (bound,) = self.values
            left, right = int(labels[self.key]), int(bound)
        except (KeyError, ValueError):
            return False
        return left > right if self.operator == "gt" else left < right


Selector = tuple[Requirement, ...]
"""All of them must hold; an empty one selects everything."""

_TOKEN = re.compile(r"\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+)")


def matches(selector: Selector, labels: Mapping[str, str] | None) -> bool:
    return all(requirement.matches(labels or {}) for requirement in selector)


def parse_labels(text: str) -> Selector:
    """A label selector as in a URL's `labelSelector`. Raises Invalid."""
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != "".join(text.split()):
        raise _unreadable(text)
    made: list[Requirement] = []
    at = 0

    def take(*wanted: str) -> str:
        nonlocal at
        token = tokens[at] if at < len(tokens) else ""
        if wanted and token not in wanted:
            raise Invalid(
                "unable to parse requirement",
                expected=" or ".join(repr(word) for word in wanted),
                found=repr(token or "end of text"),
            )
        at += 1
        return token

    while at < len(tokens):
        if take_not := tokens[at] == "!":
            take("!")
        key = _key(take())
        operator = tokens[at] if at < len(tokens) else ","
        if take_not or operator == ",":
            made.append(Requirement(key, "!" if take_not else "exists"))
        else:
            take()
            made.append(_requirement(key, operator, take, tokens, lambda: at))
        if at < len(tokens):
            take(",")
            if at == len(tokens):
                raise _unreadable(text)
    return tuple(sorted(made, key=lambda requirement: requirement.key))


def _requirement(key: str, operator: str, take: Any, tokens: list[str], at: Any) -> Requirement:
    def value() -> str:
        if at() < len(tokens) and tokens[at()] not in (",", ")"):
            return _value(take(), key)
        return ""

    match operator:
        case "=" | "==":
            return Requirement(key, "in", frozenset([value()]))
        case "!=":
            return Requirement(key, "notin", frozenset([value()]))
        case "<" | ">":
            bound = value()
            if not re.fullmatch(r"[-+]?\d+", bound):
                raise Invalid(
                    "unable to parse requirement",
                    expected="for 'Gt', 'Lt' operators, the value must be an integer",
                    found=repr(bound),
                )
            return Requirement(key, "gt" if operator == ">" else "lt", frozenset([bound]))
        case "in" | "notin":
            take("(")
            values = [value()]
            while take(",", ")") == ",":
                values.append(value())
            return Requirement(key, operator, frozenset(values))
    raise Invalid(
        "unable to parse requirement",
        expected="one of: in, notin, =, ==, !=, gt, lt",
        found=repr(operator),
    )


def _key(key: str) -> str:
    complaints = names.qualified(key) if key else ["name part must be non-empty"]
    if complaints:
        raise Invalid(f'key: Invalid value: "{key}": {"; ".join(complaints)}')
    return key


def _value(value: str, key: str) -> str:
    complaints = names.label_value(value)
    if complaints:
        raise Invalid(f'values[0][{key}]: Invalid value: "{value}": {"; ".join(complaints)}')
    return value


def _unreadable(text: str) -> Invalid:
    return Invalid("unable to parse requirement", expected="a label selector", found=repr(text))


_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt",
              "Lt": "lt"}  # fmt: skip
NOTHING: Selector = (Requirement("", "in"),)
"""Selects nothing: what a missing selector object means."""


def from_object(selector: Json | None) -> Selector:
    """A `metav1.LabelSelector`. None selects nothing, an empty one everything."""
    if selector is None:
        return NOTHING
    equal = [
        Requirement(key, "in", frozenset([value]))
        for key, value in (selector.get("matchLabels") or {}).items()
    ]
    return (*equal, *_expressions(selector.get("matchExpressions")))


def from_map(labels: Mapping[str, str] | None) -> Selector:
    """A plain map of labels, as Services and ReplicationControllers have. Empty selects nothing."""
    if not labels:
        return NOTHING
    return tuple(Requirement(key, "in", frozenset([value])) for key, value in labels.items())


def _expressions(written: Iterable[Json] | None) -> list[Requirement]:
    return [
        Requirement(one["key"], _OPERATORS[one["operator"]], frozenset(one.get("values") or ()))
        for one in written or ()
    ]


# -- fields --------------------------------------------------------------------------------------


def parse_fields(text: str) -> tuple[tuple[str, bool, str], ...]:
    """A field selector as in a URL's `fieldSelector`: (field, equal?, value) triples.

    `=` and `==` are the same; a backslash escapes `,`, `=` and itself in a value. Raises Invalid.
    """
    made = []
    for term in re.findall(r"(?:[^,\\]|\\.)+", text):
        match = re.match(r"([^=!\\]*)(!=|==|=)(.*)", term, re.S)
        if not match:
            raise Invalid(
                "invalid selector", expected="<field>=<value> or <field>!=<value>", found=repr(term)
            )
        field, operator, value = match.groups()
        made.append((field.strip(), operator != "!=", re.sub(r"\\([\\,=])", r"\1", value)))
    return tuple(made)


# -- nodes ---------------------------------------------------------------------------------------


def node_selector_matches(selector: Json, labels: Mapping[str, str], name: str) -> bool:
    """Whether a node satisfies a `v1.NodeSelector`: any of its terms."""
    return any(
        node_term_matches(term, labels, name) for term in selector.get("nodeSelectorTerms") or ()
    )


def node_term_matches(term: Json, labels: Mapping[str, str], name: str) -> bool:
    """Whether a node satisfies all of a `v1.NodeSelectorTerm`; an empty one matches nothing."""
    expressions = _expressions(term.get("matchExpressions"))
    fields = _expressions(term.get("matchFields"))
    if not expressions and not fields:
        return False
    return matches(tuple(expressions), labels) and matches(tuple(fields), {"metadata.name": name})


def tolerates(toleration: Json, taint: Json) -> bool:
    """Whether one toleration tolerates one taint."""
    key = toleration.get("key") or ""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if key and key != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    wanted, found = toleration.get("value") or "", taint.get("value") or ""
    match operator:
        case "Exists":
            return True
        case "Equal":
            return bool(key) and wanted == found
    try:
        return int(found) > int(wanted) if operator == "Gt" else int(found) < int(wanted)
    except ValueError:
        return False


def tolerated(taint: Json, tolerations: Iterable[Json]) -> bool:
    """Whether any of the tolerations tolerates the taint."""
    return any(tolerates(one, taint) for one in tolerations)

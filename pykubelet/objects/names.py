"""What may be called what: names of objects, labels, ports, variables.

Each function gives the complaints about a name, in upstream's words, and nothing for a good one.
Sources: RFC 1123 and 1035, the API conventions, "Object Names and IDs" of the documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Complaints = list[str]
Rule = Callable[[str], Complaints]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_HEADER = "[-A-Za-z0-9]+"
_WILDCARD = rf"\*\.{_SUBDOMAIN}"

_ALPHANUMERIC_ENDS = "and must start and end with an alphanumeric character"


def _explained(message: str, regex: str, *examples: str) -> str:
    shown = " or ".join(f"'{example}', " for example in examples)
    if not shown:
        return f"{message} (regex used for validation is '{regex}')"
    return f"{message} (e.g. {shown}regex used for validation is '{regex}')"


_LABEL_SAYS = _explained(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    + _ALPHANUMERIC_ENDS,
    _LABEL,
    "my-name",
    "123-abc",
)
_SUBDOMAIN_SAYS = _explained(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', " + _ALPHANUMERIC_ENDS,
    _SUBDOMAIN,
    "example.com",
)
_LABEL_1035_SAYS = _explained(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character",
    _LABEL_1035,
    "my-name",
    "abc-123",
)
_QUALIFIED_SAYS = _explained(
    "name part must consist of alphanumeric characters, '-', '_' or '.', " + _ALPHANUMERIC_ENDS,
    _QUALIFIED,
    "MyName",
    "my.name",
    "123-abc",
)
_VALUE_SAYS = _explained(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', " + _ALPHANUMERIC_ENDS,
    f"({_QUALIFIED})?",
    "MyValue",
    "my_value",
    "12345",
)
_CONFIG_KEY_SAYS = _explained(
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
    _CONFIG_KEY,
    "key.name",
    "KEY_NAME",
    "key-name",
)
_HEADER_SAYS = _explained(
    "a valid HTTP header must consist of alphanumeric characters or '-'",
    _HEADER,
    "X-Header-Name",
)
_WILDCARD_SAYS = _explained(
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which "
    "must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric "
    "character",
    _WILDCARD,
    "*.example.com",
)
_ENV_SAYS = (
    "a valid environment variable name must consist only of printable ASCII characters other "
    "than '='"
)


def _too_long(name: str, most: int, unit: str = "bytes") -> Complaints:
    return [f"must be no more than {most} {unit}"] if len(name.encode()) > most else []


def _matching(name: str, regex: str, says: str) -> Complaints:
    return [] if re.fullmatch(regex, name) else [says]


def dns_label(name: str) -> Complaints:
    """RFC 1123, one part: containers, volumes, namespaces."""
    return _too_long(name, 63) + _matching(name, _LABEL, _LABEL_SAYS)


def dns_subdomain(name: str) -> Complaints:
    """RFC 1123, parts with dots: pods, nodes and most other objects."""
    return _too_long(name, 253) + _matching(name, _SUBDOMAIN, _SUBDOMAIN_SAYS)


def dns_label_1035(name: str) -> Complaints:
    """RFC 1035: a label that starts with a letter."""
    return _too_long(name, 63, "characters") + _matching(name, _LABEL_1035, _LABEL_1035_SAYS)


def wildcard_subdomain(name: str) -> Complaints:
    """`*.example.com`, as Ingress hosts may be."""
    return _too_long(name, 253, "characters") + _matching(name, _WILDCARD, _WILDCARD_SAYS)


def path_segment(name: str) -> Complaints:
    """Anything that can stand in a URL's path: RBAC objects."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{bad}'" for bad in ("/", "%") if bad in name]


def qualified(name: str) -> Complaints:
    """The key of a label or (lower-cased) annotation, a resource: `name`, `example.com/name`."""
    prefix, slash, short = name.partition("/")
    if not slash:
        prefix, short = "", prefix
    if "/" in short:
        return [
            "a qualified name "
            + _explained(
                "must consist of alphanumeric characters, '-', '_' or '.', " + _ALPHANUMERIC_ENDS,
                _QUALIFIED,
                "MyName",
                "my.name",
                "123-abc",
            )
            + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    found: Complaints = []
    if slash:
        if not prefix:
            found.append("prefix part must be non-empty")
        else:
            found += [f"prefix part {said}" for said in dns_subdomain(prefix)]
    if not short:
        found.append("name part must be non-empty")
    found += [f"name part {said}" for said in _too_long(short, 63)]
    return found + _matching(short, _QUALIFIED, _QUALIFIED_SAYS)


def label_value(value: str) -> Complaints:
    return _too_long(value, 63) + _matching(value, f"({_QUALIFIED})?", _VALUE_SAYS)


def config_key(key: str) -> Complaints:
    """A key of a ConfigMap or Secret: also a file's name."""
    found = _too_long(key, 253, "characters") + _matching(key, _CONFIG_KEY, _CONFIG_KEY_SAYS)
    return found + _no_dots(key)


def env_name(name: str) -> Complaints:
    """An environment variable's name: since v1.34 anything printable but `=`."""
    return _matching(name, r"[ -<>-~]+", _ENV_SAYS)


def http_header(name: str) -> Complaints:
    return _matching(name, _HEADER, _HEADER_SAYS)


def port_name(name: str) -> Complaints:
    """A port's name (IANA service name, RFC 6335)."""
    found = [] if len(name) <= 15 else ["must be no more than 15 characters"]
    if not re.fullmatch("[-a-z0-9]+", name):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", name):
        found.append("must contain at least one letter (a-z)")
    if "--" in name:
        found.append("must not contain consecutive hyphens")
    if name and (name[0] == "-" or name[-1] == "-"):
        found.append("must not begin or end with a hyphen")
    return found


def _no_dots(name: str) -> Complaints:
    if name == ".":
        return ["must not be '.'"]
    if name == "..":
        return ["must not be '..'"]
    return ["must not start with '..'"] if name.startswith("..") else []

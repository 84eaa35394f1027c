"""Image references: `registry/path:tag@digest`, and what is meant where parts are left out.

The grammar is that of the Docker distribution project, which all registries and runtimes share. A
first part without a dot, a colon or a capital letter is no registry (save `localhost`) but a path
on Docker Hub, whose official images are below `library/`. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pykubelet.errors import Invalid

_HUB, _HUB_ALIAS, _OFFICIAL = "docker.io", "index.docker.io", "library"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?"
    r"(?:@(?P<digest>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}))?",
    re.ASCII,
)
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class Reference:
    """`name` with registry and full path; `tag` and `digest` as far as they were given."""

    name: str
    tag: str = ""
    digest: str = ""

    @property
    def registry(self) -> str:
        return self.name.partition("/")[0]


def parse(text: str) -> Reference:
    """Raises `Invalid` for what no runtime would take."""
    match = _REFERENCE.fullmatch(text)
    if not match or _IDENTIFIER.fullmatch(text):
        raise Invalid(
            f"couldn't parse image name {text!r}",
            expected="[registry/]path[:tag][@digest], the path in lower case",
        )
    name = _full_name(match["name"])
    if len(name) > _LONGEST_NAME:
        raise Invalid(f"image name {text!r} is too long", expected=f"at most {_LONGEST_NAME}")
    return Reference(name, match["tag"] or "", match["digest"] or "")


def with_default_tag(text: str) -> str:
    """As it was written, with `:latest` where neither tag nor digest says which one."""
    reference = parse(text)
    return text if reference.tag or reference.digest else f"{text}:latest"


def default_policy(text: str) -> str:
    """The pull policy of who names none: a moving tag is looked up each time."""
    reference = parse(text)
    moving = not reference.digest and reference.tag in ("", "latest")
    return "Always" if moving else "IfNotPresent"


def _full_name(name: str) -> str:
    first, slash, rest = name.partition("/")
    is_registry = bool(slash) and (
        "." in first or ":" in first or first == "localhost" or first != first.lower()
    )
    registry, path = (first, rest) if is_registry else (_HUB, name)
    if registry == _HUB_ALIAS:
        registry = _HUB
    if registry == _HUB and "/" not in path:
        path = f"{_OFFICIAL}/{path}"
    return f"{registry}/{path}"

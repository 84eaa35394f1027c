"""Where a probe or hook has to knock: host and port out of a handler. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pykubelet.errors import Invalid

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Target:
    """What a handler needs to know of its container. `ip` is the pod's; empty if it has none."""

    container_id: str
    ip: str
    container: Json = field(default_factory=dict)


def host(handler: Json, target: Target) -> str:
    """The handler's own host, else the pod's address. Raises Invalid where there is neither."""
    found = handler.get("host") or target.ip
    if not found:
        raise Invalid("the pod has no address yet")
    return str(found)


def port(value: Any, container: Json) -> int:
    """A port number, given as a number, as digits or by its name among the container's ports.

    Raises Invalid where there is no such port.
    """
    if isinstance(value, str):
        if value.isdecimal():
            value = int(value)
        else:
            named = {p.get("name"): p.get("containerPort") for p in container.get("ports") or ()}
            if value not in named:
                raise Invalid(f"container {container.get('name', '')} has no port named {value}")
            value = named[value]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        raise Invalid("not a port", expected="1 to 65535", found=str(value))
    return value


def bracketed(name: str) -> str:
    """A host as it stands in a URL: IPv6 addresses in brackets."""
    return f"[{name}]" if ":" in name and not name.startswith("[") else name

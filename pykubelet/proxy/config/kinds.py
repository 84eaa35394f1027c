"""Kinds of values in a configuration file: each reads what stands there, or says what it wants."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any


class Refused(Exception):
    """`expected` in words."""

    def __init__(self, expected: str) -> None:
        self.expected = expected
        super().__init__(expected)


Kind = Callable[[Any], Any]

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Refused("true or false")
    return value


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused("text")
    return value


def integer(low: int, high: int) -> Kind:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Refused(f"a whole number from {low} to {high}")
        return value

    return read


def choice(*choices: str) -> Kind:
    """In any case of letters, as upstream takes them."""
    known = {one.lower(): one for one in choices}

    def read(value: Any) -> str:
        if not isinstance(value, str) or value.lower() not in known:
            raise Refused(" or ".join(one or '""' for one in choices))
        return known[value.lower()]

    return read


def duration(value: Any) -> float:
    """Go's notation (`1m30s`); seconds."""
    if isinstance(value, str):
        if value == "0":
            return 0.0
        parts = _PART.findall(value)
        if parts and "".join(a + b for a, b in parts) == value:
            return float(sum(float(number) * _UNITS[unit] for number, unit in parts))
    raise Refused("a duration such as 30s or 1m30s")


def endpoint(value: Any) -> tuple[str, int] | None:
    """`address:port` as a pair; None for "", which means not to listen."""
    if value == "":
        return None
    if isinstance(value, str):
        host, colon, port = value.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if colon and port.isdecimal() and int(port) <= 65535 and _is_address(host):
            return host, int(port)
    raise Refused('address:port, or "" not to listen')


def networks(value: Any) -> tuple[str, ...]:
    """A list of them, or one text with commas between them."""
    found = value.split(",") if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not all(isinstance(one, str) for one in found):
        raise Refused("networks in CIDR notation")
    cleaned = tuple(one.strip() for one in found if one.strip())
    for one in cleaned:
        try:
            ipaddress.ip_network(one, strict=False)
        except ValueError:
            raise Refused("networks in CIDR notation, such as 10.244.0.0/16") from None
    return cleaned


def node_port_addresses(value: Any) -> tuple[str, ...]:
    if value in (["primary"], "primary"):
        return ("primary",)
    try:
        return networks(value)
    except Refused:
        raise Refused("a list of networks, or primary alone") from None


def anything(value: Any) -> Any:
    return value


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

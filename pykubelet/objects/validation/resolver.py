"""A pod's names on the network: DNS configuration, host aliases, host name."""

from __future__ import annotations

import ipaddress

from pykubelet.objects import fields, names
from pykubelet.objects.fields import Path
from pykubelet.objects.validation.rules import Errors, Json, chosen, named, optional_name

_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_MOST_NAMESERVERS, _MOST_SEARCHES, _MOST_SEARCH_CHARACTERS = 3, 32, 2048


def names_of_pod(spec: Json, path: Path) -> Errors:
    yield from chosen(spec, "dnsPolicy", _POLICIES, path, empty=False)
    yield from _dns_config(spec, (*path, "dnsConfig"))
    for key in ("hostname", "subdomain"):
        yield from optional_name(spec, key, path, names.dns_label)
    for alias in spec.get("hostAliases") or ():
        at = (*path, "hostAliases")
        yield from address(alias.get("ip") or "", (*at, "ip"))
        for name in alias.get("hostnames") or ():
            yield from named(name, (*at, "hostnames"), names.dns_subdomain)


def address(value: str, path: Path) -> Errors:
    """An IP address, v4 or v6."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        yield fields.invalid(
            path, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        )


def _dns_config(spec: Json, path: Path) -> Errors:
    config = spec.get("dnsConfig")
    if spec.get("dnsPolicy") == "None":
        if config is None:
            yield fields.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not config.get("nameservers"):
            yield fields.required(
                (*path, "nameservers"),
                "must provide at least one DNS nameserver when `dnsPolicy` is None",
            )
            return
    config = config or {}
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > _MOST_NAMESERVERS:
        yield fields.invalid(
            (*path, "nameservers"),
            servers,
            f"must not have more than {_MOST_NAMESERVERS} nameservers",
        )
    for index, server in enumerate(servers):
        yield from address(server, (*path, "nameservers", index))
    if len(searches) > _MOST_SEARCHES:
        yield fields.invalid(
            (*path, "searches"),
            searches,
            f"must not have more than {_MOST_SEARCHES} search paths",
        )
    if len(" ".join(searches)) > _MOST_SEARCH_CHARACTERS:
        yield fields.invalid(
            (*path, "searches"),
            searches,
            f"must not have more than {_MOST_SEARCH_CHARACTERS} characters (including spaces) in "
            "the search list",
        )
    for index, search in enumerate(searches):
        if search != ".":
            bare = "".join(search.removesuffix(".").split("_"))
            yield from named(bare, (*path, "searches", index), names.dns_subdomain)
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            yield fields.required((*path, "options", index), "must not be empty")

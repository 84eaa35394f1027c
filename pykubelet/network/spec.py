"""The CNI specification's words: versions, error codes, the environment, results.

Source: https://www.cni.dev/docs/spec/ (0.3.0 to 1.1.0). Pure. `config` reads the network
configuration, `operations` does the work.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pykubelet.errors import PykubeletError

Json = dict[str, Any]

VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
COMMANDS = ("ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION")

INCOMPATIBLE_VERSION = 1
UNSUPPORTED_FIELD = 2
UNKNOWN_CONTAINER = 3
INVALID_ENVIRONMENT = 4
IO_FAILURE = 5
DECODING_FAILURE = 6
INVALID_CONFIG = 7
INVALID_NAMESPACE = 8
TRY_AGAIN_LATER = 11
NOT_AVAILABLE = 50
# From 100 up the codes are the plugin's own.
NO_FREE_ADDRESS = 100
CHECK_FAILED = 101
NETWORK_FAILURE = 102

_SINCE = {"CHECK": (0, 4, 0), "GC": (1, 1, 0), "STATUS": (1, 1, 0)}
_NEEDS = {
    "ADD": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
    "DEL": ("CNI_CONTAINERID", "CNI_IFNAME"),
    "CHECK": ("CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"),
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]*\Z")
_BAD_INTERFACE = re.compile(r"[/:\s]")


class CniError(PykubeletError):
    """An answer of the kind that the specification calls an error result."""

    def __init__(self, code: int, message: str, details: str = "") -> None:
        self.code = code
        self.message = message
        self.details = details
        super().__init__(f"{message}: {details}" if details else message)

    def to_json(self, version: str) -> Json:
        body: Json = {"cniVersion": version, "code": self.code, "msg": self.message}
        if self.details:
            body["details"] = self.details
        return body


@dataclass(frozen=True)
class Invocation:
    """What the runtime put into the environment."""

    command: str
    container: str = ""
    namespace: str = ""
    interface: str = ""
    args: tuple[tuple[str, str], ...] = ()


def read_environment(environment: Mapping[str, str]) -> Invocation:
    """Raises CniError (code 4) naming each variable that is missing or malformed."""
    command = environment.get("CNI_COMMAND", "")
    if command not in COMMANDS:
        raise _bad_environment(f"CNI_COMMAND is {command!r}, expected one of {', '.join(COMMANDS)}")
    missing = [name for name in _NEEDS.get(command, ()) if not environment.get(name)]
    if missing:
        raise _bad_environment(f"{', '.join(missing)} must be set for {command}")
    container = environment.get("CNI_CONTAINERID", "")
    interface = environment.get("CNI_IFNAME", "")
    if command in _NEEDS:
        if not _NAME.match(container):
            raise _bad_environment(f"CNI_CONTAINERID is malformed: {container!r}")
        if len(interface) > 15 or interface in (".", "..") or _BAD_INTERFACE.search(interface):
            raise _bad_environment(f"CNI_IFNAME is no interface name: {interface!r}")
    return Invocation(
        command,
        container,
        environment.get("CNI_NETNS", ""),
        interface,
        tuple(_read_args(environment.get("CNI_ARGS", ""))),
    )


def _read_args(text: str) -> list[tuple[str, str]]:
    pairs = []
    for part in filter(None, text.split(";")):
        name, equals, value = part.partition("=")
        if not equals:
            raise _bad_environment(f"CNI_ARGS: {part!r} is not NAME=VALUE")
        pairs.append((name, value))
    return pairs


def _bad_environment(details: str) -> CniError:
    return CniError(INVALID_ENVIRONMENT, "invalid environment", details)


def is_name(text: str) -> bool:
    """Whether it may be a network's name."""
    return bool(_NAME.match(text))


def check_version(version: str, command: str) -> None:
    """Raises CniError (code 1) for a version that we don't speak or that lacks the command."""
    if version not in VERSIONS:
        raise CniError(
            INCOMPATIBLE_VERSION,
            "incompatible CNI version",
            f"cniVersion is {version!r}, supported are {', '.join(VERSIONS)}",
        )
    since = _SINCE.get(command)
    if since and tuple(map(int, version.split("."))) < since:
        needed = ".".join(map(str, since))
        raise CniError(
            INCOMPATIBLE_VERSION,
            "incompatible CNI version",
            f"{command} needs cniVersion {needed} or later, found {version}",
        )


def version_result(version: str) -> Json:
    return {"cniVersion": version or VERSIONS[-1], "supportedVersions": list(VERSIONS)}


# -- results ------------------------------------------------------------------------------------


def render_result(result: Json, version: str) -> Json:
    """A result written in the newest shape, as `version` wants it: before 1.0.0 each address
    names its family, before 1.1.0 interfaces and routes carry fewer fields."""
    numbers = tuple(map(int, version.split(".")))
    shown = {**result, "cniVersion": version}
    if numbers < (1, 0, 0):
        shown["ips"] = [
            {"version": "6" if ":" in ip["address"] else "4", **ip} for ip in result.get("ips", [])
        ]
    if numbers < (1, 1, 0):
        shown["interfaces"] = [
            _only(i, ("name", "mac", "sandbox")) for i in result.get("interfaces", [])
        ]
        shown["routes"] = [_only(r, ("dst", "gw")) for r in result.get("routes", [])]
    return {k: v for k, v in shown.items() if v or k == "cniVersion"}


def _only(item: Json, names: tuple[str, ...]) -> Json:
    return {name: item[name] for name in names if name in item}


def read_json(data: bytes) -> Json:
    """Raises CniError (code 6)."""
    try:
        value = json.loads(data)
    except ValueError as error:
        raise CniError(DECODING_FAILURE, "network configuration is not JSON", str(error)) from None
    if not isinstance(value, dict):
        raise CniError(DECODING_FAILURE, "network configuration is not a JSON object")
    return value

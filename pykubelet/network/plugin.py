"""One call of the plugin, from the runtime's words to the answer's bytes, wherever it runs: in the
resident agent (`server`), or in a process of its own when the agent is down (`cni`)."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pykubelet.errors import Failed, NotFound
from pykubelet.network import links, namespaces, spec
from pykubelet.network.config import read_config
from pykubelet.network.leases import LeaseStore
from pykubelet.network.operations import Operations
from pykubelet.network.spec import CniError, Invocation, Json

log = logging.getLogger(__name__)

DEFAULT_STATE = "/var/lib/kubelet/cni"  # below the default of `pykubelet run --root-dir`
DEFAULT_SOCKET = "/run/pykubelet/cni.sock"


@dataclass(frozen=True)
class Answer:
    """What the executable prints and exits with."""

    code: int
    output: bytes


class Plugin:
    """Thread-safe. The state folder is opened when first needed."""

    def __init__(
        self, state_dir: str | Path = "", on_exhausted: Callable[[], object] | None = None
    ) -> None:
        self._state_dir = str(state_dir)
        self._on_exhausted = on_exhausted
        self._operations: Operations | None = None

    def operations(self, configured: str = "") -> Operations:
        """`configured`: the state folder that a network configuration names. Raises CniError where
        that isn't ours: two folders would mean two owners of one address range."""
        mine = self._state_dir or configured or DEFAULT_STATE
        if configured and os.path.realpath(configured) != os.path.realpath(mine):
            raise CniError(
                spec.INVALID_CONFIG,
                "invalid network configuration",
                f"stateDir is {configured}, the agent keeps its state in {mine}",
            )
        if self._operations is None:
            self._state_dir = mine
            self._operations = Operations(LeaseStore(mine), self._on_exhausted)
        return self._operations

    def answer(
        self, environment: Mapping[str, str], stdin: bytes, namespace: int | None = None
    ) -> Answer:
        """`namespace`: a descriptor of CNI_NETNS that the caller opened, whose view of the file
        system may be another. Never raises."""
        version = spec.VERSIONS[-1]
        try:
            call = spec.read_environment(environment)
            raw = spec.read_json(stdin) if stdin.strip() or call.command != "VERSION" else {}
            asked = raw.get("cniVersion")
            version = asked if asked in spec.VERSIONS else version
            return _printed(0, self._carry_out(call, raw, namespace))
        except CniError as error:
            return _printed(1, error.to_json(version))
        except NotFound as error:
            failure = CniError(spec.UNKNOWN_CONTAINER, "container is not there", str(error))
        except OSError as error:
            failure = CniError(spec.IO_FAILURE, "I/O failure", str(error))
        except Failed as error:
            failure = CniError(spec.NETWORK_FAILURE, "the network can't be set up", str(error))
        except Exception as error:
            log.exception("CNI call failed")
            failure = CniError(999, "internal error", f"{type(error).__name__}: {error}")
        return _printed(1, failure.to_json(version))

    def _carry_out(self, call: Invocation, raw: Json, namespace: int | None) -> Json | None:
        if call.command == "VERSION":
            return spec.version_result(raw.get("cniVersion", ""))
        if raw.get("type") == "loopback":
            return _loopback(call, raw, namespace)
        config = read_config(raw, call)
        operations = self.operations(config.state_dir)
        if call.command == "ADD":
            with _Namespace(call.namespace, namespace) as descriptor:
                return spec.render_result(operations.add(config, call, descriptor), config.version)
        if call.command == "DEL":
            operations.delete(config.name, call.container, call.interface)
        elif call.command == "CHECK":
            with _Namespace(call.namespace, namespace) as descriptor:
                operations.check(config, call, descriptor)
        elif call.command == "GC":
            operations.collect(config.name, config.valid or frozenset())
        elif call.command == "STATUS":
            operations.status(config)
        return None


def _loopback(call: Invocation, raw: Json, namespace: int | None) -> Json | None:
    """The `loopback` plugin that runtimes ask for by name: `lo` up on ADD, nothing else."""
    version = raw.get("cniVersion") or "0.3.1"
    spec.check_version(version, call.command)
    if call.command == "CHECK":
        with _Namespace(call.namespace, namespace) as descriptor, namespaces.entered(descriptor):
            lo = links.find("lo")
        if lo is None or not lo.up:
            raise CniError(spec.CHECK_FAILED, "the loopback interface is down")
    if call.command != "ADD":
        return None
    with _Namespace(call.namespace, namespace) as descriptor:
        links.raise_loopback(descriptor)
    if raw.get("prevResult"):
        return spec.render_result(raw["prevResult"], version)
    result: Json = {
        "interfaces": [
            {"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": call.namespace},
        ],
        "ips": [{"address": "127.0.0.1/8", "interface": 0}, {"address": "::1/128", "interface": 0}],
    }
    return spec.render_result(result, version)


class _Namespace:
    """The descriptor that came with the call, or one opened here and closed after use."""

    def __init__(self, path: str, given: int | None) -> None:
        self._path = path
        self._given = given

    def __enter__(self) -> int:
        self._descriptor = (
            self._given if self._given is not None else namespaces.open_namespace(self._path)
        )
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        if self._given is None:
            os.close(self._descriptor)


def _printed(code: int, body: Json | None) -> Answer:
    return Answer(code, b"" if body is None else json.dumps(body).encode() + b"\n")

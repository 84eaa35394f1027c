"""tcpSocket probes: whoever accepts a connection is well."""

from __future__ import annotations

import socket
from typing import Any

from pykubelet.errors import Invalid
from pykubelet.kubelet.probes import targets
from pykubelet.kubelet.probes.state import Outcome
from pykubelet.kubelet.probes.targets import Target


def probe(action: dict[str, Any], target: Target, timeout: float) -> tuple[Outcome, str]:
    try:
        where = targets.host(action, target), targets.port(action.get("port"), target.container)
    except Invalid as error:
        return Outcome.UNKNOWN, str(error)
    try:
        with socket.create_connection(where, timeout):
            return Outcome.SUCCESS, ""
    except TimeoutError:
        reason = "timed out"
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
    return Outcome.FAILURE, f"dial tcp {targets.bracketed(where[0])}:{where[1]}: {reason}"

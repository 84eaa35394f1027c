"""One answer from one probe, whichever of the four ways it asks."""

from __future__ import annotations

import logging

from pykubelet.kubelet.probes import exec, http, tcp
from pykubelet.kubelet.probes.state import Outcome, Spec
from pykubelet.kubelet.probes.targets import Target

log = logging.getLogger(__name__)

MESSAGE_LIMIT = 1024
_TRIES = 3


def ask(spec: Spec, target: Target, execute: exec.Exec) -> tuple[Outcome, str]:
    """Never raises. UNKNOWN is tried again at once, as upstream does, before it is believed."""
    outcome, message = Outcome.UNKNOWN, ""
    for _ in range(_TRIES):
        try:
            outcome, message = _once(spec, target, execute)
        except Exception as error:  # one odd manifest must not stop everybody's probes
            log.exception("a %s probe of container %s broke", spec.kind.value, target.container_id)
            outcome, message = Outcome.UNKNOWN, f"{type(error).__name__}: {error}"
        if outcome is not Outcome.UNKNOWN:
            break
    return outcome, message[:MESSAGE_LIMIT]


def _once(spec: Spec, target: Target, execute: exec.Exec) -> tuple[Outcome, str]:
    handler = spec.handler
    if "exec" in handler:
        return exec.probe(handler["exec"], target, spec.timeout, execute)
    if "httpGet" in handler:
        return http.probe(handler["httpGet"], target, spec.timeout)
    if "tcpSocket" in handler:
        return tcp.probe(handler["tcpSocket"], target, spec.timeout)
    if "grpc" in handler:
        from pykubelet.kubelet.probes import grpc_

        return grpc_.probe(handler["grpc"], target, spec.timeout)
    return Outcome.UNKNOWN, "the probe has none of exec, httpGet, tcpSocket and grpc"

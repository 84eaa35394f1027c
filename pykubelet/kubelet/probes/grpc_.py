"""grpc probes: grpc.health.v1.Health/Check over a plain connection.

The two messages have one field each, so their bytes are made and read here; no generated code. The
grpc library is imported by the first such probe. Source: gRPC's "Health Checking Protocol".
"""

from __future__ import annotations

from typing import Any

from pykubelet.errors import Invalid
from pykubelet.kubelet.probes import targets
from pykubelet.kubelet.probes.http import USER_AGENT
from pykubelet.kubelet.probes.state import Outcome
from pykubelet.kubelet.probes.targets import Target

METHOD = "/grpc.health.v1.Health/Check"
_STATUS = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


def probe(action: dict[str, Any], target: Target, timeout: float) -> tuple[Outcome, str]:
    try:
        name = targets.bracketed(targets.host({}, target))
        where = f"{name}:{targets.port(action.get('port'), target.container)}"
    except Invalid as error:
        return Outcome.UNKNOWN, str(error)
    return _check(where, str(action.get("service") or ""), timeout)


def _check(where: str, service: str, timeout: float) -> tuple[Outcome, str]:
    import grpc

    options = [
        ("grpc.primary_user_agent", USER_AGENT),
        ("grpc.use_local_subchannel_pool", 1),  # each probe connects anew, as upstream's does
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_retries", 0),
    ]
    with grpc.insecure_channel(where, options=options) as channel:
        check = channel.unary_unary(METHOD)  # without serializers: bytes in, bytes out
        try:
            answer = check(request(service), timeout=timeout)
        except grpc.RpcError as error:
            code = error.code()
            if code is grpc.StatusCode.DEADLINE_EXCEEDED:
                return Outcome.FAILURE, f"timeout: no health answer from {where} in {timeout:g}s"
            if code is grpc.StatusCode.UNIMPLEMENTED:
                return Outcome.FAILURE, f"{where} does not implement {METHOD}"
            return Outcome.FAILURE, f"health check of {where} failed: {error.details()}"
    found = status(answer)
    if found == 1:
        return Outcome.SUCCESS, ""
    return Outcome.FAILURE, f'service unhealthy (responded with "{_STATUS.get(found, found)}")'


def request(service: str) -> bytes:
    """HealthCheckRequest: field 1, the service's name, left out if empty."""
    name = service.encode()
    return b"\x0a" + _varint(len(name)) + name if name else b""


def status(answer: bytes) -> int:
    """HealthCheckResponse: field 1, an enum; 0 if left out or not understood."""
    if len(answer) >= 2 and answer[0] == 0x08:
        return answer[1]
    return 0


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)

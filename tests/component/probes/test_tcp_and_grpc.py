"""TCP and gRPC probes against real servers on loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from pykubelet.kubelet.probes import grpc_, tcp
from pykubelet.kubelet.probes.state import Outcome
from pykubelet.kubelet.probes.targets import Target
from tests.support.ports import free_port

HERE = Target("c", "127.0.0.1", {"ports": []})


def test_whoever_accepts_a_connection_is_well() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert tcp.probe({"port": port}, HERE, 2.0) == (Outcome.SUCCESS, "")


def test_a_refused_connection_says_where() -> None:
    port = free_port()
    assert tcp.probe({"port": port}, HERE, 2.0) == (
        Outcome.FAILURE,
        f"dial tcp 127.0.0.1:{port}: Connection refused",
    )


def test_a_full_backlog_fails_at_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        where = listener.getsockname()
        held = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(where)
            held.append(filler)
        outcome, message = tcp.probe({"port": where[1]}, HERE, 0.3)
        for filler in held:
            filler.close()
    assert (outcome, message) == (Outcome.FAILURE, f"dial tcp 127.0.0.1:{where[1]}: timed out")


def test_a_pod_without_address_or_port_gives_no_verdict() -> None:
    assert tcp.probe({"port": 1}, Target("c", ""), 1.0)[0] is Outcome.UNKNOWN
    assert tcp.probe({"port": "no"}, HERE, 1.0)[0] is Outcome.UNKNOWN


class Health:
    """A health service that tells by the service's name what it was asked."""

    def __init__(self) -> None:
        self.agents: list[str] = []

    def check(self, request: bytes, context: Any) -> bytes:
        import grpc

        self.agents.append(dict(context.invocation_metadata())["user-agent"])
        service = request[2:].decode()
        if service == "missing":
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        if service == "slow":
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "too slow")
        return {"": b"\x08\x01", "sick": b"\x08\x02", "odd": b""}[service]


@contextmanager
def grpc_server(health: Health | None) -> Iterator[int]:
    import grpc

    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        if health:
            check = grpc.unary_unary_rpc_method_handler(health.check)
            handler = grpc.method_handlers_generic_handler(
                "grpc.health.v1.Health", {"Check": check}
            )
            server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield port
        server.stop(None).wait()


def test_a_serving_service_is_well_and_sees_who_asks() -> None:
    health = Health()
    with grpc_server(health) as port:
        assert grpc_.probe({"port": port}, HERE, 5.0) == (Outcome.SUCCESS, "")
    assert health.agents[0].startswith("kube-probe/1.36")


@pytest.mark.parametrize(
    ("service", "says"),
    [
        ("sick", 'service unhealthy (responded with "NOT_SERVING")'),
        ("odd", 'service unhealthy (responded with "UNKNOWN")'),
        ("missing", "unknown service"),
        ("slow", "timeout"),
    ],
)
def test_any_other_answer_is_a_failure_that_says_which(service: str, says: str) -> None:
    with grpc_server(Health()) as port:
        outcome, message = grpc_.probe({"port": port, "service": service}, HERE, 5.0)
    assert outcome is Outcome.FAILURE
    assert says in message


def test_a_server_without_health_service_is_told_from_a_sick_one() -> None:
    with grpc_server(None) as port:
        outcome, message = grpc_.probe({"port": port}, HERE, 5.0)
    assert outcome is Outcome.FAILURE
    assert "does not implement" in message


def test_nobody_there_is_a_failure() -> None:
    outcome, message = grpc_.probe({"port": free_port()}, HERE, 2.0)
    assert outcome is Outcome.FAILURE
    assert "refused" in message.lower()

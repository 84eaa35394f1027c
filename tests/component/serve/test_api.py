"""The agent's API over real sockets: what each path answers."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykubelet.errors import Failed, Invalid, TimedOut, Unavailable
from pykubelet.kubelet.serve.api import ApiOptions
from pykubelet.kubelet.serve.backend import Check, LogSource, Streams
from tests.support.serving import Serving, Values, get


@pytest.fixture
def values() -> Values:
    return Values()


@pytest.fixture
def port(values: Values, tmp_path: Path) -> Iterator[int]:
    (tmp_path / "syslog").write_text("booted\n")
    with Serving(values, ApiOptions(node_log_folder=tmp_path)) as serving:
        number = serving.tcp("local")
        serving.start()
        yield number


@pytest.mark.parametrize("path", ["/pods", "/pods/", "/pods?x=y"])
def test_pods_are_a_pod_list(port: int, values: Values, path: str) -> None:
    values.pod_list = [{"metadata": {"name": "a"}}, {"metadata": {"name": "ü"}}]
    status, body = get(port, path)
    assert status == 200
    assert json.loads(body) == {
        "kind": "PodList",
        "apiVersion": "v1",
        "metadata": {},
        "items": values.pod_list,
    }
    assert len(json.loads(get(port, "/runningpods/")[1])["items"]) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/metrics", "# main\n"),
        ("/metrics/cadvisor", "# cadvisor\n"),
        ("/metrics/resource", "# resource\n"),
        ("/metrics/probes", "# probes\n"),
        ("/configz", '{"kubeletconfig":{"kind":"KubeletConfiguration"}}'),
        ("/stats/summary", '{"node":{},"pods":[],"short":false}'),
        ("/stats/summary?only_cpu_and_memory=true", '{"node":{},"pods":[],"short":true}'),
        ("/healthz", "ok"),
        ("/healthz/ping", "ok"),
        ("/healthz/syncloop", "ok"),
        ("/healthz/log", "ok"),
        ("/logs/syslog", "booted\n"),
        ("/node", '{"kind":"Node"}'),
    ],
)
def test_each_path_answers_as_upstreams(port: int, path: str, body: str) -> None:
    assert get(port, path) == (200, body)


def test_health_fails_with_a_name_and_a_reason(port: int, values: Values) -> None:
    values.checks = [Check("syncloop", False, "no turn for 5 minutes")]
    status, body = get(port, "/healthz")
    assert status == 500
    assert "[+]ping ok" in body
    assert "[-]syncloop failed: no turn for 5 minutes" in body
    assert get(port, "/healthz/ping") == (200, "ok")
    assert get(port, "/healthz/none")[0] == 404


def test_the_health_port_answers_health_and_keeps_reasons_to_itself(values: Values) -> None:
    values.checks = [Check("syncloop", False, "a secret")]
    with Serving(values) as serving:
        port = serving.tcp("health")
        serving.start()
        status, body = get(port, "/healthz")
        assert status == 500
        assert "secret" not in body
        assert get(port, "/pods")[0] == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 404),
        ("/nowhere", 404),
        ("/debug/pprof/heap", 405),
        ("/cri/exec/token", 404),
        ("/checkpoint/a/b/c", 405),
        ("/logs/none", 404),
        ("/logs/../../etc/passwd", 404),
        ("/exec/a/b/c?command=ls&output=1", 400),
        ("/exec/a/b/c?output=1", 400),
        ("/exec/a/b/c?command=ls", 400),
        ("/portForward/a/b?port=0", 400),
        ("/containerLogs/a/b/c", 404),
        ("/containerLogs/a/b", 404),
        ("/why", 400),
    ],
)
def test_what_there_is_not_is_refused_clearly(port: int, path: str, status: int) -> None:
    found, body = get(port, path)
    assert found == status
    assert body.strip()


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (Invalid("x"), 400),
        (TimedOut("x"), 504),
        (Unavailable("x"), 503),
        (Failed("x"), 500),
        (KeyError("a bug"), 500),
    ],
)
def test_failures_have_their_status_and_bugs_stay_inside(
    port: int, values: Values, failure: Exception, status: int
) -> None:
    values.failure = failure
    found, body = get(port, "/pods")
    assert found == status
    assert "a bug" not in body
    assert get(port, "/healthz") == (200, "ok")


def test_run_answers_with_what_the_command_printed(port: int) -> None:
    client = http.client.HTTPConnection("localhost", port, timeout=10)
    client.request("POST", "/run/ns/pod/c?cmd=echo+hi")
    answer = client.getresponse()
    assert (answer.status, answer.read()) == (200, b"echo hi!")
    client.request("POST", "/run/ns/pod/uid/c?cmd=fail")
    answer = client.getresponse()
    assert answer.status == 500
    assert b"exit code 3" in answer.read()
    client.request("GET", "/run/ns/pod/c?cmd=ls")
    assert client.getresponse().status == 405


def test_one_connection_serves_many_requests(port: int) -> None:
    client = http.client.HTTPConnection("localhost", port, timeout=10)
    client.connect()
    assert client.sock
    local = client.sock.getsockname()
    for _ in range(20):
        client.request("POST", "/run/a/b/c?cmd=x", body=b"ignored" * 100)
        client.getresponse().read()
        client.request("HEAD", "/pods")
        answer = client.getresponse()
        assert int(answer.headers["Content-Length"]) > 0
        assert answer.read() == b""
    assert client.sock
    assert client.sock.getsockname() == local


def test_switched_off_handlers_say_so(values: Values) -> None:
    options = ApiOptions(enable_debugging_handlers=False)
    with Serving(values, options, _Anybody()) as serving:
        port = serving.tcp("secure")
        serving.start()
        for path in ("/exec/a/b/c", "/containerLogs/a/b/c", "/logs/", "/runningpods/"):
            assert get(port, path, Authorization="Bearer x") == (
                405,
                "Debug endpoints are disabled.\n",
            )
        assert get(port, "/pods", Authorization="Bearer x")[0] == 200
        assert get(port, "/why?target=x", Authorization="Bearer x")[0] == 404
    with Serving(values, ApiOptions(enable_system_log_handler=False)) as serving:
        port = serving.tcp("local")
        serving.start()
        assert get(port, "/logs/") == (405, "logs endpoint is disabled.\n")


class _Anybody:
    def authenticate(self, certificate: object, token: str) -> object:
        from pykubelet.kubelet.serve.auth import Identity

        return Identity(token) if token else None


def test_logs_are_streamed_with_their_options(port: int, values: Values, tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_bytes(b"2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:01Z stderr F two\n")
    values.logs["ns/pod/c"] = LogSource(path, lambda: False)
    assert get(port, "/containerLogs/ns/pod/c") == (200, "one\ntwo\n")
    assert get(port, "/containerLogs/ns/pod/c?tailLines=1&timestamps=true") == (
        200,
        "2026-01-01T00:00:01Z two\n",
    )
    assert get(port, "/containerLogs/ns/pod/c?follow=true&stream=Stdout") == (200, "one\n")
    assert get(port, "/containerLogs/ns/pod/c?tailLines=x")[0] == 400


def test_the_runtime_is_asked_for_what_the_client_wants(port: int, values: Values) -> None:
    values.url = "http://127.0.0.1:1/nobody"
    upgrade = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
    status, body = get(
        port, "/exec/ns/pod/uid/c?command=ls&command=-l&input=1&output=1&error=1&tty=1", **upgrade
    )
    assert status == 503
    assert "127.0.0.1:1" in body
    ref, command, streams = values.asked.pop()  # type: ignore[misc]
    assert (ref.namespace, ref.pod, ref.uid, ref.container) == ("ns", "pod", "uid", "c")
    assert command == ["ls", "-l"]
    assert streams == Streams(stdin=True, stdout=True, stderr=False, tty=True)
    get(port, "/portForward/ns/pod?port=80,443&port=9", **upgrade)
    assert values.asked.pop()[1] == [80, 443, 9]  # type: ignore[index]

"""Clients that misbehave: they get a clear answer or none, and everybody else is served."""

from __future__ import annotations

import gzip
import json
import random
import socket
import ssl
import string
import time

import pytest

from tests.component.apiserver.conftest import Api, ServerUnderTest

MAPS = "/api/v1/namespaces/default/configmaps"


def connect(server: ServerUnderTest) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(server.folder / "ca.crt"))
    context.load_cert_chain(str(server.folder / "admin.pem"))
    plain = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    return context.wrap_socket(plain, server_hostname="127.0.0.1")


def answer_to(server: ServerUnderTest, request: bytes) -> bytes:
    with connect(server) as client:
        client.sendall(request)
        return client.recv(65536)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"NONSENSE\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_is_refused(
    server: ServerUnderTest, api: Api, request_bytes: bytes
) -> None:
    assert answer_to(server, request_bytes).startswith(b"HTTP/1.1 40")
    assert api("GET", MAPS)[0] == 200


def test_too_many_headers_are_refused(server: ServerUnderTest) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 1000) for n in range(200))
    assert answer_to(server, b"GET / HTTP/1.1\r\n" + lines + b"\r\n").startswith(b"HTTP/1.1 413")


def test_requests_in_one_go_are_answered_in_order(server: ServerUnderTest) -> None:
    with connect(server) as client:
        paths = ["/healthz", "/version", "/api", "/healthz", "/apis/apps", "/version", "/healthz"]
        client.sendall(b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % p.encode() for p in paths))
        received = b""
        deadline = time.monotonic() + 20
        while received.count(b"HTTP/1.1 200") < len(paths) and time.monotonic() < deadline:
            received += client.recv(65536)
        heads = [part.partition(b"\r\n\r\n")[2][:12] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert [head.startswith(b"ok") for head in heads] == [path == "/healthz" for path in paths]


def test_a_client_that_never_finishes_disturbs_nobody(server: ServerUnderTest, api: Api) -> None:
    waiting = [connect(server) for _ in range(20)]
    for client in waiting:
        client.sendall(b"POST %s HTTP/1.1\r\nContent-Length: 100\r\n\r\n{" % MAPS.encode())
    assert api("GET", MAPS)[0] == 200
    for client in waiting:
        client.close()


def test_a_watcher_that_does_not_read_disturbs_nobody(server: ServerUnderTest, api: Api) -> None:
    stuck = connect(server)
    stuck.sendall(b"GET %s?watch=1 HTTP/1.1\r\nHost: x\r\n\r\n" % MAPS.encode())
    _, listed = api("GET", MAPS)
    events = api.watch(MAPS, resourceVersion=listed["metadata"]["resourceVersion"],
                       timeoutSeconds=20)  # fmt: skip
    for n in range(60):
        body = {"metadata": {"name": f"fat-{n}"}, "data": {"x": "y" * 100_000}}
        assert api("POST", MAPS, body)[0] == 201
    assert [next(events)["object"]["metadata"]["name"] for _ in range(60)] == [
        f"fat-{n}" for n in range(60)
    ]
    stuck.close()


def test_large_lists_are_compressed_for_those_who_ask(server: ServerUnderTest, api: Api) -> None:
    for n in range(5):
        api("POST", MAPS, {"metadata": {"name": f"big-{n}"}, "data": {"x": "z" * 50_000}})
    session = server.session()
    answer = session.get(
        server.url + MAPS, headers={"Accept-Encoding": "gzip"}, stream=True, timeout=20
    )
    assert answer.headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(answer.raw.read(decode_content=False)))["items"]


def test_objects_beyond_the_limit_are_refused(api: Api) -> None:
    data = {f"k{n}": "x" * 900_000 for n in range(2)}
    code, status = api("POST", MAPS, {"metadata": {"name": "huge"}, "data": data})
    assert code in (413, 422)
    assert status["kind"] == "Status"


@pytest.mark.parametrize("seed", range(8))
def test_random_requests_get_a_status_and_never_a_crash(api: Api, seed: int) -> None:
    rng = random.Random(seed)
    words = ["api", "apis", "v1", "apps", "namespaces", "default", "pods", "configmaps", "status",
             "a", "..", "%00", "%2e", "watch", "é", "scale", "finalize"]  # fmt: skip
    for _ in range(40):
        path = "/" + "/".join(rng.choice(words) for _ in range(rng.randint(1, 7)))
        query = "".join(rng.choice(string.printable[:95]) for _ in range(rng.randint(0, 12)))
        query = query.replace("#", "").replace("watch", "")
        method = rng.choice(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
        if "watch" in path or (method == "DELETE" and "namespaces" in path):
            continue
        body = bytes(rng.randrange(256) for _ in range(rng.randint(0, 50)))
        session = api.server.session()
        answer = session.request(
            method, f"{api.server.url}{path}?{query}", data=body,
            headers={"Content-Type": rng.choice(["application/json", "application/yaml", "x/y",
                     "application/vnd.kubernetes.protobuf"])}, timeout=20,
        )  # fmt: skip
        assert answer.status_code != 500, (method, path, query, body, answer.text)

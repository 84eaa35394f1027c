"""HTTP/1.1, read strictly: what is ambiguous is refused with a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.kubelet.serve.http1 import (
    MAX_HEAD,
    BadRequest,
    answer_head,
    chunk,
    end_of_head,
    parse_head,
)


def head(line: str = "GET /pods HTTP/1.1", *headers: str) -> bytes:
    return "\r\n".join([line, "Host: node", *headers, "", ""]).encode("latin-1")


def refusal(raw: bytes) -> tuple[int, str]:
    with pytest.raises(BadRequest) as caught:
        parse_head(raw)
    return caught.value.status, caught.value.message


def test_a_request_is_its_method_path_query_and_headers() -> None:
    request = parse_head(
        head("POST /exec/ns/p%2Fod/c?command=a&command=b%20c&tty=1 HTTP/1.1", "X-Some:  thing ")
    )
    assert request.method == "POST"
    assert request.segments == ("exec", "ns", "p/od", "c")
    assert request.query["command"] == ["a", "b c"]
    assert request.flag("tty")
    assert not request.flag("stdin")
    assert request.headers["x-some"] == "thing"
    assert request.keep_alive


def test_a_trailing_slash_makes_no_other_path() -> None:
    assert parse_head(head("GET /pods/ HTTP/1.1")).segments == ("pods",)


def test_an_absolute_target_is_taken_by_its_path() -> None:
    assert parse_head(head("GET http://node:10250/pods?x=1 HTTP/1.1")).path == "/pods"


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close", False),
        ("1.0", "", False),
        ("1.0", "Connection: Keep-Alive", True),
    ],
)
def test_the_connection_stays_as_the_version_and_header_say(
    version: str, connection: str, stays: bool
) -> None:
    headers = [connection] if connection else []
    assert parse_head(head(f"GET / HTTP/{version}", *headers)).keep_alive is stays


def test_an_upgrade_counts_only_when_the_connection_header_names_it() -> None:
    asked = head("GET / HTTP/1.1", "Connection: keep-alive, Upgrade", "Upgrade: WebSocket")
    assert parse_head(asked).upgrade == "websocket"
    assert parse_head(head("GET / HTTP/1.1", "Upgrade: websocket")).upgrade == ""


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no host
        (b"GET /\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\nEvil: y\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
    ],
)
def test_what_is_no_clear_request_is_refused(raw: bytes, status: int) -> None:
    found, message = refusal(raw)
    assert found == status
    assert message


def test_a_head_without_an_end_is_bounded() -> None:
    assert end_of_head(b"GET / HTTP/1.1\r\nHost") == 0
    with pytest.raises(BadRequest) as caught:
        end_of_head(b"a" * MAX_HEAD)
    assert caught.value.status == 431


@given(st.binary(max_size=300))
def test_whatever_comes_is_a_request_or_a_refusal(raw: bytes) -> None:
    try:
        request = parse_head(b"GET " + raw + b"\r\n\r\n")
    except BadRequest:
        return
    assert request.path.startswith("/")


@given(st.binary(max_size=200))
def test_a_chunk_holds_what_was_put_into_it(data: bytes) -> None:
    framed = chunk(data)
    if not data:
        assert framed == b""
        return
    size, _, rest = framed.partition(b"\r\n")
    assert int(size, 16) == len(data)
    assert rest == data + b"\r\n"


def test_an_answer_begins_with_its_status_in_words() -> None:
    assert answer_head(404, {"A": "b"}) == b"HTTP/1.1 404 Not Found\r\nA: b\r\n\r\n"

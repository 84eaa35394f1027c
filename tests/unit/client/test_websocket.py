"""WebSocket framing from the client's side."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.client import websocket
from pykubelet.client.websocket import Client, Closed, Message, ProtocolError, Reply


def served(data: bytes, opcode: int = 2, final: bool = True) -> bytes:
    """A frame as a server sends it: unmasked."""
    first = (0x80 if final else 0) | opcode
    if len(data) < 126:
        return struct.pack(">BB", first, len(data)) + data
    if len(data) < 1 << 16:
        return struct.pack(">BBH", first, 126, len(data)) + data
    return struct.pack(">BBQ", first, 127, len(data)) + data


def unmasked(frame: bytes) -> bytes:
    size, at = frame[1] & 0x7F, 2
    if size >= 126:
        width = 2 if size == 126 else 8
        size, at = int.from_bytes(frame[2 : 2 + width], "big"), 2 + width
    mask, body = frame[at : at + 4], frame[at + 4 :]
    assert len(body) == size
    return bytes(b ^ mask[i % 4] for i, b in enumerate(body))


def test_the_answer_to_a_key_is_the_one_of_the_rfc() -> None:
    accept = websocket.expected_accept("dGhlIHNhbXBsZSBub25jZQ==")
    assert accept == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, section 1.3


@given(st.binary(max_size=70_000))
def test_what_a_client_sends_is_masked_and_whole(data: bytes) -> None:
    frame = websocket.frame(data)
    assert frame[1] & 0x80
    assert unmasked(frame) == data


@given(st.lists(st.binary(max_size=400), max_size=8), st.integers(1, 50))
def test_messages_arrive_however_the_bytes_are_cut(messages: list[bytes], size: int) -> None:
    client, stream = Client(), b"".join(map(served, messages))
    events = [
        event
        for at in range(0, len(stream), size)
        for event in client.receive(stream[at : at + size])
    ]
    assert events == [Message(m) for m in messages]


def test_fragments_become_one_message_and_a_ping_between_them_is_answered() -> None:
    client = Client()
    stream = served(b"ab", final=False) + served(b"?", 9) + served(b"cd", opcode=0)
    reply, message = client.receive(stream)
    assert isinstance(reply, Reply)
    assert unmasked(reply.data) == b"?"
    assert message == Message(b"abcd")


def test_a_close_tells_its_code() -> None:
    assert Client().receive(served(struct.pack(">H", 1000) + b"bye", 8)) == [Closed(1000, "bye")]
    assert Client().receive(served(b"", 8)) == [Closed(1005)]


@pytest.mark.parametrize(
    "stream",
    [
        b"\xc2\x00",  # an extension bit
        b"\x82\x80aaaa",  # masked by a server
        b"\x83\x00",  # an unknown kind
        b"\x80\x00",  # a continuation of nothing
        struct.pack(">BBQ", 0x82, 127, 1 << 40),
        served(b"a", final=False) + served(b"b"),
    ],
)
def test_what_no_server_may_send_is_refused(stream: bytes) -> None:
    with pytest.raises(ProtocolError):
        Client().receive(stream)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    try:
        Client().receive(data)
    except ProtocolError:
        pass

"""SPDY/3.1 framing from the client's side."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.client import spdy
from pykubelet.client.spdy import Client, Data, Ended, GoneAway, Opened, ProtocolError, Reply


def control(kind: int, body: bytes, flags: int = 0, version: int = 3) -> bytes:
    return struct.pack(">HHI", 0x8000 | version, kind, flags << 24 | len(body)) + body


def headers(inflate: zlib._Decompress, frame: bytes) -> dict[str, str]:
    """The header block of a SYN_STREAM frame, as a server reads it."""
    block = inflate.decompress(frame[18:])
    count, at, found = struct.unpack_from(">I", block)[0], 4, []
    for _ in range(2 * count):
        size = struct.unpack_from(">I", block, at)[0]
        found.append(block[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return dict(zip(found[::2], found[1::2], strict=True))


def test_streams_are_opened_with_odd_numbers_and_readable_headers() -> None:
    client, inflate = Client(), zlib.decompressobj()
    first, one = client.open({"streamType": "error"})
    second, two = client.open({"streamtype": "data", "port": "80"})
    assert (first, second) == (1, 3)
    assert one[:4] == b"\x80\x03\x00\x01"
    assert headers(inflate, one) == {"streamtype": "error"}
    assert headers(inflate, two) == {"streamtype": "data", "port": "80"}


def test_data_and_its_end_come_back_as_they_were_sent() -> None:
    stream = Client.data(3, b"abc") + Client.data(3, b"", end=True) + Client.data(5, b"z", end=True)
    assert Client().receive(stream) == [Data(3, b"abc"), Ended(3), Data(5, b"z"), Ended(5)]


def test_control_frames_that_matter_are_told_and_the_others_passed_over() -> None:
    client = Client()
    ping = struct.pack(">I", 2)
    stream = (
        control(4, b"\0" * 12)  # settings
        + control(2, struct.pack(">I", 1) + b"block")
        + control(2, struct.pack(">I", 3), flags=1)
        + control(3, struct.pack(">II", 5, 1))
        + control(6, ping)
        + control(6, struct.pack(">I", 7))  # an answer to a ping that we never sent
        + control(9, b"\0" * 8)  # window update
        + control(7, b"\0" * 8)
    )
    assert client.receive(stream) == [
        Opened(1),
        Opened(3),
        Ended(3),
        Ended(5, reset=True),
        Reply(control(6, ping)),
        GoneAway(),
    ]


@given(st.lists(st.binary(max_size=60), max_size=8), st.integers(1, 30))
def test_data_arrives_however_the_bytes_are_cut(pieces: list[bytes], size: int) -> None:
    stream = b"".join(Client.data(1, piece) for piece in pieces)
    client = Client()
    events = [
        event
        for at in range(0, len(stream), size)
        for event in client.receive(stream[at : at + size])
    ]
    assert events == [Data(1, piece) for piece in pieces if piece]


def test_another_version_is_refused() -> None:
    with pytest.raises(ProtocolError):
        Client().receive(control(2, b"\0\0\0\1", version=2))
    with pytest.raises(ProtocolError):
        Client().receive(control(2, b"\0"))


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    try:
        spdy.Client().receive(data)
    except ProtocolError:
        pass

"""exec and attach from the client's side, over either transport."""

from __future__ import annotations

import json
import struct

import pytest

from pykubelet.client import spdy, websocket
from pykubelet.client.remotecommand import (
    Channel,
    End,
    ExitStatus,
    Output,
    SpdyChannels,
    WebSocketChannels,
    exit_status,
    resize,
)

SUCCESS = b'{"metadata":{},"status":"Success"}'
SEVEN = json.dumps(
    {
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "message": "command terminated with non-zero exit code",
        "details": {"causes": [{"reason": "ExitCode", "message": "7"}]},
    }
).encode()


@pytest.mark.parametrize(
    ("told", "status"),
    [
        (SUCCESS, ExitStatus(0)),
        (SEVEN, ExitStatus(7, "command terminated with non-zero exit code")),
        (
            b'{"status":"Failure","reason":"InternalError","message":"no such program"}',
            ExitStatus(None, "no such program"),
        ),
        (b"old servers say it in words", ExitStatus(None, "old servers say it in words")),
        (b"[1]", ExitStatus(None, "[1]")),
    ],
)
def test_the_error_channel_tells_how_it_ended(told: bytes, status: ExitStatus) -> None:
    assert exit_status(told) == status


def test_a_size_is_told_in_columns_and_rows() -> None:
    assert json.loads(resize(80, 24)) == {"Width": 80, "Height": 24}


def test_spdy_opens_the_streams_that_were_asked_for() -> None:
    plain = SpdyChannels(stdin=True, stdout=True, stderr=True, tty=False)
    plain.begin()
    with pytest.raises(KeyError):
        plain.send(Channel.RESIZE, b"")
    terminal = SpdyChannels(stdin=True, stdout=True, stderr=True, tty=True)
    terminal.begin()
    assert terminal.send(Channel.RESIZE, resize(1, 2))
    with pytest.raises(KeyError):
        terminal.send(Channel.STDERR, b"")
    with pytest.raises(ValueError, match="v3"):
        plain.accept({"x-stream-protocol-version": "v3.channel.k8s.io"})


def test_nothing_may_be_sent_over_spdy_before_every_stream_is_answered() -> None:
    """The servers' library throws away what overtakes its reply: the end of input, say."""
    channels = SpdyChannels(stdin=True, stdout=True, stderr=False, tty=False)
    assert not channels.ready
    channels.begin()
    for number in (1, 3, 5):
        assert not channels.ready
        channels.receive(struct.pack(">HHII", 0x8003, 2, 4, number))
    assert channels.ready
    assert WebSocketChannels().ready


def test_spdy_ends_when_every_output_has_ended() -> None:
    channels = SpdyChannels(stdin=True, stdout=True, stderr=True, tty=False)
    channels.begin()  # error 1, stdin 3, stdout 5, stderr 7
    data = spdy.Client.data
    assert channels.receive(data(5, b"out") + data(7, b"err") + data(5, b"", end=True)) == [
        Output(Channel.STDOUT, b"out"),
        Output(Channel.STDERR, b"err"),
    ]
    assert channels.receive(data(1, SEVEN, end=True)) == []
    (end,) = channels.receive(data(7, b"", end=True))
    assert isinstance(end, End)
    assert end.status == ExitStatus(7, "command terminated with non-zero exit code")


def _message(channel: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0x82, 126, len(data) + 1) + bytes([channel]) + data


def test_websocket_channels_are_the_first_byte_and_empty_messages_say_nothing() -> None:
    channels = WebSocketChannels()
    events = channels.receive(
        _message(1, b"") + _message(1, b"out") + _message(2, b"err") + _message(3, SUCCESS)
    )
    assert events == [Output(Channel.STDOUT, b"out"), Output(Channel.STDERR, b"err")]
    assert channels.receive(b"\x88\x00")[-1] == End(ExitStatus(0))


def test_websocket_can_end_input_only_since_v5() -> None:
    channels = WebSocketChannels()
    accept = websocket.expected_accept(channels.headers()["Sec-WebSocket-Key"])
    answer = {"sec-websocket-accept": accept}
    channels.accept({**answer, "sec-websocket-protocol": "v4.channel.k8s.io"})
    assert channels.end(Channel.STDIN) == b""
    channels.accept({**answer, "sec-websocket-protocol": "v5.channel.k8s.io"})
    assert channels.end(Channel.STDIN) != b""
    with pytest.raises(ValueError, match="no protocol"):
        channels.accept(answer)
    with pytest.raises(ValueError, match="doesn't fit"):
        channels.accept({"sec-websocket-accept": "x"})

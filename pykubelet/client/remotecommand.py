"""exec and attach from the client's side: five channels over SPDY or WebSocket. Pure.

`SpdyChannels` and `WebSocketChannels` give both the same face: which headers ask for the upgrade,
what to send first, how to send on a channel and end it, and what the bytes that come back say.
Whoever owns the socket (the command line, later the API server's clients) reads and writes.

SPDY first: only it can end stdin (WebSocket can since v5, which no runtime speaks yet).

Sources: KEP-4006, k8s.io/apimachinery/pkg/util/remotecommand (protocol names and exit status).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from pykubelet.client import spdy, websocket

PROTOCOLS = ("v4.channel.k8s.io", "v5.channel.k8s.io")


class Channel(IntEnum):
    """Numbers as the WebSocket protocols have them."""

    STDIN = 0
    STDOUT = 1
    STDERR = 2
    ERROR = 3
    RESIZE = 4


@dataclass(frozen=True, slots=True)
class Output:
    channel: Channel
    data: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """Bytes to send back."""

    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """Nothing more comes. `status` is the end of the command as the server told it, or None."""

    status: ExitStatus | None


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a command ended; `code` is None where the server couldn't run it at all."""

    code: int | None
    message: str = ""


Event = Output | Reply | End


class Channels(Protocol):
    def headers(self) -> dict[str, str]:
        """Of the upgrade request."""

    def accept(self, headers: Mapping[str, str]) -> None:
        """Check the answer's headers (lower case). ValueError where the server misunderstood."""

    def begin(self) -> bytes:
        """What to send first of all."""

    @property
    def ready(self) -> bool:
        """Whether the server has taken up all channels. What is sent before may be lost."""

    def send(self, channel: Channel, data: bytes) -> bytes:
        """The bytes that carry `data`."""

    def end(self, channel: Channel) -> bytes:
        """The bytes that end a channel; none where the protocol can't say so."""

    def receive(self, data: bytes) -> list[Event]:
        """What came. ValueError where it makes no sense."""


def resize(columns: int, rows: int) -> bytes:
    """A terminal's new size, for Channel.RESIZE."""
    return json.dumps({"Width": columns, "Height": rows}).encode()


def exit_status(told: bytes) -> ExitStatus:
    """What the error channel says: a metav1.Status (protocol v4), or plain text before that."""
    try:
        status = json.loads(told)
        if status.get("status") == "Success":
            return ExitStatus(0)
        if status.get("reason") == "NonZeroExitCode":
            causes = (status.get("details") or {}).get("causes") or ()
            for cause in causes:
                if cause.get("reason") == "ExitCode":
                    return ExitStatus(int(cause["message"]), status.get("message", ""))
        return ExitStatus(None, status.get("message", ""))
    except (ValueError, AttributeError, KeyError):
        return ExitStatus(None, told.decode(errors="replace"))


class SpdyChannels:
    def __init__(self, stdin: bool, stdout: bool, stderr: bool, tty: bool) -> None:
        self._client = spdy.Client()
        self._wanted = [
            *([Channel.ERROR]),
            *([Channel.STDIN] if stdin else []),
            *([Channel.STDOUT] if stdout else []),
            *([Channel.STDERR] if stderr and not tty else []),
            *([Channel.RESIZE] if tty else []),
        ]
        self._numbers: dict[Channel, int] = {}
        self._names: dict[int, Channel] = {}
        self._told = b""
        self._open: set[Channel] = set()
        self._unanswered: set[int] = set()

    def headers(self) -> dict[str, str]:
        return {
            "Connection": "Upgrade",
            "Upgrade": "SPDY/3.1",
            "X-Stream-Protocol-Version": "v4.channel.k8s.io",
        }

    def accept(self, headers: Mapping[str, str]) -> None:
        version = headers.get("x-stream-protocol-version", "")
        if version != "v4.channel.k8s.io":
            raise ValueError(f"the server wants to speak {version or 'an unnamed protocol'}")

    def begin(self) -> bytes:
        sent = b""
        for channel in self._wanted:
            number, data = self._client.open({"streamtype": channel.name.lower()})
            self._numbers[channel], self._names[number] = number, channel
            sent += data
        self._open = {c for c in self._wanted if c not in (Channel.STDIN, Channel.RESIZE)}
        self._unanswered = set(self._names)
        return sent

    @property
    def ready(self) -> bool:
        # The servers' library throws data away that overtakes its own reply to a new stream.
        return bool(self._names) and not self._unanswered

    def send(self, channel: Channel, data: bytes) -> bytes:
        return self._client.data(self._numbers[channel], data)

    def end(self, channel: Channel) -> bytes:
        return self._client.data(self._numbers[channel], b"", end=True)

    def receive(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        for event in self._client.receive(data):
            if isinstance(event, spdy.Reply):
                events.append(Reply(event.data))
            elif isinstance(event, spdy.Opened):
                self._unanswered.discard(event.stream)
            elif isinstance(event, spdy.Data) and event.stream in self._names:
                channel = self._names[event.stream]
                if channel is Channel.ERROR:
                    self._told += event.data
                else:
                    events.append(Output(channel, event.data))
            elif isinstance(event, spdy.Ended) and event.stream in self._names:
                self._open.discard(self._names[event.stream])
                if not self._open:
                    events.append(self._end())
            elif isinstance(event, spdy.GoneAway):
                events.append(self._end())
        return events

    def _end(self) -> End:
        return End(exit_status(self._told) if self._told else None)


class WebSocketChannels:
    def __init__(self) -> None:
        self._client = websocket.Client()
        self._key = websocket.new_key()
        self._protocol = PROTOCOLS[0]
        self._status: ExitStatus | None = None

    def headers(self) -> dict[str, str]:
        return websocket.upgrade_headers(self._key, PROTOCOLS)

    def accept(self, headers: Mapping[str, str]) -> None:
        if headers.get("sec-websocket-accept", "") != websocket.expected_accept(self._key):
            raise ValueError("the server's WebSocket answer doesn't fit the question")
        self._protocol = headers.get("sec-websocket-protocol", "")
        if self._protocol not in PROTOCOLS:
            raise ValueError(f"the server wants to speak {self._protocol or 'no protocol'}")

    def begin(self) -> bytes:
        return b""

    @property
    def ready(self) -> bool:
        return True

    def send(self, channel: Channel, data: bytes) -> bytes:
        return websocket.frame(bytes([channel]) + data)

    def end(self, channel: Channel) -> bytes:
        if self._protocol == "v4.channel.k8s.io":
            return b""
        return websocket.frame(struct.pack(">BB", 255, channel))

    def receive(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        for event in self._client.receive(data):
            if isinstance(event, websocket.Reply):
                events.append(Reply(event.data))
            elif isinstance(event, websocket.Closed):
                events += [Reply(websocket.close_frame()), End(self._status)]
            elif event.data and event.data[0] == Channel.ERROR:
                if len(event.data) > 1:
                    self._status = exit_status(event.data[1:])
            elif len(event.data) > 1 and event.data[0] in (Channel.STDOUT, Channel.STDERR):
                events.append(Output(Channel(event.data[0]), event.data[1:]))
        return events

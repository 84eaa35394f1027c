"""Container logs in the CRI format: reading, filtering, the last lines, following.

A line of the file is `TIME STREAM TAGS TEXT`: an RFC 3339 time with nanoseconds, stdout or stderr,
`F` for a full line or `P` for a part of one that the runtime cut (at 16 KiB), and the text.
Everything here works on bytes and in blocks: a log is at most a few rotations of 10 MiB, but fifty
readers of it must not cost fifty copies. `read` is the whole story; the API serves it, and
`pykubelet logs` uses it directly when no agent runs.

Sources: kubernetes/design-proposals "CRI: Dockershim & logging", v1.PodLogOptions.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from pykubelet.clock import from_rfc3339
from pykubelet.errors import Failed, Invalid, NotFound
from pykubelet.kubelet.serve.changes import POLL_SECONDS, Watch

_BLOCK = 64 * 1024
_STREAMS = {"All": b"", "Stdout": b"stdout", "Stderr": b"stderr"}


@dataclass(frozen=True, slots=True)
class LogOptions:
    """v1.PodLogOptions in this room's words. `since` in seconds since the epoch, `limit` in bytes.

    `stream` is "All", "Stdout" or "Stderr".
    """

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail: int | None = None
    since: float | None = None
    limit: int | None = None
    stream: str = "All"

    @classmethod
    def from_query(
        cls, query: Mapping[str, Sequence[str]], now: Callable[[], float] = time.time
    ) -> LogOptions:
        """From the query of /containerLogs. Raises Invalid naming the parameter."""

        def text(name: str) -> str:
            return query[name][0] if query.get(name) else ""

        tail = text("tailLines") or text("tail").replace("all", "")
        since_seconds, since_time = text("sinceSeconds"), text("sinceTime")
        since: float | None = None
        if since_seconds and since_time:
            raise Invalid("sinceSeconds and sinceTime exclude each other")
        if since_seconds:
            since = now() - _count("sinceSeconds", since_seconds, least=1)
        elif since_time:
            try:
                since = from_rfc3339(since_time)
            except ValueError:
                raise Invalid(
                    "sinceTime is no time", expected="RFC 3339", found=since_time[:60]
                ) from None
        stream = text("stream") or "All"
        if stream not in _STREAMS:
            raise Invalid("stream is none", expected="All, Stdout or Stderr", found=stream[:60])
        limit = text("limitBytes")
        return cls(
            follow=text("follow").lower() in ("1", "t", "true"),
            previous=text("previous").lower() in ("1", "t", "true"),
            timestamps=text("timestamps").lower() in ("1", "t", "true"),
            tail=_count("tailLines", tail, least=0) if tail else None,
            since=since,
            limit=_count("limitBytes", limit, least=1) if limit else None,
            stream=stream,
        )


def _count(name: str, text: str, least: int) -> int:
    if not (text.isascii() and text.isdigit()) or int(text[:19]) < least:
        raise Invalid(f"{name} is no count", expected=f"{least} or more", found=text[:60])
    return int(text[:19])


class LogReader:
    """An open log file that knows whether its name has moved on to a new one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> LogReader:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    @property
    def size(self) -> int:
        return os.fstat(self._fd).st_size

    def at(self, offset: int, length: int) -> bytes:
        return os.pread(self._fd, length, offset)

    def rotated(self) -> bool:
        """Whether another file has the name now. False while nobody has it yet."""
        try:
            named = os.stat(self.path)
        except OSError:
            return False
        mine = os.fstat(self._fd)
        return (named.st_ino, named.st_dev) != (mine.st_ino, mine.st_dev)

    def reopen(self) -> None:
        """Turn to the file that has the name now."""
        fresh = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        os.close(self._fd)
        self._fd = fresh


def open_log(path: Path) -> LogReader:
    """Raises NotFound where there is no file, Failed where it can't be read."""
    try:
        return LogReader(path)
    except FileNotFoundError:
        raise NotFound(f"the log file {path} is not there (yet, or any more)") from None
    except OSError as error:
        raise Failed(f"the log file {path} can't be read: {error.strerror}") from error


class Waiting(Protocol):
    """How a follower waits at the end of the file."""

    def wait(self) -> bool:
        """Until there may be more. False: nobody listens any more."""

    def ended(self) -> bool:
        """Whether the container has ended, so that nothing more can come."""


class Patience:
    """Waits for a change in the log's folder or for the client to leave, whichever comes first.

    The runtime closes the log when the container ends, which wakes us (IN_CLOSE_WRITE), but the
    agent may hear of the end a little later than we: so that is followed by a few quick looks, and
    a quiet log gets one every `quiet` seconds.
    """

    QUICK = 10

    def __init__(
        self,
        watch: Watch,
        client: _Client | None,
        running: Callable[[], bool],
        quiet: float = 10.0,
    ) -> None:
        self._watch = watch
        self._client = client
        self._running = running
        self._quiet = POLL_SECONDS if watch.polling else quiet
        self._quick = 0
        self._poll = select.poll()
        self._poll.register(watch, select.POLLIN)
        if client is not None:
            self._poll.register(client, select.POLLIN | select.POLLHUP)

    def wait(self) -> bool:
        self._quick = max(0, self._quick - 1)
        seconds = 0.2 if self._quick else self._quiet
        ready = {descriptor for descriptor, _ in self._poll.poll(seconds * 1000)}
        if self._watch.fileno() in ready and self._watch.take():
            self._quick = self.QUICK
        client = self._client
        return not (client is not None and client.fileno() in ready and client.gone())

    def ended(self) -> bool:
        return not self._running()


class _Client(Protocol):
    def fileno(self) -> int: ...

    def gone(self) -> bool: ...


def read(
    reader: LogReader, options: LogOptions, patience: Waiting | None = None
) -> Iterator[bytes]:
    """What a client gets, piece by piece; follows on with `patience` until the container ends."""
    line_filter = _Filter(options)
    offset = 0
    if options.tail is not None:
        offset = tail_offset(reader, options.tail, _STREAMS[options.stream])
    rest = b""
    while not line_filter.full:
        # Asked before the read: what a container wrote before its end is there by then.
        ended = patience is None or patience.ended()
        replaced = patience is not None and reader.rotated()
        data = reader.at(offset, _BLOCK)
        if data:
            offset += len(data)
            *lines, rest = (rest + data).split(b"\n")
            piece = line_filter.take(lines)
            if piece:
                yield piece
        elif replaced:
            reader.reopen()
            offset, rest = 0, b""
        elif ended or patience is None or not patience.wait():
            return


class _Filter:
    """Lines of the file to what is shown of them; remembers where in a long line it is."""

    def __init__(self, options: LogOptions) -> None:
        self._since = options.since
        self._stream = _STREAMS[options.stream]
        self._timestamps = options.timestamps
        self._left = options.limit
        self._at_start = True

    @property
    def full(self) -> bool:
        return self._left is not None and self._left <= 0

    def take(self, lines: Sequence[bytes]) -> bytes:
        shown: list[bytes] = []
        for line in lines:
            parts = line.split(b" ", 3)
            if len(parts) < 4:
                if len(parts) < 3:
                    continue  # not a log line: the runtime was cut off while it wrote
                parts.append(b"")
            stamp, stream, tags, text = parts
            if self._stream and stream != self._stream:
                continue
            if self._since is not None:
                if _seconds(stamp) < self._since:
                    continue
                self._since = None  # times only grow: what follows is new enough
            if self._timestamps and self._at_start:
                shown += (stamp, b" ")
            shown.append(text)
            self._at_start = not _partial(tags)
            if self._at_start:
                shown.append(b"\n")
        piece = b"".join(shown)
        if self._left is not None:
            piece = piece[: self._left]
            self._left -= len(piece)
        return piece


def tail_offset(reader: LogReader, count: int, stream: bytes = b"") -> int:
    """Where the last `count` whole lines (of one stream, or of all for b"") begin.

    Reads backwards from the end, only as far as it must. The parts of a cut line count as one line.
    """
    end = reader.size
    if count == 0:
        return end
    seen = 0
    begin, carry = end, b""
    start_of_last = end
    while begin > 0:
        length = min(_BLOCK, begin)
        begin -= length
        block = reader.at(begin, length) + carry
        lines = block.split(b"\n")
        if begin > 0:
            # The first may be the end of a longer one: it waits for the block before.
            carry = lines[0]
            position = begin + len(block)
            usable = lines[1:]
        else:
            position, usable, carry = len(block), lines, b""
        for line in reversed(usable):
            position -= len(line)
            line_start = position
            position -= 1  # the newline before it
            parts = line.split(b" ", 3)
            if len(parts) < 3 or (stream and parts[1] != stream):
                continue
            if not _partial(parts[2]) or seen == 0:
                seen += 1
                if seen > count:
                    return start_of_last
            start_of_last = line_start
    return 0 if seen <= count else start_of_last


def _partial(tags: bytes) -> bool:
    return tags.split(b":", 1)[0] == b"P"


def _seconds(stamp: bytes) -> float:
    """A CRI time stamp as seconds since the epoch; one that can't be read counts as the epoch."""
    try:
        return datetime.fromisoformat(stamp.decode()).timestamp()
    except ValueError:
        return 0.0

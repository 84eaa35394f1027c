"""One request and the answering of it: what a handler holds in its hands.

Handlers see neither sockets nor chunks, except the streaming ones, which take the connection over.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pykubelet.kubelet.serve import http1
from pykubelet.kubelet.serve.auth import Identity
from pykubelet.kubelet.serve.connection import Connection
from pykubelet.kubelet.serve.http1 import Request

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


class Exchange:
    """Answer exactly once: `text`, `json`, `stream`, or `take_over` and then no more."""

    def __init__(
        self,
        connection: Connection,
        request: Request,
        params: Mapping[str, str],
        identity: Identity | None,
    ) -> None:
        self.connection = connection
        self.request = request
        self.params = params
        self.identity = identity
        self.answered = False
        self.known = True
        """False where no route was found, so that guessed paths don't grow the figures."""
        self.keep_alive = request.keep_alive

    def text(
        self, status: int, body: str | bytes, content_type: str = TEXT, **headers: str
    ) -> None:
        """A whole answer; `headers` are further ones, such as `Allow`."""
        data = body.encode() if isinstance(body, str) else body
        self.answered = True
        head = http1.answer_head(
            status,
            {
                "Content-Type": content_type,
                "Content-Length": str(len(data)),
                **({} if self.keep_alive else {"Connection": "close"}),
                **headers,
            },
        )
        self.connection.send(head if self.request.method == "HEAD" else head + data)

    def error(self, status: int, message: str, **headers: str) -> None:
        """A refusal in one line of plain text, as upstream's kubelet gives it."""
        self.text(status, message + "\n", **headers)

    def json(self, value: Any, status: int = 200) -> None:
        self.text(status, json.dumps(value, separators=(",", ":")).encode(), JSON)

    def stream(self, pieces: Iterable[bytes], content_type: str = TEXT) -> None:
        """A chunked answer of unknown length; each piece goes out as it comes.

        Where making the pieces fails midway, the answer is cut without its last chunk, which is
        how HTTP says "incomplete".
        """
        self.answered = True
        chunked = self.request.version >= (1, 1)
        self.keep_alive = self.keep_alive and chunked
        self.connection.send(
            http1.answer_head(
                200,
                {
                    "Content-Type": content_type,
                    **({"Transfer-Encoding": "chunked"} if chunked else {}),
                    **({} if self.keep_alive else {"Connection": "close"}),
                },
            )
        )
        if self.request.method == "HEAD":
            return
        try:
            for piece in pieces:
                self.connection.send(http1.chunk(piece) if chunked else piece)
        except BaseException:
            self.keep_alive = False
            raise
        if chunked:
            self.connection.send(http1.LAST_CHUNK)

    def take_over(self) -> tuple[Connection, bytes]:
        """The connection itself and what the client has sent past its request."""
        self.answered = True
        self.keep_alive = False
        early = bytes(self.connection.buffer)
        self.connection.buffer.clear()
        return self.connection, early

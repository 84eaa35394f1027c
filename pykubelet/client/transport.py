"""Requests to an API server, over HTTPS by `requests`.

The interface is two methods, so that a component which shares its process with the API server can
be given another transport and not know. Connections are kept and reused; a watch has one of its
own. Errors of the network become Unavailable and TimedOut here and nowhere else.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import orjson
import requests
from requests.adapters import HTTPAdapter

from pykubelet.client.errors import ApiError, from_status
from pykubelet.errors import Failed, TimedOut, Unavailable
from pykubelet.version import VERSION

Json = dict[str, Any]

JSON = "application/json"


class Transport(Protocol):
    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        timeout: float = 30.0,
    ) -> Any:
        """The decoded answer. Raises ApiError, Unavailable, TimedOut."""

    def stream(self, path: str, *, query: Mapping[str, str], timeout: float) -> Stream:
        """A watch: decoded lines as they come. `timeout` seconds without a byte ends it."""


class Stream(Protocol):
    def __iter__(self) -> Iterator[Json]: ...

    def close(self) -> None:
        """End it from another thread; the iteration stops."""


class Access(Protocol):
    """Where the server is and who we are, as a kubeconfig resolves it (`pki.kubeconfig.Kubeconfig`
    is one); texts are PEM, empty where absent.

    `token_file` is read again for every request, since tokens are rotated in place.
    """

    @property
    def server(self) -> str: ...
    @property
    def authority(self) -> str: ...
    @property
    def certificate(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def token(self) -> str: ...
    @property
    def token_file(self) -> str: ...
    @property
    def insecure(self) -> bool: ...


class _Adapter(HTTPAdapter):
    """Connections by our own TLS context, since requests takes keys from files only. No retries
    below us: whether to try again depends on what was asked."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_connections=4, pool_maxsize=64, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._context, **options)

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The context says whom to believe; requests would add its own bundle."""


def _context(access: Access) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=access.authority or None)
    if access.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if access.certificate:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as pair:  # 0600, and gone at once
            pair.write(f"{access.certificate}\n{access.key}\n")
            pair.flush()
            context.load_cert_chain(pair.name)
    return context


class HttpTransport:
    """Thread-safe."""

    def __init__(self, access: Access, user_agent: str = "pykubelet") -> None:
        self._access = access
        self._session = requests.Session()
        adapter = _Adapter(_context(access))
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._session.trust_env = False
        self._session.headers.update({"User-Agent": f"{user_agent}/{VERSION}", "Accept": JSON})
        self._session.verify = not access.insecure

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        timeout: float = 30.0,
    ) -> Any:
        headers = self._authorization()
        data = None
        if body is not None:
            data = orjson.dumps(body)
            headers["Content-Type"] = content_type
        with _rim(self._access.server):
            response = self._session.request(
                method,
                self._access.server + path,
                params=dict(query) if query else None,
                data=data,
                headers=headers,
                timeout=(min(timeout, 10.0), timeout),
            )
        return _decoded(response)

    def stream(self, path: str, *, query: Mapping[str, str], timeout: float) -> Stream:
        with _rim(self._access.server):
            response = self._session.get(
                self._access.server + path,
                params=dict(query),
                headers=self._authorization(),
                stream=True,
                timeout=(10.0, timeout),
            )
        if response.status_code >= 400:
            _decoded(response)
        return _HttpStream(response, self._access.server)

    def close(self) -> None:
        self._session.close()

    def _authorization(self) -> dict[str, str]:
        token = self._access.token
        if self._access.token_file:
            try:
                token = Path(self._access.token_file).read_text().strip()
            except OSError as error:
                raise Failed(f"the token can't be read: {error}") from error
        return {"Authorization": f"Bearer {token}"} if token else {}


class _HttpStream:
    def __init__(self, response: requests.Response, server: str) -> None:
        self._response = response
        self._server = server
        self._closed = False

    def __iter__(self) -> Iterator[Json]:
        rest = b""
        with _rim(self._server):
            while chunk := self._read():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line:
                        yield orjson.loads(line)

    def _read(self) -> bytes:
        try:
            # read1 gives what is there; iter_lines would wait for its buffer to fill.
            return bytes(self._response.raw.read1())
        except Exception:
            if self._closed:  # under the reader, by another thread: whatever comes is the end
                return b""
            raise

    def close(self) -> None:
        self._closed = True
        # Closing the response alone would wait for the reader; the socket below it ends the read.
        connection = getattr(self._response.raw, "_connection", None)
        sock = getattr(connection, "sock", None)
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has ended by itself
        self._response.close()


def _decoded(response: requests.Response) -> Any:
    body = response.content
    if response.status_code < 400:
        if response.headers.get("Content-Type", "").startswith(JSON):
            return orjson.loads(body)
        return body
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = {"message": body[:500].decode(errors="replace")}
    error: ApiError = from_status(response.status_code, status if isinstance(status, dict) else {})
    raise error


@contextmanager
def _rim(server: str) -> Iterator[None]:
    """requests' and urllib3's exceptions as our own."""
    import urllib3

    try:
        yield
    except requests.Timeout as error:
        raise TimedOut(f"{server} did not answer in time") from error
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise Unavailable(f"{server} can't be reached: {_cause(error)}") from error


def _cause(error: BaseException) -> str:
    """The innermost reason, without the libraries' wrapping."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return str(error)

"""The resident half of the CNI plugin: a thread that answers the executable over a unix socket.

One connection is one call. The executable sends its environment and its standard input, with the
pod's network namespace as a passed descriptor, and shuts its side down; the answer is one byte for
the exit code and the rest for standard output. A call is served by a thread of its own, because
it enters other namespaces; it ends with the call.

Request: `NAME=VALUE` pairs, each ended by a NUL byte; one more NUL; the network configuration.
"""

from __future__ import annotations

import array
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from pykubelet.errors import PykubeletError
from pykubelet.network import plugin
from pykubelet.network.leases import Lease
from pykubelet.network.operations import GRACE_SECONDS, SETTLE_SECONDS

log = logging.getLogger(__name__)

_RECEIVE_SECONDS = 10.0
_MAX_REQUEST = 4 << 20


class CniServer:
    """`start()` serves until `stop()`. `live_sandboxes` is asked for the ids of the sandboxes that
    the runtime knows when addresses run out; leases of all others are then taken back."""

    def __init__(
        self,
        socket_path: str | Path = plugin.DEFAULT_SOCKET,
        state_dir: str | Path = plugin.DEFAULT_STATE,
        *,
        live_sandboxes: Callable[[], Iterable[str]] | None = None,
    ) -> None:
        self.socket_path = Path(socket_path)
        self._live_sandboxes = live_sandboxes
        self._plugin = plugin.Plugin(
            state_dir, on_exhausted=self._collect if live_sandboxes else None
        )
        self._listener: socket.socket | None = None
        self._inode = 0
        self._thread: threading.Thread | None = None
        self._calls: set[threading.Thread] = set()

    def start(self) -> None:
        """Returns when calls can come in. The rules are written anew from the leases first. Raises
        OSError where the socket or the state folder can't be made."""
        try:
            self._plugin.operations().restore_rules()
        except PykubeletError as error:
            log.warning("packet rules of the pod network could not be restored: %s", error)
        self._listener = _listen(self.socket_path)
        self._inode = os.stat(self.socket_path).st_ino
        self._thread = threading.Thread(target=self._serve, name="cni", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 30.0) -> None:
        """Takes no more calls, and waits for those under way."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        self._unlink()  # from now on the executable works by itself
        listener.shutdown(socket.SHUT_RDWR)
        assert self._thread is not None
        self._thread.join(timeout)
        listener.close()
        deadline = time.monotonic() + timeout
        for call in tuple(self._calls):
            call.join(max(0.0, deadline - time.monotonic()))

    def gc(
        self,
        valid: Iterable[str],
        *,
        settle: float = SETTLE_SECONDS,
        grace: float = GRACE_SECONDS,
    ) -> list[Lease]:
        """Take back what belongs to no sandbox in `valid`; see `Operations.gc`. Runtimes never
        call the GC verb, so the agent calls this: at its start and every few minutes."""
        return self._plugin.operations().gc(valid, settle=settle, grace=grace)

    def restore_rules(self) -> None:
        """Write the packet rules anew, for when something else has flushed them."""
        self._plugin.operations().restore_rules()

    def remove_all(self) -> None:
        """Take away every trace of the pod network from this host."""
        self._plugin.operations().remove_all()

    def _unlink(self) -> None:
        """Unless a successor has put its own socket there already."""
        try:
            if os.stat(self.socket_path).st_ino == self._inode:
                self.socket_path.unlink()
        except FileNotFoundError:
            pass

    def _collect(self) -> None:
        assert self._live_sandboxes is not None
        self.gc(self._live_sandboxes())

    def _serve(self) -> None:
        listener = self._listener
        assert listener is not None
        while self._listener is not None:
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if self._listener is not None:
                    log.error("can't accept CNI calls: %s", error)
                    time.sleep(0.1)  # out of descriptors, most likely: don't spin
                continue
            call = threading.Thread(target=self._answer, args=(connection,), name="cni-call")
            self._calls.add(call)
            call.daemon = True
            call.start()

    def _answer(self, connection: socket.socket) -> None:
        namespace: int | None = None
        try:
            with connection:
                connection.settimeout(_RECEIVE_SECONDS)
                request, namespace = _receive(connection)
                environment, stdin = _parse(request)
                answer = self._plugin.answer(environment, stdin, namespace)
                connection.sendall(b"%d" % answer.code + answer.output)
                _log(environment, answer)
        except (OSError, ValueError) as error:
            log.warning("CNI call broken off: %s", error)
        finally:
            if namespace is not None:
                os.close(namespace)
            self._calls.discard(threading.current_thread())


def _listen(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        # Bound aside and renamed into place: there is no moment in which the executable finds a
        # socket that nobody listens on.
        part = path.with_name(f".{path.name}.{os.getpid()}")
        part.unlink(missing_ok=True)
        listener.bind(str(part))
        os.chmod(part, 0o600)
        listener.listen(128)
        os.rename(part, path)
    except BaseException:
        listener.close()
        raise
    return listener


def _receive(connection: socket.socket) -> tuple[bytes, int | None]:
    """The whole request, and the first descriptor that came with it."""
    size = array.array("i").itemsize
    data, ancillary, _, _ = connection.recvmsg(
        65536, socket.CMSG_SPACE(size), socket.MSG_CMSG_CLOEXEC
    )
    namespace = None
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            namespace = array.array("i", payload[:size])[0]
    parts = [data]
    length = len(data)
    while data and length <= _MAX_REQUEST:
        data = connection.recv(65536)
        parts.append(data)
        length += len(data)
    return b"".join(parts), namespace


def _parse(request: bytes) -> tuple[dict[str, str], bytes]:
    head, end, stdin = request.partition(b"\0\0")
    if not end:
        raise ValueError("the request is cut short")
    pairs = (item.decode(errors="surrogateescape").partition("=") for item in head.split(b"\0"))
    return {name: value for name, _, value in pairs}, stdin


def _log(environment: dict[str, str], answer: plugin.Answer) -> None:
    level = logging.WARNING if answer.code else logging.DEBUG
    if log.isEnabledFor(level):
        said = answer.output.decode(errors="replace").strip() if answer.code else "done"
        log.log(
            level,
            "CNI %s %s: %s",
            environment.get("CNI_COMMAND"), environment.get("CNI_CONTAINERID", ""), said,
        )  # fmt: skip


def main() -> None:
    """`python -m pykubelet.network.server SOCKET STATE_DIR`: the server alone, until SIGTERM."""
    import signal
    import sys

    ending = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)  # before there are threads: they inherit it
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    server = CniServer(sys.argv[1], sys.argv[2])
    server.start()
    signal.sigwait(ending)
    server.stop()


if __name__ == "__main__":
    main()

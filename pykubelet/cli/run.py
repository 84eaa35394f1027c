"""`pykubelet run`: the node agent in the foreground, as a service manager wants it."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys

SUMMARY = "run the node agent"

_SIGNALS = {signal.SIGTERM: "stop", signal.SIGINT: "stop", signal.SIGHUP: "reload"}


def configure(parser: argparse.ArgumentParser) -> None:
    from pykubelet.kubelet.config.flags import add_flags

    parser.description = (
        "Runs the pods of the manifest folder through the container runtime. Configuration is "
        "upstream's KubeletConfiguration; flags go before it. SIGTERM leaves the pods running, "
        "SIGHUP takes up a changed configuration file."
    )
    add_flags(parser)


def run(args: argparse.Namespace) -> int:
    from pykubelet.errors import PykubeletError
    from pykubelet.kubelet.config.loading import load
    from pykubelet.kubelet.daemon import log_lines, own_limits

    config = load(args)
    log_lines.set_up(config.log_format, config.verbosity)
    log = logging.getLogger(__name__)
    if os.geteuid() != 0:
        print("pykubelet run: needs root; start it with sudo", file=sys.stderr)
        return 1
    for sentence in config.ignored:
        log.warning("%s", sentence)
    signals = _Signals()
    own_limits.share_memory()
    from pykubelet.kubelet import agent

    try:
        agent.run(agent.Agent(config), signals.next, lambda: load(args))
    except PykubeletError as error:
        for line in str(error).splitlines():
            log.error("%s", line)
        return 1
    return 0


class _Signals:
    """Signals as bytes in a socket: the C handler writes them (signal.set_wakeup_fd), so none can
    arrive in the moment between looking for one and falling asleep, and no lock is involved."""

    def __init__(self) -> None:
        self._inbox, outbox = socket.socketpair()
        outbox.setblocking(False)
        signal.set_wakeup_fd(outbox.detach())
        for number in _SIGNALS:
            signal.signal(number, lambda number, frame: None)

    def next(self, seconds: float | None) -> str:
        """The next signal's meaning; "" where none comes within `seconds`."""
        self._inbox.settimeout(seconds)
        try:
            number = self._inbox.recv(1)[0]
        except TimeoutError:
            return ""
        return _SIGNALS.get(signal.Signals(number), "")

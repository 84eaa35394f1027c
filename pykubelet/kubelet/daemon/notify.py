"""Tells the service manager how the agent is: READY, status text, the watchdog's heartbeat.

systemd-python speaks for us where it is installed; the protocol is a datagram to NOTIFY_SOCKET
(sd_notify(3)), so without it, or under another supervisor, the same words are sent plainly.
"""

from __future__ import annotations

import os
import socket


def notify(*words: str) -> None:
    """Send assignments such as `READY=1`. Without a service manager it does nothing."""
    if "NOTIFY_SOCKET" not in os.environ:
        return
    try:
        from systemd import daemon  # type: ignore[attr-defined,unused-ignore]
    except ImportError:
        _send("\n".join(words))
    else:
        daemon.notify("\n".join(words))


def status(sentence: str) -> None:
    """The line that `systemctl status` shows."""
    notify(f"STATUS={sentence}")


def watchdog_seconds() -> float | None:
    """How often the service manager expects a sign of life, or None."""
    micro = os.environ.get("WATCHDOG_USEC", "")
    if not micro.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(micro) / 1e6


def _send(text: str) -> None:
    address = os.environ["NOTIFY_SOCKET"]
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(address)
            sock.send(text.encode())
    except OSError:
        pass  # whoever was to be told is gone; there is nobody else to tell

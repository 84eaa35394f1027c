"""Where the agent's log lines go, and how they look: text, JSON, or the journal with its fields.

A line that is about a pod carries it as `extra={"pod": "namespace/name", "uid": …}`; in the journal
that becomes POD_NAMESPACE, POD_NAME and POD_UID, so that `journalctl POD_NAME=web-node1` tells one
pod's story (systemd.journal-fields(7) leaves such names to programs), in JSON an object `pod` in
upstream's shape. The journal is written to where it is what stderr leads to and systemd-python is
there; else lines go to stderr.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import orjson

#: Upstream logs debugging lines from this verbosity on.
DEBUGGING = 4
#: syslog(3): what the journal calls a priority.
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))


def set_up(style: str, verbosity: int) -> None:
    """Send all lines where they belong. `style` is `text` or `json`."""
    send = journal() if style == "text" else None
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if send:
        handler = JournalHandler(send)
    elif style == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname).1s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_verbosity(verbosity)


def set_verbosity(verbosity: int) -> None:
    logging.getLogger().setLevel(logging.DEBUG if verbosity >= DEBUGGING else logging.INFO)


def journal() -> Callable[..., None] | None:
    """systemd-python's `journal.send`, where stderr leads to the journal (systemd.exec(5))."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(2)
        if not inode or (found.st_dev, found.st_ino) != (int(device), int(inode)):
            return None
        send: Callable[..., None] = import_module("systemd.journal").send
        return send
    except (ImportError, OSError, ValueError):
        return None


class JournalHandler(logging.Handler):
    def __init__(self, send: Callable[..., None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._send(record.getMessage(), **fields(record))
        except Exception:  # noqa: BLE001 - logging's own way to report what can't be logged
            self.handleError(record)


def fields(record: logging.LogRecord) -> dict[str, str | int]:
    """A line's journal fields beside MESSAGE."""
    priority = next((p for level, p in _PRIORITIES if record.levelno >= level), 7)
    found: dict[str, str | int] = {
        "PRIORITY": str(priority),
        "SYSLOG_IDENTIFIER": "pykubelet",
        "LOGGER": record.name,
        "CODE_FILE": record.pathname,
        "CODE_LINE": record.lineno,
        "CODE_FUNC": record.funcName or "",
    }
    if record.exc_info:
        found["EXCEPTION_INFO"] = "".join(traceback.format_exception(*record.exc_info))
    found |= {f"POD_{key.upper()}": value for key, value in _pod(record).items()}
    return found


class JsonFormatter(logging.Formatter):
    """One object a line: `ts` in milliseconds, `level`, `logger`, `msg`, `pod`, `err`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": round(record.created * 1000, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "caller": f"{record.filename}:{record.lineno}",
            "msg": record.getMessage(),
        }
        if pod := _pod(record):
            line["pod"] = pod
        if record.exc_info:
            line["err"] = "".join(traceback.format_exception(*record.exc_info))
        return orjson.dumps(line, default=str).decode()


def _pod(record: logging.LogRecord) -> Mapping[str, str]:
    full_name = getattr(record, "pod", "")
    if not full_name:
        return {}
    namespace, _, name = full_name.rpartition("/")
    found = {"namespace": namespace, "name": name, "uid": getattr(record, "uid", "")}
    return {key: value for key, value in found.items() if value}

"""How a log line looks in JSON and in the journal."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from pykubelet.kubelet.daemon import log_lines
from pykubelet.kubelet.daemon.log_lines import JournalHandler, JsonFormatter, fields


def record(level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("pykubelet.x", level, "/a/b.py", 7, "%s is %d", ("it", 5), None)
    made.__dict__.update(extra)
    return made


def test_a_line_about_a_pod_has_its_fields_in_the_journal() -> None:
    found = fields(record(pod="shop/web-n1", uid="u1"))
    assert found["POD_NAMESPACE"] == "shop"
    assert found["POD_NAME"] == "web-n1"
    assert found["POD_UID"] == "u1"
    assert found["LOGGER"] == "pykubelet.x"
    assert not [name for name in fields(record()) if name.startswith("POD_")]


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.DEBUG, "7"), (logging.INFO, "6"), (logging.WARNING, "4"), (logging.ERROR, "3"),
     (logging.CRITICAL, "3")],
)  # fmt: skip
def test_levels_become_syslogs_priorities(level: int, priority: str) -> None:
    assert fields(record(level))["PRIORITY"] == priority


def test_the_journal_gets_message_and_fields() -> None:
    sent: list[tuple[str, dict[str, Any]]] = []
    handler = JournalHandler(lambda message, **more: sent.append((message, more)))
    handler.handle(record(pod="default/web", uid=""))
    ((message, more),) = sent
    assert message == "it is 5"
    assert more["POD_NAME"] == "web"
    assert "POD_UID" not in more


def test_json_is_one_object_a_line_in_upstreams_words() -> None:
    line = JsonFormatter().format(record(pod="shop/web", uid="u"))
    assert "\n" not in line
    found = json.loads(line)
    assert found["msg"] == "it is 5"
    assert found["pod"] == {"namespace": "shop", "name": "web", "uid": "u"}
    assert found["caller"] == "b.py:7"
    assert found["ts"] > 1e12


def test_an_exception_stays_within_its_line() -> None:
    try:
        raise ValueError("odd")
    except ValueError:
        made = record()
        made.exc_info = sys.exc_info()
    line = JsonFormatter().format(made)
    assert "\n" not in line
    assert "ValueError: odd" in json.loads(line)["err"]
    assert "ValueError: odd" in str(fields(made)["EXCEPTION_INFO"])


@pytest.mark.parametrize("stream", ["", "junk", "1:2", "x:y"])
def test_where_stderr_does_not_lead_to_the_journal_nothing_is_sent_there(
    monkeypatch: pytest.MonkeyPatch, stream: str
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", stream)
    assert log_lines.journal() is None

"""Lifecycle hooks: what a container wants done after its start or before its end.

`run_hook` does one handler of postStart or preStop and says how it went. The lifecycle decides when
and what a failure means. A hook can be broken off through an `Interrupt` (the pod's grace period
was cut short): the caller goes on at once, what the hook had begun is left to end by itself.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from pykubelet.errors import Failed, Invalid, TimedOut
from pykubelet.kubelet.probes import http
from pykubelet.kubelet.probes.exec import Exec, output
from pykubelet.kubelet.probes.targets import Target

log = logging.getLogger(__name__)

Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class HookResult:
    """`message` explains a failure; for a success it is empty, or a warning."""

    ok: bool
    message: str = ""


class Interrupt:
    """Set once, by any thread; hooks that wait on it end at once."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._set = False

    def set(self) -> None:
        with self._changed:
            self._set = True
            self._changed.notify_all()

    def is_set(self) -> bool:
        return self._set

    def wait(self, seconds: float) -> bool:
        """Sleep for so long, or until set; whether it was set."""
        with self._changed:
            return self._changed.wait_for(lambda: self._set, seconds)

    def race(self, job: Callable[[], T], seconds: float | None = None) -> T | None:
        """What `job` returned or raised, on a thread of its own; None if set or out of time before.

        A job that lost the race is left to end by itself.
        """
        done: Future[T] = Future()

        def run() -> None:
            try:
                done.set_result(job())
            except BaseException as error:  # noqa: BLE001 - goes on to who waits
                done.set_exception(error)
            with self._changed:
                self._changed.notify_all()

        threading.Thread(target=run, name="race", daemon=True).start()
        with self._changed:
            self._changed.wait_for(lambda: done.done() or self._set, seconds)
        return done.result() if done.done() else None


def run_hook(
    handler: Json,
    *,
    pod: Json,
    container: Json,
    container_id: str,
    pod_ip: str | None,
    exec: Exec,
    timeout: float,
    interrupt: Interrupt | None = None,
) -> HookResult:
    """Do one handler: exec, httpGet, sleep, or tcpSocket (which upstream accepts and ignores).

    Never raises. Takes at most `timeout` seconds, less if `interrupt` is set.
    """
    interrupt = interrupt or Interrupt()
    where = f"container {container.get('name', '')} of pod {_name(pod)}"
    target = Target(container_id, pod_ip or "", container)
    if "sleep" in handler:
        seconds = float(handler["sleep"].get("seconds") or 0)
        if interrupt.wait(min(seconds, timeout)):
            return HookResult(False, f"sleep hook of {where} was interrupted")
        if seconds > timeout:
            return HookResult(False, f"sleep hook of {where} was cut off after {timeout:g}s")
        return HookResult(True)
    if "exec" in handler:
        what = "exec"
        command = list(handler["exec"].get("command") or ())

        def job() -> HookResult:
            return _exec(command, target, exec, timeout)
    elif "httpGet" in handler:
        what = "httpGet"

        def job() -> HookResult:
            return _http_get(handler["httpGet"], target, timeout)
    elif "tcpSocket" in handler:
        return HookResult(True, f"tcpSocket hook of {where} does nothing: it is not supported")
    else:
        return HookResult(False, f"the hook of {where} has no handler")
    result = interrupt.race(job, timeout + 1)  # a second for the job's own timeout to speak first
    if result is None:
        how = "was interrupted" if interrupt.is_set() else f"took longer than {timeout:g}s"
        return HookResult(False, f"{what} hook of {where} {how}")
    if result.ok:
        return result
    return HookResult(False, f"{what} hook of {where} failed: {result.message}")


def _exec(command: list[str], target: Target, execute: Exec, timeout: float) -> HookResult:
    shown = " ".join(command)
    try:
        result = execute(target.container_id, command, timeout)
    except TimedOut:
        return HookResult(False, f"{shown!r} timed out after {timeout:g}s")
    except Failed as error:
        return HookResult(False, f"{shown!r}: {error}")
    except Exception as error:
        log.exception("an exec hook broke")
        return HookResult(False, f"{type(error).__name__}: {error}")
    if result.exit_code == 0:
        return HookResult(True)
    said = output(result)
    return HookResult(False, f"{shown!r} exited with {result.exit_code}{said and f': {said}'}")


def _http_get(action: Json, target: Target, timeout: float) -> HookResult:
    """Any answer is a success: upstream does not look at the status of a hook's answer either."""
    if action.get("port") == "":
        action = {**action, "port": 80}
    headers = http.headers_of(action)
    try:
        url = http.url_of(action, target)
        try:
            http.get(url, headers, timeout)
        except http.PlainAnswer:
            # Long ago hooks ignored the scheme, so servers without TLS are out there.
            http.get(http.url_of(action, target, "http"), headers, timeout)
            return HookResult(True, f"{url}: the server speaks plain HTTP, which was used instead")
    except (Failed, Invalid) as error:
        return HookResult(False, f"GET {action.get('path') or '/'}: {error}")
    return HookResult(True)


def _name(pod: Json) -> str:
    metadata = pod.get("metadata") or {}
    return f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"

"""Lifecycle hooks: what they do, how they fail, how they are broken off."""

from __future__ import annotations

import threading
import time
from typing import Any

from pykubelet.errors import Failed, TimedOut
from pykubelet.kubelet.probes import HookResult, Interrupt, run_hook
from pykubelet.kubelet.runtime.model import ExecResult


def run(
    handler: dict[str, Any],
    answer: Any = None,
    timeout: float = 5.0,
    interrupt: Interrupt | None = None,
) -> HookResult:
    def execute(container_id: str, command: Any, timeout: float) -> ExecResult:
        assert (container_id, list(command)) == ("id", ["do", "it"])
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, float):
            time.sleep(answer)
            return ExecResult(0, b"", b"")
        return ExecResult(answer, b"out ", b"err\n")

    return run_hook(
        handler,
        pod={"metadata": {"name": "web", "namespace": "default"}},
        container={"name": "c"},
        container_id="id",
        pod_ip=None,
        exec=execute,
        timeout=timeout,
        interrupt=interrupt,
    )


EXEC = {"exec": {"command": ["do", "it"]}}


def test_a_command_that_exits_with_zero_is_a_success() -> None:
    assert run(EXEC, 0) == HookResult(True)


def test_a_failed_command_says_its_code_and_what_it_wrote() -> None:
    assert run(EXEC, 3) == HookResult(
        False, "exec hook of container c of pod default/web failed: 'do it' exited with 3: out err"
    )


def test_a_timeout_and_a_broken_runtime_are_told_apart() -> None:
    assert run(EXEC, TimedOut("x")).message.endswith("'do it' timed out after 5s")
    assert run(EXEC, Failed("runtime away")).message.endswith("'do it': runtime away")


def test_sleep_sleeps_and_is_cut_off_at_the_timeout() -> None:
    begin = time.monotonic()
    assert run({"sleep": {"seconds": 0}}) == HookResult(True)
    assert not run({"sleep": {"seconds": 60}}, timeout=0.1).ok
    assert time.monotonic() - begin < 2


def test_a_hook_is_broken_off_at_once() -> None:
    for handler, answer in (({"sleep": {"seconds": 60}}, None), (EXEC, 3.0)):
        interrupt = Interrupt()
        timer = threading.Timer(0.1, interrupt.set)
        timer.start()
        begin = time.monotonic()
        result = run(handler, answer, timeout=60, interrupt=interrupt)
        assert time.monotonic() - begin < 2
        assert result.message.endswith("was interrupted")


def test_tcpSocket_does_nothing_but_warn() -> None:
    result = run({"tcpSocket": {"port": 80}})
    assert result.ok
    assert "not supported" in result.message


def test_a_hook_without_handler_is_a_failure() -> None:
    assert not run({}).ok


def test_an_http_hook_of_a_pod_without_address_is_a_failure() -> None:
    assert "no address" in run({"httpGet": {"port": 80}}).message

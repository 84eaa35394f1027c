"""The node agent's life: it waits for the runtime, adopts what runs, works, leaves.

`parts` makes and joins what is brought to life here. The command `pykubelet run` is `cli.run`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from pykubelet.errors import Failed, PykubeletError
from pykubelet.kubelet.config import views
from pykubelet.kubelet.config.configuration import Configuration
from pykubelet.kubelet.daemon import host_checks, log_lines, notify, own_limits
from pykubelet.kubelet.parts import Parts
from pykubelet.kubelet.rules import reservations
from pykubelet.kubelet.runtime.client import Runtime
from pykubelet.kubelet.runtime.model import RuntimeVersion
from pykubelet.kubelet.servers import Servers

log = logging.getLogger(__name__)

#: Seconds between two attempts to reach the runtime, and how long the service manager is asked to
#: be patient meanwhile.
_KNOCK, _PATIENCE = 0.2, 60.0


class Agent:
    """`start` returns when the manifests have been read and their pods are on their way."""

    def __init__(self, config: Configuration) -> None:
        self.config = config
        self.runtime = Runtime(
            config.container_runtime_endpoint,
            config.runtime_request_timeout,
            config.image_service_endpoint,
        )
        self.servers = Servers(config)
        self.parts: Parts | None = None

    def start(self, pause: Callable[[float], bool]) -> bool:
        """Waits for the runtime to answer. `pause(seconds)` tells whether to give up, and then
        `start` returns False. Raises Failed where the host can't carry an agent, and Invalid where
        the configuration does not fit it."""
        facts = host_checks.check(self.config)
        for sentence in own_limits.apply(self.config.oom_score_adj, self.config.max_open_files):
            log.warning("%s", sentence)
        self.servers.take_ports()
        version = self._wait_for_runtime(pause)
        if version is None:
            return False
        self.parts = parts = Parts(self.config, self.runtime, version, self.servers)
        for note in parts.cgroups.notes():
            log.warning("%s", note)
        if facts.rebooted:
            parts.memory.forget_all_but(())  # it tells of containers that nobody runs any more
        parts.volumes.prepare()
        parts.report.look()
        parts.cgroups.ensure_tree(reservations(self.config, parts.report.capacity))
        self.servers.start_cni(parts.live_sandboxes)
        host_checks.remember(self.config, facts)
        self._come_to_life(parts)
        return True

    def _come_to_life(self, parts: Parts) -> None:
        parts.probes.start()
        if parts.folder:
            parts.folder.start()
            parts.folder_changed()
        parts.relisting.start()
        parts.manager.relist()
        parts.housekeeping.start()
        if parts.link:
            parts.link.start()
        parts.guard.start()
        parts.shutdown.start()
        parts.vitals.start()
        api = parts.link.api if parts.link else None
        self.servers.start(parts.backend, parts.report.name, parts.report.ips, api)

    def reload(self, config: Configuration) -> str:
        """Take up what a running agent can; the sentence that tells what was, and what waits."""
        found = views.difference(self.config, config)
        self.config = views.taken_up(self.config, config)
        log_lines.set_verbosity(self.config.verbosity)
        if self.parts:
            self.parts.take_up(self.config)
        if not found.apply and not found.restart:
            return "reloaded: nothing has changed"
        said = [f"taken up: {', '.join(found.apply)}"] if found.apply else []
        said += [f"waiting for a restart: {', '.join(found.restart)}"] if found.restart else []
        return f"reloaded; {'; '.join(said)}"

    def stop(self) -> None:
        """Leave the node. Pods go on; another agent, or this one later, adopts them."""
        self.servers.stop()
        if parts := self.parts:
            if parts.link:
                parts.link.stop()
            if parts.folder:
                parts.folder.stop()
            parts.shutdown.stop()
            parts.relisting.stop()
            parts.probes.stop()
            parts.guard.stop()
            parts.manager.turns.stop()
        self.runtime.close()

    def trouble(self) -> str:
        """Why the service manager should rather start another agent, or ""."""
        return self.parts.vitals.trouble() if self.parts else ""

    def _wait_for_runtime(self, pause: Callable[[float], bool]) -> RuntimeVersion | None:
        said = ""
        asked_at = float("-inf")
        while True:
            try:
                return self.runtime.version()
            except Failed as error:
                sentence = f"waiting for the runtime at {self.runtime.endpoint}: {error}"
                if sentence != said:
                    log.warning("%s", sentence)
                    notify.status(sentence)
                said = sentence
            if time.monotonic() - asked_at > _PATIENCE / 2:
                notify.notify(f"EXTEND_TIMEOUT_USEC={int(_PATIENCE * 1e6)}")
                asked_at = time.monotonic()
            if pause(_KNOCK):
                return None


def run(
    agent: Agent,
    next_signal: Callable[[float | None], str],
    read_configuration: Callable[[], Configuration],
) -> None:
    """Start, tell the service manager, serve signals, stop.

    `next_signal(seconds)` waits for one: `stop`, `reload`, or "" when the time is up.
    """
    try:
        if not agent.start(lambda seconds: next_signal(seconds) == "stop"):
            return
        assert agent.parts
        status = f"STATUS={agent.parts.report.name} runs its pods"
        notify.notify("READY=1", status)
        _serve_signals(agent, next_signal, read_configuration, status)
        notify.notify("STOPPING=1")
    finally:
        began = time.monotonic()
        agent.stop()
    log.info("stopped after %.1f s; pods go on", time.monotonic() - began)


def _serve_signals(
    agent: Agent,
    next_signal: Callable[[float | None], str],
    read_configuration: Callable[[], Configuration],
    status: str,
) -> None:
    """Until `stop`. The watchdog is told of life only while there is some."""
    beat = notify.watchdog_seconds()
    said = ""
    while (signal := next_signal(beat / 2 if beat else None)) != "stop":
        if signal == "reload":
            notify.notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
            try:
                log.info("%s", agent.reload(read_configuration()))
            except PykubeletError as error:
                log.error("not reloaded, all stays as it was: %s", error)
            notify.notify("READY=1", status)
        trouble = agent.trouble()
        if not trouble:
            notify.notify("WATCHDOG=1")
        elif trouble != said:
            log.error("the agent does not go on: %s", trouble)
        said = trouble

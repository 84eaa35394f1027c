"""The kubelet's API: which paths there are, and what each does.

Paths and answers are upstream's (pkg/kubelet/server), so that kubectl, an API server, Prometheus
and metrics-server find what they look for. Three fronts stand on one set of handlers: `secure`
(10250, everybody known and allowed), `health` (10248, only /healthz), `local` (root's own socket,
where /why and /status are added).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pykubelet.errors import Invalid
from pykubelet.kubelet.serve import logs, nodelogs, streams
from pykubelet.kubelet.serve.auth import (
    AlwaysAllow,
    Authenticator,
    Authorizer,
    Identity,
    Standalone,
)
from pykubelet.kubelet.serve.backend import Backend, Check, ContainerRef, MetricsKind, Streams
from pykubelet.kubelet.serve.changes import Changes
from pykubelet.kubelet.serve.exchange import Exchange
from pykubelet.kubelet.serve.fronts import Open, Secure
from pykubelet.kubelet.serve.http1 import Request
from pykubelet.kubelet.serve.routes import Routes

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
LOCAL_ROOT = Identity("system:local", ("system:masters",))


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """The fields of KubeletConfiguration that this room obeys, in its words; seconds."""

    enable_debugging_handlers: bool = True
    enable_system_log_handler: bool = True
    streaming_idle_seconds: float = 4 * 3600.0
    node_log_folder: Path = field(default=Path("/var/log"))


class Api:
    def __init__(
        self,
        backend: Backend,
        options: ApiOptions | None = None,
        authenticator: Authenticator | None = None,
        authorizer: Authorizer | None = None,
    ) -> None:
        self._backend = backend
        self._options = options or ApiOptions()
        self._changes = Changes()
        self.secure = Secure(
            self._routes(), authenticator or Standalone(), authorizer or AlwaysAllow()
        )
        self.health = Open(Routes(self._health_table()), None)
        self.local = Open(
            Routes(
                [
                    *self._table(debugging=True),
                    ("GET", "/why", self._why),
                    ("GET", "/status", self._status),
                    ("GET", "/node", self._node),
                ]
            ),
            LOCAL_ROOT,
        )

    def close(self) -> None:
        self._changes.close()

    # -- the table --------------------------------------------------------------------------------

    def _routes(self) -> Routes:
        return Routes(self._table(self._options.enable_debugging_handlers))

    def _health_table(self) -> list[Any]:
        return [("GET", "/healthz", self._healthz), ("GET", "/healthz/{check}", self._healthz)]

    def _table(self, debugging: bool) -> list[Any]:
        container = "/{namespace}/{pod}/{container}"
        precise = "/{namespace}/{pod}/{uid}/{container}"
        both = "GET POST"
        always = [
            *self._health_table(),
            ("GET", "/pods", self._pods),
            ("GET", "/stats/summary", self._summary),
            ("POST", "/stats/summary", self._summary),
            ("GET", "/metrics", self._metrics("main")),
            ("GET", "/metrics/cadvisor", self._metrics("cadvisor")),
            ("GET", "/metrics/resource", self._metrics("resource")),
            ("GET", "/metrics/probes", self._metrics("probes")),
            ("GET", "/configz", self._configz),
            ("POST", "/checkpoint" + container, self._no_checkpoint),
            ("GET POST", "/cri/{rest*}", self._no_cri),
            ("GET POST", "/debug/{rest*}", self._no_debug),
        ]
        if not debugging:
            return [
                *always,
                *(
                    (both, f"/{first}/{{rest*}}", self._debugging_disabled)
                    for first in ("run", "exec", "attach", "portForward", "containerLogs",
                                  "runningpods", "logs")
                ),
            ]  # fmt: skip
        node_logs = (
            self._node_logs if self._options.enable_system_log_handler else self._no_node_logs
        )
        return [
            *always,
            ("GET", "/runningpods", self._running_pods),
            ("GET", "/containerLogs" + container, self._container_logs),
            *((both, "/exec" + rest, self._exec) for rest in (container, precise)),
            *((both, "/attach" + rest, self._attach) for rest in (container, precise)),
            *(("POST", "/run" + rest, self._run) for rest in (container, precise)),
            (both, "/portForward/{namespace}/{pod}", self._port_forward),
            (both, "/portForward/{namespace}/{pod}/{uid}", self._port_forward),
            ("GET", "/logs/{path*}", node_logs),
        ]

    # -- what the node is and does ----------------------------------------------------------------

    def _healthz(self, exchange: Exchange) -> None:
        checks = [Check("ping", True), Check("log", True), *self._backend.healthy()]
        only = exchange.params.get("check")
        if only:
            checks = [check for check in checks if check.name == only]
            if not checks:
                exchange.error(404, f"there is no check named {only}")
                return
        ok = all(check.ok for check in checks)
        verbose = "verbose" in exchange.request.query
        if ok and (only or not verbose):
            exchange.text(200, "ok")
            return
        lines = [_line_of(check, exchange.identity is not None) for check in checks]
        lines.append(f"healthz check {'passed' if ok else 'failed'}\n")
        exchange.text(200 if ok else 500, "\n".join(lines))

    def _pods(self, exchange: Exchange) -> None:
        exchange.json(_pod_list(list(self._backend.pods())))

    def _running_pods(self, exchange: Exchange) -> None:
        exchange.json(_pod_list(list(self._backend.running_pods())))

    def _summary(self, exchange: Exchange) -> None:
        exchange.json(self._backend.summary(exchange.request.flag("only_cpu_and_memory")))

    def _metrics(self, kind: MetricsKind) -> Any:
        return lambda exchange: exchange.text(200, self._backend.metrics(kind), PROMETHEUS)

    def _configz(self, exchange: Exchange) -> None:
        exchange.json({"kubeletconfig": self._backend.configz()})

    def _node(self, exchange: Exchange) -> None:
        exchange.json(self._backend.node())

    def _why(self, exchange: Exchange) -> None:
        target = exchange.request.text("target")
        if not target:
            raise Invalid("whose story?", expected="/why?target=POD-OR-FILE")
        exchange.json(self._backend.why(target))

    def _status(self, exchange: Exchange) -> None:
        exchange.json(self._backend.status())

    # -- logs -------------------------------------------------------------------------------------

    def _container_logs(self, exchange: Exchange) -> None:
        options = logs.LogOptions.from_query(exchange.request.query)
        source = self._backend.find_log(_ref(exchange), options.previous)
        follow = options.follow and not options.previous
        reader = logs.open_log(source.path)
        if not follow:
            with reader:
                exchange.stream(logs.read(reader, options))
            return
        with reader, self._changes.watch(source.path.parent) as watch:
            patience = logs.Patience(watch, exchange.connection, source.running)
            exchange.stream(logs.read(reader, options, patience))

    def _node_logs(self, exchange: Exchange) -> None:
        found = nodelogs.find(self._options.node_log_folder, exchange.params["path"])
        if isinstance(found, str):
            exchange.text(200, found, "text/html; charset=utf-8")
            return
        with found:
            exchange.stream(_pieces(found.fileno()), nodelogs.content_type(exchange.params["path"]))

    # -- commands and streams ---------------------------------------------------------------------

    def _run(self, exchange: Exchange) -> None:
        command = exchange.request.text("cmd").split(" ")
        if command == [""]:
            raise Invalid("no command to run", expected="/run/…?cmd=COMMAND")
        result = self._backend.exec_sync(_ref(exchange), command)
        if result.exit_code:
            exchange.text(
                500,
                result.stdout + result.stderr
                + f"command terminated with exit code {result.exit_code}\n".encode(),
            )  # fmt: skip
            return
        exchange.text(200, result.stdout + result.stderr)

    def _exec(self, exchange: Exchange) -> None:
        wanted = _streams(exchange.request)
        command = list(exchange.request.query.get("command", ()))
        if not command:
            raise Invalid("no command to run", expected="/exec/…?command=…")
        _must_upgrade(exchange.request)
        self._pass_through(exchange, self._backend.exec_url(_ref(exchange), command, wanted))

    def _attach(self, exchange: Exchange) -> None:
        wanted = _streams(exchange.request)
        _must_upgrade(exchange.request)
        self._pass_through(exchange, self._backend.attach_url(_ref(exchange), wanted))

    def _port_forward(self, exchange: Exchange) -> None:
        ports = _ports(exchange.request)
        _must_upgrade(exchange.request)
        self._pass_through(exchange, self._backend.port_forward_url(_ref(exchange), ports))

    def _pass_through(self, exchange: Exchange, url: str) -> None:
        streams.pass_through(exchange, url, self._options.streaming_idle_seconds)

    # -- what there isn't -------------------------------------------------------------------------

    def _no_checkpoint(self, exchange: Exchange) -> None:
        exchange.error(501, "checkpointing containers is not supported by this agent")

    def _no_cri(self, exchange: Exchange) -> None:
        exchange.error(404, "the runtime's streams are reached by /exec, /attach and /portForward")

    def _no_debug(self, exchange: Exchange) -> None:
        exchange.error(405, "profiling endpoint is disabled.")

    def _no_node_logs(self, exchange: Exchange) -> None:
        exchange.error(405, "logs endpoint is disabled.")

    def _debugging_disabled(self, exchange: Exchange) -> None:
        exchange.error(405, "Debug endpoints are disabled.")


def _line_of(check: Check, may_know: bool) -> str:
    if check.ok:
        return f"[+]{check.name} ok"
    return f"[-]{check.name} failed: {check.message if may_know else 'reason withheld'}"


def _pod_list(items: list[Any]) -> dict[str, Any]:
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}


def _ref(exchange: Exchange) -> ContainerRef:
    params = exchange.params
    return ContainerRef(
        params["namespace"], params["pod"], params.get("container", ""), params.get("uid")
    )


def _streams(request: Request) -> Streams:
    tty = request.flag("tty")
    wanted = Streams(
        stdin=request.flag("input"),
        stdout=request.flag("output"),
        stderr=request.flag("error") and not tty,
        tty=tty,
    )
    if not (wanted.stdin or wanted.stdout or wanted.stderr):
        raise Invalid("no stream is asked for", expected="at least one of input, output, error")
    return wanted


def _ports(request: Request) -> list[int]:
    """SPDY clients name ports stream by stream, WebSocket clients in the query."""
    texts = [text for value in request.query.get("port", ()) for text in value.split(",")]
    if not all(text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536 for text in texts):
        raise Invalid("not a port", expected="1 to 65535", found=", ".join(texts)[:100])
    if not texts and request.upgrade == "websocket":
        raise Invalid("no port is asked for", expected="/portForward/…?port=PORT")
    return [int(text) for text in texts]


def _must_upgrade(request: Request) -> None:
    if not request.upgrade:
        raise Invalid(
            "Upgrade request required", expected="Connection: Upgrade with SPDY/3.1 or websocket"
        )


def _pieces(descriptor: int) -> Iterator[bytes]:
    while piece := os.read(descriptor, 64 * 1024):
        yield piece

"""The bundled CNI plugin for tests: on a whole `Machine`, or in a bare namespace without a runtime.

Machine: `use_bundled_cni(machine, "10.88.0.0/24")` before the first pod starts.
Bare: `with Segment() as segment:` and `with segment.pod() as pod:`; the plugin is called as a
runtime calls it, by executable, environment and standard input.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pykubelet.network import install
from tests.support.machine import Machine, stop
from tests.support.waiting import until

ROOT = Path(__file__).resolve().parents[2]
Json = dict[str, Any]


def use_bundled_cni(
    machine: Machine,
    *subnets: str,
    cluster_cidrs: Sequence[str] = (),
    service_cidrs: Sequence[str] = (),
    version: str = "",
    serve: bool = True,
) -> subprocess.Popen[bytes] | None:
    """Installs the executables and the configuration into the machine's folders and starts the
    server in its network. What it returns is the server's process; none without `serve`, for an
    agent that serves by itself (`tests.support.agent`)."""
    socket, state = str(machine.run_dir / "cni.sock"), str(machine.home / "kubelet" / "cni")
    python = fallback_python(machine.home)
    install.install_executables(machine.cni_bin, socket=socket, python=python)
    text = install.render_config(
        (install.SOURCE / install.CONF_NAME).read_text(),
        subnets=subnets or ("10.88.0.0/24",),
        cluster_cidrs=cluster_cidrs,
        service_cidrs=service_cidrs,
        version=version,
        socket=socket,
        state_dir=state,
    )
    process = None
    if serve:
        process = machine.start(
            *server_command(socket, state), log="cni", env={"PYTHONPATH": str(ROOT)}
        )
        until(lambda: os.path.exists(socket), "the CNI server listens")
    install.install_config(machine.cni_conf, text)
    return process


def server_command(socket: str, state: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "pykubelet.network.server", socket, state)


def fallback_python(folder: Path) -> str:
    """An installed agent has its own interpreter; this one finds the sources by a wrapper, because
    the executable starts it isolated."""
    wrapper = folder / "python"
    wrapper.write_text(f'#!/bin/sh\nshift\nPYTHONPATH={ROOT} exec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    return str(wrapper)


class Segment:
    """A network namespace that plays the node, with its own folders and plugin; no runtime. With
    `resident=False` no server runs and each call works alone."""

    _numbers = itertools.count()

    def __init__(self, *subnets: str, resident: bool = True, **options: Any) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="pkn-"))
        self.netns = self.home.name.replace("_", "x").lower()
        self.bin, self.socket = self.home / "bin", self.home / "cni.sock"
        self.state = self.home / "state"
        self.resident = resident
        self.config: Json = {
            "cniVersion": "1.0.0",
            "name": "pods",
            "type": "pykubelet",
            "bridge": "pkbr0",
            "ipam": {"ranges": [[{"subnet": s}] for s in subnets or ("10.99.0.0/24",)]},
            "stateDir": str(self.state),
            **options,
        }
        self.server: subprocess.Popen[bytes] | None = None
        self._pods: list[Pod] = []

    def __enter__(self) -> Segment:
        try:
            run("ip", "netns", "add", self.netns)
            self.run("ip", "link", "set", "lo", "up")
            install.install_executables(
                self.bin, socket=str(self.socket), python=fallback_python(self.home)
            )
            if self.resident:
                self.start_server()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for pod in self._pods:
            pod.remove()
        if self.server:
            stop(self.server)
        run("ip", "netns", "del", self.netns, check=False)
        shutil.rmtree(self.home, ignore_errors=True)

    def start_server(self, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        with open(self.home / "server.log", "ab") as log:
            self.server = subprocess.Popen(
                self.enter(*server_command(str(self.socket), str(self.state))),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            )
        until(self.socket.exists, "the CNI server listens")
        return self.server

    def kill_server(self) -> None:
        """kill -9, as a crash would."""
        assert self.server
        self.server.kill()
        self.server.wait()
        self.server = None

    def enter(self, *command: str | Path) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.netns}", "--", *map(str, command)]

    def run(self, *command: str | Path, check: bool = True) -> str:
        return run(*self.enter(*command), check=check)

    def pod(self, name: str = "") -> Pod:
        """A namespace for a pod to be; removed with the segment."""
        pod = Pod(self, name or f"{self.netns}p{next(self._numbers)}")
        self._pods.append(pod)
        return pod

    def call(
        self,
        command: str,
        environment: dict[str, str] | None = None,
        config: Json | None = None,
        *,
        plugin: str = "pykubelet",
        timeout: float = 60.0,
    ) -> tuple[int, Json]:
        """Exit code and answer of the executable; {} where it printed nothing."""
        done = subprocess.run(
            self.enter(self.bin / plugin),
            input=json.dumps({**self.config, **(config or {})}).encode(),
            env={
                "PATH": os.environ["PATH"],
                "CNI_COMMAND": command,
                "CNI_PATH": str(self.bin),
                **(environment or {}),
            },
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        assert not done.stderr, done.stderr.decode()
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else {}

    def leases(self) -> list[str]:
        return sorted(p.name for p in self.state.glob("*/leases/[!.]*"))

    def links(self) -> set[str]:
        """Names of the links of the node's namespace."""
        return {link["ifname"] for link in json.loads(self.run("ip", "-j", "link"))}

    def rules(self) -> str:
        return self.run("nft", "list", "ruleset", check=False)


class Pod:
    """A namespace and a container id of its own."""

    def __init__(self, segment: Segment, name: str) -> None:
        self.segment = segment
        self.name = name
        self.path = f"/run/netns/{name}"
        run("ip", "netns", "add", name)

    def environment(self, interface: str = "eth0") -> dict[str, str]:
        return {
            "CNI_CONTAINERID": self.name,
            "CNI_NETNS": self.path,
            "CNI_IFNAME": interface,
            "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAME=p",
        }

    def call(self, command: str, **config: Any) -> tuple[int, Json]:
        return self.segment.call(command, self.environment(), config)

    def add(self, **config: Any) -> Json:
        code, answer = self.call("ADD", **config)
        assert code == 0, answer
        return answer

    def delete(self, **config: Any) -> None:
        code, answer = self.call("DEL", **config)
        assert code == 0, answer

    def run(self, *command: str | Path, check: bool = True) -> str:
        return run("nsenter", f"--net={self.path}", "--", *map(str, command), check=check)

    def start(self, *command: str | Path) -> subprocess.Popen[bytes]:
        """In the background, inside the pod; the caller stops it."""
        return subprocess.Popen(
            ["nsenter", f"--net={self.path}", "--", *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def remove(self) -> None:
        run("ip", "netns", "del", self.name, check=False)


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if check and done.returncode:
        raise AssertionError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout

"""A server of its own for each test module: a real process, on a free port of the loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from pykubelet.pki import kubeconfig
from tests.support import kubectl
from tests.support.machine import stop
from tests.support.ports import free_ports
from tests.support.waiting import until

Json = dict[str, Any]
ROOT = Path(__file__).parents[3]


class ServerUnderTest:
    """`url`, `kubeconfig`, and a session of an administrator."""

    def __init__(self, folder: Path, *options: str) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._options = options
        (self.port,) = free_ports(1)
        self.url = f"https://127.0.0.1:{self.port}"
        self.kubeconfig = folder / "admin.conf"
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "tokens.csv").write_text('secret-of-jane,jane,7,"dev,ops"\n')

    def start(self) -> None:
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pykubelet.cli.main", "apiserver", "--data-dir",
                 str(self.folder), "--secure-port", str(self.port),
                 "--token-auth-file", str(self.folder / "tokens.csv"), *self._options],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
        until(lambda: self.plain("/readyz").text == "ok", "the server is ready", timeout=60)
        config = kubeconfig.read(self.kubeconfig)
        (self.folder / "admin.pem").write_text(config.certificate + config.key)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    # -- clients ---------------------------------------------------------------------------------

    def plain(self, path: str, **more: Any) -> requests.Response:
        """A request without a credential."""
        verify = self.folder / "ca.crt"
        return requests.get(self.url + path, verify=str(verify), timeout=30, **more)

    def session(self) -> requests.Session:
        certificate = self.folder / "admin.pem"
        session = requests.Session()
        session.trust_env = False  # an authority set for the whole machine would win over ours
        session.verify = str(self.folder / "ca.crt")
        session.cert = str(certificate)
        return session

    def kubectl(self, *args: str, check: bool = True, stdin: str = "") -> str:
        if why := kubectl.missing():
            pytest.skip(why)
        done = subprocess.run(
            ["kubectl", "--kubeconfig", str(self.kubeconfig), *args],
            input=stdin, capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "HOME": str(self.folder), "KUBECTL_EXTERNAL_DIFF": "diff -u"},
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return done.stdout if check else done.stdout + done.stderr


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerUnderTest]:
    made = ServerUnderTest(tmp_path_factory.mktemp("apiserver"))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real etcd of a module's own; its URL."""
    program = shutil.which("etcd")
    if program is None:
        pytest.skip("etcd is not installed")
    folder = tmp_path_factory.mktemp("etcd")
    client, peer = (f"http://127.0.0.1:{port}" for port in free_ports(2))
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            [program, "--data-dir", str(folder / "data"), "--listen-client-urls", client,
             "--advertise-client-urls", client, "--listen-peer-urls", peer,
             "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, "ETCD_UNSUPPORTED_ARCH": "arm64"},
        )  # fmt: skip
    try:
        until(lambda: requests.get(f"{client}/health", timeout=2).ok, "etcd answers", timeout=30)
        yield client
    finally:
        stop(process)


class Api:
    """JSON in, JSON out, over one connection."""

    def __init__(self, server: ServerUnderTest) -> None:
        self.server = server
        self._session = server.session()

    def __call__(
        self, method: str, path: str, body: Any = None, kind: str = "application/json", **more: Any
    ) -> tuple[int, Json]:
        headers = {"Content-Type": kind, **more.pop("headers", {})}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        answer = self._session.request(
            method, self.server.url + path, data=data, headers=headers, timeout=30, **more
        )
        return answer.status_code, answer.json()

    def watch(self, path: str, **parameters: Any) -> Iterator[Json]:
        """The events of a watch, until it ends."""
        session = self.server.session()
        answer = session.get(
            self.server.url + path, params={"watch": "1", **parameters}, stream=True, timeout=30
        )
        for line in answer.iter_lines(chunk_size=None):
            yield json.loads(line)


@pytest.fixture
def api(server: ServerUnderTest) -> Api:
    return Api(server)


@pytest.fixture
def namespace(server: ServerUnderTest, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own."""
    name = "t-" + "".join(c if c.isalnum() else "-" for c in request.node.name.lower())[-50:]
    name = name.strip("-")
    api = Api(server)
    code, _ = api("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    assert code == 201
    # Pods need one; in a cluster a controller makes it.
    account = {"metadata": {"name": "default"}}
    code, _ = api("POST", f"/api/v1/namespaces/{name}/serviceaccounts", account)
    assert code == 201
    return name

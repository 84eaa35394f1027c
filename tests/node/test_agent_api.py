"""The agent's own API on 10250, as another machine sees it: TLS, names, pods, streams, figures."""

from __future__ import annotations

import os
import re
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from pykubelet.client import spdy, websocket
from pykubelet.client.remotecommand import Channel, Channels, SpdyChannels, WebSocketChannels
from pykubelet.pki.certificates import KeyPair
from tests.support.agent import NODE, SLEEP, AgentProcess, container, pod
from tests.support.kubelet_client import (
    KubeletClient,
    client_certificate,
    connect_inside,
    new_authority,
    private,
)
from tests.support.machine import Machine
from tests.support.waiting import until

pytestmark = pytest.mark.root

ECHO = "while read line; do echo got $line; echo told $line >&2; done"
CRASHES_ONCE = f"if test -f /r/x; then {SLEEP}; fi; touch /r/x; echo first life; exit 3"
WEB = f"default/web-{NODE}"


@pytest.fixture(scope="module")
def authority() -> KeyPair:
    return new_authority()


@pytest.fixture(scope="module")
def agent(machine: Machine, authority: KeyPair) -> Iterator[AgentProcess]:
    ca = private(machine.home / "clients.crt", authority.certificate)
    tokens = private(machine.home / "tokens.csv", 's3cret,bob,1,"admins"\n')
    (machine.home / "log" / "syslog").parent.mkdir(exist_ok=True)
    (machine.home / "log" / "syslog").write_text("booted\n")
    agent = AgentProcess(
        machine, "--client-ca-file", str(ca), "--token-auth-file", str(tokens),
        "--tls-min-version", "VersionTLS12",
        "--tls-cipher-suites", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    )  # fmt: skip
    yield agent
    agent.stop()


@pytest.fixture(scope="module")
def web(agent: AgentProcess) -> AgentProcess:
    """A pod that stays for the whole module: one container that prints, one to talk to, one that
    answers on a port, one that has crashed before."""
    agent.drop(
        "web.yaml",
        pod(
            "web",
            container(script=f"for n in 1 2 3; do echo line $n; done; {SLEEP}"),
            container("echo", ECHO, stdin=True),
            container("port", "nc -ll -p 8097 -e cat"),
            container("crashed", CRASHES_ONCE,
                      volumeMounts=[{"name": "r", "mountPath": "/r"}]),
            terminationGracePeriodSeconds=1,
            volumes=[{"name": "r", "emptyDir": {}}],
        ),
    )  # fmt: skip
    agent.wait_ready("web")
    until(lambda: agent.status("web", "crashed")["restartCount"] == 1, "one has crashed once")
    agent.wait_ready("web")
    return agent


@pytest.fixture(autouse=True)
def no_pod_is_left() -> None:
    """The pod of this module stays until the machine goes."""


@pytest.fixture
def client(machine: Machine, web: AgentProcess) -> KubeletClient:
    return KubeletClient(machine, web.root / "pki/kubelet.crt", token="s3cret")


# -- who is let in --------------------------------------------------------------------------------


def test_nobody_anonymous_is_answered(machine: Machine, web: AgentProcess) -> None:
    nobody = KubeletClient(machine, web.root / "pki/kubelet.crt")
    for path in ("/pods", "/healthz", "/metrics", f"/containerLogs/{WEB}/main", "/nowhere"):
        assert nobody.request(path)[0] == 401
    assert nobody.request(f"/run/{WEB}/main?cmd=id", "POST")[0] == 401


def test_a_client_certificate_of_the_configured_authority_is_let_in(
    machine: Machine, web: AgentProcess, authority: KeyPair
) -> None:
    trusted = web.root / "pki/kubelet.crt"
    alice = KubeletClient(machine, trusted, certificate=client_certificate(authority))
    assert alice.request("/healthz") == (200, b"ok")
    stranger = KubeletClient(machine, trusted, certificate=client_certificate(new_authority()))
    with pytest.raises((OSError, ConnectionError)):
        stranger.request("/healthz")


def test_the_configured_cipher_suite_is_the_one_of_tls_1_2(
    client: KubeletClient, machine: Machine
) -> None:
    client.context.maximum_version = ssl.TLSVersion.TLSv1_2
    with client.open() as sock:
        assert sock.cipher()[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"


def test_a_token_file_is_read_again_on_reload(
    machine: Machine, web: AgentProcess, client: KubeletClient
) -> None:
    file = machine.home / "tokens.csv"
    new = KubeletClient(machine, web.root / "pki/kubelet.crt", token="another")
    assert new.request("/healthz")[0] == 401
    file.write_text(file.read_text() + "another,carol,2\n")
    web.reload()
    until(lambda: new.request("/healthz")[0] == 200, "the new token counts")
    assert client.request("/healthz")[0] == 200


def test_the_local_socket_is_roots_alone(web: AgentProcess) -> None:
    mode = web.socket.stat()
    assert mode.st_uid == 0
    assert mode.st_mode & 0o077 == 0
    # Even where the file's mode would let somebody in, the kernel says who is asking.
    web.socket.chmod(0o666)
    os.chmod(web.machine.home, 0o711)
    asked = (
        "import socket,os; os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.settimeout(5)\n"
        f"s.connect({str(web.socket)!r})\n"
        "s.sendall(b'GET /pods HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
        "print(s.recv(100))"
    )
    os.chmod(web.machine.run_dir, 0o711)
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=False)
    web.socket.chmod(0o600)
    assert b"200" not in done.stdout, done


# -- pods and figures -----------------------------------------------------------------------------


def test_pods_are_listed_with_their_status(client: KubeletClient) -> None:
    (found,) = client.json("/pods")["items"]
    assert found["kind"] == "Pod"
    assert found["metadata"]["name"] == f"web-{NODE}"
    assert found["status"]["phase"] == "Running"
    (running,) = client.json("/runningpods/")["items"]
    assert {c["name"] for c in running["spec"]["containers"]} == {
        "main", "echo", "port", "crashed"
    }  # fmt: skip


def test_the_summary_tells_of_the_node_and_of_each_container(client: KubeletClient) -> None:
    summary = client.json("/stats/summary")
    assert summary["node"]["nodeName"] == NODE
    assert summary["node"]["memory"]["workingSetBytes"] > 0
    (of_pod,) = summary["pods"]
    assert of_pod["podRef"]["name"] == f"web-{NODE}"
    by_name = {c["name"]: c for c in of_pod["containers"]}
    assert by_name["main"]["memory"]["workingSetBytes"] > 0
    assert by_name["main"]["cpu"]["usageCoreNanoSeconds"] > 0
    assert of_pod["network"]["interfaces"][0]["name"] == "eth0"
    short = client.json("/stats/summary?only_cpu_and_memory=true")
    assert "fs" not in short["node"]


@pytest.mark.parametrize(
    ("path", "series"),
    [
        ("/metrics", 'kubelet_running_pods 1'),
        ("/metrics", 'kubelet_running_containers{container_state="running"} 4'),
        ("/metrics", 'kubelet_loop_cpu_seconds_total{loop="manifests"}'),
        ("/metrics", 'kubelet_loop_cpu_seconds_total{loop="pods"}'),
        ("/metrics", 'kubelet_runtime_operations_total{operation_type="run_pod_sandbox"}'),
        ("/metrics", "process_cpu_seconds_total"),
        ("/metrics/cadvisor", 'container="main",id="'),
        ("/metrics/cadvisor", "container_memory_working_set_bytes{"),
        ("/metrics/resource", 'container_cpu_usage_seconds_total{container="main"'),
        ("/metrics/resource", "node_memory_working_set_bytes"),
        ("/metrics/probes", ""),
    ],
)  # fmt: skip
def test_each_page_of_metrics_has_what_dashboards_look_for(
    client: KubeletClient, path: str, series: str
) -> None:
    """Complaint: a share of a core with no workload; CPU per loop is a metric."""
    status, body = client.request(path)
    assert status == 200
    assert series in body.decode()


def test_the_configuration_in_force_is_shown(client: KubeletClient) -> None:
    shown = client.json("/configz")["kubeletconfig"]
    assert shown["maxPods"] == 110
    assert shown["tlsMinVersion"] == "VersionTLS12"


def test_the_hosts_log_files_are_served(client: KubeletClient) -> None:
    assert client.request("/logs/syslog") == (200, b"booted\n")


def test_health_is_answered_to_anyone_on_its_own_port(machine: Machine, web: AgentProcess) -> None:
    with connect_inside(machine, 10248) as sock:
        sock.sendall(b"GET /healthz?verbose HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(4096), b"")).decode()
    assert "[+]syncloop ok" in answer
    assert "[+]runtime ok" in answer


def test_there_is_one_agent_to_a_port(web: AgentProcess, machine: Machine) -> None:
    second = subprocess.run(
        machine.enter(*web.arguments, "--agent-socket", str(machine.run_dir / "second.sock")),
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert second.returncode == 1
    lines = [line for line in second.stderr.splitlines() if " E " in line]
    assert any("port 10250 is taken by" in line for line in lines)
    assert any("port 10248 is taken by" in line for line in lines)
    assert len(lines) == 2


# -- logs -----------------------------------------------------------------------------------------


def test_logs_come_whole_by_their_tail_since_a_time_and_with_stamps(client: KubeletClient) -> None:
    path = f"/containerLogs/{WEB}/main"
    assert client.request(path) == (200, b"line 1\nline 2\nline 3\n")
    assert client.request(f"{path}?tailLines=1") == (200, b"line 3\n")
    assert client.request(f"{path}?limitBytes=6") == (200, b"line 1")
    _, stamped = client.request(f"{path}?timestamps=true&tailLines=1")
    assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\S+ line 3\n", stamped)
    assert client.request(f"{path}?sinceTime=2099-01-01T00:00:00Z") == (200, b"")
    assert client.request(f"{path}?sinceSeconds=3600")[1].count(b"\n") == 3
    assert client.request(f"/containerLogs/{WEB}/none")[0] == 404


def test_logs_of_the_life_before_are_told_apart(client: KubeletClient) -> None:
    path = f"/containerLogs/{WEB}/crashed"
    assert client.request(f"{path}?previous=true") == (200, b"first life\n")
    assert client.request(path) == (200, b"")
    status, body = client.request(f"/containerLogs/{WEB}/main?previous=true")
    assert status == 400
    assert b"previous terminated container" in body


def test_logs_are_followed_as_they_are_written(client: KubeletClient) -> None:
    with client.stream(f"/containerLogs/{WEB}/echo?follow=true&sinceSeconds=1") as answer:
        assert answer.status == 200
        target = f"/attach/{WEB}/echo?input=1&output=1&error=1"
        threading.Thread(
            target=lambda: client.converse(
                target, SpdyChannels(True, True, True, False), "POST", b"followed\n", b"told"
            )
        ).start()
        heard = b""
        while b"told followed\n" not in heard or b"got followed\n" not in heard:
            heard += answer.read1(4096)


# -- streams --------------------------------------------------------------------------------------

Make = Callable[[bool], Channels]
BOTH = pytest.mark.parametrize(
    ("make", "method"),
    [
        (lambda stdin: SpdyChannels(stdin, True, True, False), "POST"),
        (lambda stdin: WebSocketChannels(), "GET"),
    ],
    ids=["SPDY", "WebSocket"],
)


@BOTH
def test_exec_carries_input_outputs_and_the_exit_code(
    client: KubeletClient, make: Make, method: str
) -> None:
    words = "".join(
        f"command={w}&" for w in ("sh", "-c", "read%20x;echo%20$x;echo%20e%20%3E%262;exit%209")
    )
    heard, ended = client.converse(
        f"/exec/{WEB}/main?{words}input=1&output=1&error=1", make(True), method, b"typed\n"
    )
    assert heard == {Channel.STDOUT: b"typed\n", Channel.STDERR: b"e\n"}
    assert ended is not None
    assert ended.code == 9


@BOTH
def test_attach_talks_to_the_process_that_runs_already(
    client: KubeletClient, make: Make, method: str
) -> None:
    heard, _ = client.converse(
        f"/attach/{WEB}/echo?input=1&output=1&error=1", make(True), method,
        b"hello " + method.encode() + b"\n", b"told hello " + method.encode(),
    )  # fmt: skip
    assert b"told hello" in heard[Channel.STDERR]


def test_run_gives_the_output_of_a_command(client: KubeletClient) -> None:
    assert client.request(f"/run/{WEB}/main?cmd=echo%20here", "POST") == (200, b"here\n")
    status, body = client.request(f"/run/{WEB}/main?cmd=false", "POST")
    assert status == 500
    assert b"exit code 1" in body


def test_a_port_is_forwarded_over_websocket(client: KubeletClient) -> None:
    key = websocket.new_key()
    headers = websocket.upgrade_headers(key, ["v4.channel.k8s.io"])
    sock, answer, rest = client.upgrade(f"/portForward/{WEB}?port=8097", headers, "GET")
    assert answer["sec-websocket-accept"] == websocket.expected_accept(key)
    stream = websocket.Client()
    data = b""
    with sock:
        sock.sendall(websocket.frame(b"\x00" + b"ping through\n"))
        while b"ping through\n" not in data:
            for event in stream.receive(rest or sock.recv(65536)):
                if isinstance(event, websocket.Message) and event.data[:1] == b"\x00":
                    data += event.data[1:]
            rest = b""
    assert data == struct.pack("<H", 8097) + b"ping through\n"


def test_a_port_is_forwarded_over_spdy(client: KubeletClient) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "SPDY/3.1",
        "X-Stream-Protocol-Version": "portforward.k8s.io",
    }
    sock, _, rest = client.upgrade(f"/portForward/{WEB}", headers)
    stream = spdy.Client()
    echoed = b""
    with sock:
        pair = {"port": "8097", "requestid": "0"}
        _, opening = stream.open({"streamtype": "error", **pair})
        number, more = stream.open({"streamtype": "data", **pair})
        sock.sendall(opening + more)
        while len(echoed) < 50_000:
            for event in stream.receive(rest or sock.recv(65536)):
                if isinstance(event, spdy.Opened) and event.stream == number:
                    sock.sendall(stream.data(number, b"x" * 50_000))
                elif isinstance(event, spdy.Data) and event.stream == number:
                    echoed += event.data
                elif isinstance(event, spdy.Reply):
                    sock.sendall(event.data)
            rest = b""
    assert echoed == b"x" * 50_000


# -- what a person types --------------------------------------------------------------------------


def _type(agent: AgentProcess, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pykubelet.cli.main", verb, "--socket", str(agent.socket), *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_a_person_sees_the_node_and_its_pods_at_a_glance(web: AgentProcess) -> None:
    done = _type(web, "status")
    assert done.returncode == 0
    assert re.search(rf"^{NODE}\s+Ready", done.stdout)
    assert re.search(rf"web-{NODE}\s.*4/4", done.stdout)


def test_a_person_is_told_why_by_pod_and_by_file(web: AgentProcess) -> None:
    """Complaint: a static pod does not start and nothing says why."""
    for target in ("web", f"default/web-{NODE}", "web.yaml", str(web.manifests / "web.yaml")):
        done = _type(web, "why", target)
        assert done.returncode == 0, done.stderr
        assert "web.yaml" in done.stdout
    done = _type(web, "why", "no-such-pod")
    assert done.returncode != 0
    assert "nothing here is called no-such-pod" in done.stderr


def test_a_person_reads_logs_and_runs_commands(web: AgentProcess) -> None:
    assert _type(web, "logs", "web", "-c", "main").stdout == "line 1\nline 2\nline 3\n"
    done = _type(web, "exec", "web", "-c", "main", "--", "sh", "-c", "echo in; exit 4")
    assert (done.returncode, done.stdout) == (4, "in\n")

"""kill -9 at every step of ADD and DEL, and after a reboot: what is left is found and taken back.

A step is everything that changes something outside of the process: a netlink request, a rule
transaction, a file written, renamed or removed, a sysctl. The process is killed just before its
n-th step, for every n.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pykubelet.network.leases import BOOT_ID
from tests.support.network import ROOT, Pod, Segment

pytestmark = pytest.mark.root

PORTS = {"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "udp"}]}

KILLED = """
import os, sys
from pathlib import Path
from pykubelet.network import filters, footprint, leases, netlink, cni

left = [int(sys.argv[1])]
def dying(original):
    def step(*args, **kwargs):
        if left[0] == 0:
            os.kill(os.getpid(), 9)
        left[0] -= 1
        return original(*args, **kwargs)
    return step

netlink.RouteSocket.send = dying(netlink.RouteSocket.send)
filters._run = dying(filters._run)
leases.os.rename = dying(os.rename)
leases.os.pwrite = dying(os.pwrite)
footprint.os.replace = dying(os.replace)
Path.unlink = dying(Path.unlink)
footprint.write_sysctl = dying(footprint.write_sysctl)
sys.exit(cni.main())
"""


@pytest.fixture
def alone() -> Iterator[Segment]:
    """No agent: each call is a process of its own, to be killed."""
    with Segment("10.99.0.0/24", "fd99::/64", resident=False, runtimeConfig=PORTS) as segment:
        yield segment


def killed(pod: Pod, command: str, step: int) -> bool:
    """Whether the call died before its n-th step; else it had fewer, and succeeded."""
    done = subprocess.run(
        pod.segment.enter(sys.executable, "-c", KILLED, str(step)),
        input=json.dumps(pod.segment.config).encode(),
        env={**os.environ, **pod.environment(), "CNI_COMMAND": command, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stdout + done.stderr
    return done.returncode != 0


def left_behind(segment: Segment) -> tuple[set[str], list[str], bool]:
    """Links beside the bridge, leases, and whether a host port is still mapped."""
    links = segment.links() - {"lo", "pkbr0"}
    return links, segment.leases(), "8080" in segment.rules()


NOTHING: tuple[set[str], list[str], bool] = (set(), [], False)


def gc(segment: Segment, *valid: str) -> None:
    listed = [{"containerID": name, "ifname": "eth0"} for name in valid]
    answer = segment.call("GC", config={"cniVersion": "1.1.0", "cni.dev/valid-attachments": listed})
    assert answer == (0, {})


def test_after_an_add_that_died_anywhere_del_leaves_nothing(alone: Segment) -> None:
    step = 0
    while killed(pod := alone.pod(), "ADD", step):
        pod.delete()
        assert left_behind(alone) == NOTHING, f"killed before step {step}"
        step += 1
    assert step >= 8
    pod.delete()
    assert left_behind(alone) == NOTHING


def test_an_add_that_died_anywhere_can_be_repeated(alone: Segment) -> None:
    step = 0
    while killed(pod := alone.pod(), "ADD", step):
        answer = pod.add()
        assert pod.call("CHECK", prevResult=answer) == (0, {}), f"killed before step {step}"
        assert len(alone.leases()) == 1
        assert "8080" in alone.rules()
        pod.delete()
        step += 1
    pod.delete()
    assert left_behind(alone) == NOTHING


def test_a_del_that_died_anywhere_can_be_repeated(alone: Segment) -> None:
    step = 0
    while True:
        pod = alone.pod()
        pod.add()
        if not killed(pod, "DEL", step):
            break
        pod.delete()
        assert left_behind(alone) == NOTHING, f"killed before step {step}"
        step += 1
    assert step > 3
    assert left_behind(alone) == NOTHING


def test_what_died_anywhere_and_is_never_asked_for_again_is_collected(alone: Segment) -> None:
    """Complaint 18: the address of a pod whose teardown never came leaks."""
    for command in ("ADD", "DEL"):
        step = 0
        while True:
            pod = alone.pod()
            if command == "DEL":
                pod.add()
            if not killed(pod, command, step):
                break
            gc(alone)
            assert left_behind(alone) == NOTHING, f"{command} killed before step {step}"
            step += 1
        pod.delete()


def test_a_reboot_frees_every_address(alone: Segment) -> None:
    """Complaint 18: IP addresses leak after a reboot until none is left. (A boot is told by its id;
    the leases of another one are those of links and sandboxes that no longer exist.)"""
    alone.pod().add()
    boot = BOOT_ID.read_text().strip()
    (alone.state / boot).rename(alone.state / "00000000-0000-0000-0000-000000000000")
    pod = alone.pod()
    assert pod.add()["ips"][0]["address"] == "10.99.0.2/24"
    assert alone.leases() == [f"pods:{pod.name}:eth0"]
    assert [p.name for p in alone.state.iterdir()] == [boot]


COLLECT = """
import sys
from pykubelet.network.server import CniServer
server = CniServer("/nowhere", sys.argv[1])
print(len(server.gc(sys.argv[4:], settle=float(sys.argv[2]), grace=float(sys.argv[3]))))
"""


def collect(segment: Segment, settle: float, grace: float, *valid: str) -> int:
    done = subprocess.run(
        segment.enter(
            sys.executable, "-c", COLLECT, segment.state, str(settle), str(grace), *valid
        ),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def test_the_agent_collects_what_no_sandbox_owns_but_not_what_is_just_being_made(
    segment: Segment,
) -> None:
    owned, starting, dead = segment.pod(), segment.pod(), segment.pod()
    for pod in (owned, starting, dead):
        pod.add()
    assert collect(segment, 60, 600, owned.name) == 0
    dead.remove()  # its link goes with it
    deadline = time.monotonic() + 5
    while collect(segment, 0, 600, owned.name) == 0:
        assert time.monotonic() < deadline
    assert segment.leases() == sorted(f"pods:{p.name}:eth0" for p in (owned, starting))
    assert collect(segment, 0, 0, owned.name) == 1
    assert segment.leases() == [f"pods:{owned.name}:eth0"]


def test_a_link_of_ours_without_a_lease_is_collected(segment: Segment, tmp_path: Path) -> None:
    pod = segment.pod()
    pod.add()
    next(segment.state.glob("*/leases/pods:*")).unlink()
    stranger = ("ip", "link", "add", "stranger0", "type", "veth", "peer", "name", "stranger1")
    segment.run(*stranger)
    segment.run("ip", "link", "set", "stranger0", "master", "pkbr0")
    collect(segment, 0, 0)
    assert segment.links() == {"lo", "pkbr0", "stranger0", "stranger1"}


EXHAUSTED = """
import sys, signal
from pykubelet.network.server import CniServer
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
server = CniServer(sys.argv[1], sys.argv[2], live_sandboxes=lambda: [])
server.start()
signal.sigwait({signal.SIGTERM})
server.stop()
"""


def test_when_addresses_run_out_the_agent_looks_for_dead_owners_first() -> None:
    """Complaint 18: IP addresses leak until none is left."""
    with Segment("10.99.0.0/30", resident=False) as segment:
        lost = segment.pod()
        lost.add()
        lost.remove()
        for path in segment.state.glob("*/leases/pods:*"):
            lease = json.loads(path.read_text())
            path.write_text(json.dumps({**lease, "created": lease["created"] - 3600}))
        server = subprocess.Popen(
            segment.enter(sys.executable, "-c", EXHAUSTED, segment.socket, segment.state),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        segment.server = server
        deadline = time.monotonic() + 10
        while not segment.socket.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert segment.pod().add()["ips"][0]["address"] == "10.99.0.2/30"

"""What a pod's network costs: our plugin beside the reference chain (bridge, host-local, portmap).

    python -m tests.bench.cni [pods]

Whole processes, as a runtime starts them, in a throw-away namespace: wall time from start to exit,
CPU of the process and its children; for ours the resident agent's CPU is added. Medians for the
wall time, means for the CPU. The peers are looked for in the folder named by BENCH_PEERS, then in
/usr/lib/cni. A pod's life is ADD and two DELs, as containerd does it, with loopback.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pykubelet.network.namespaces import entered, open_namespace
from tests.support.network import Pod, Segment

Json = dict[str, Any]
ROUNDS = 8
PORTS = [{"hostPort": 18080, "containerPort": 80, "protocol": "tcp"}]


@dataclass
class Cost:
    wall: list[float] = field(default_factory=list)
    cpu: float = 0.0

    def line(self, name: str) -> str:
        wall = statistics.median(self.wall) * 1e3
        worst = sorted(self.wall)[int(len(self.wall) * 0.95)] * 1e3
        cpu = self.cpu / len(self.wall) * 1e3
        return f"  {name:34s} wall p50 {wall:6.1f} ms  p95 {worst:6.1f} ms   CPU {cpu:6.1f} ms"


def start(program: Path, environment: dict[str, str], config: Json) -> tuple[float, float, Json]:
    """Wall seconds, CPU seconds (with children) and the answer of one whole process."""
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout:
        stdin.write(json.dumps(config).encode())
        stdin.seek(0)
        actions = [
            (os.POSIX_SPAWN_DUP2, stdin.fileno(), 0),
            (os.POSIX_SPAWN_DUP2, stdout.fileno(), 1),
        ]
        begin = time.perf_counter()
        pid = os.posix_spawn(program, [str(program)], environment, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - begin
        stdout.seek(0)
        printed = stdout.read()
    assert status == 0, printed
    return wall, usage.ru_utime + usage.ru_stime, json.loads(printed) if printed.strip() else {}


class Chain:
    """Plugins called one after the other; DEL in the opposite order."""

    def __init__(self, folder: Path, configs: list[Json], server: int = 0) -> None:
        self.folder = folder
        self.configs = configs
        self.server = server

    def call(self, command: str, pod: Pod, cost: Cost, result: Json) -> Json:
        environment = {
            **pod.environment(),
            "CNI_COMMAND": command,
            "CNI_PATH": str(self.folder),
            "PATH": os.environ["PATH"],
        }
        wall = 0.0
        for config in self.configs if command == "ADD" else reversed(self.configs):
            body = {**config, **({"prevResult": result} if result else {})}
            took, cpu, answer = start(self.folder / config["type"], environment, body)
            wall += took
            cost.cpu += cpu
            result = answer or result
        cost.wall.append(wall)
        return result

    def server_cpu(self) -> float:
        if not self.server:
            return 0.0
        fields = Path(f"/proc/{self.server}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def measure(self, segment: Segment, pods: int) -> dict[str, Cost]:
        costs = {"ADD": Cost(), "DEL": Cost(), "DEL again": Cost()}
        made = [segment.pod() for _ in range(pods)]
        begin = self.server_cpu()
        results = [self.call("ADD", pod, costs["ADD"], {}) for pod in made]
        middle = self.server_cpu()
        costs["ADD"].cpu += middle - begin
        for pod, result in zip(made, results, strict=True):
            self.call("DEL", pod, costs["DEL"], result)
        end = self.server_cpu()
        costs["DEL"].cpu += end - middle
        for pod, result in zip(made, results, strict=True):
            self.call("DEL", pod, costs["DEL again"], result)
        costs["DEL again"].cpu += self.server_cpu() - end
        for pod in made:
            pod.remove()
        return costs


def reference(folder: Path, segment: Segment, ports: bool) -> Chain:
    common = {"cniVersion": "1.0.0", "name": "reference"}
    bridge = {
        **common,
        "type": "bridge",
        "bridge": "refbr0",
        "isGateway": True,
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "dataDir": str(segment.home / "reference"),
            "ranges": [[{"subnet": "10.98.0.0/24"}]],
        },
    }
    portmap: Json = {**common, "type": "portmap", "snat": True}
    if ports:
        portmap["runtimeConfig"] = {"portMappings": PORTS}
    return Chain(folder, [bridge, portmap])


def ours(segment: Segment, ports: bool) -> Chain:
    assert segment.server
    config = {name: value for name, value in segment.config.items() if name != "stateDir"}
    if ports:
        config["runtimeConfig"] = {"portMappings": PORTS}
    return Chain(segment.bin, [config], segment.server.pid)


def loopback(folder: Path, server: int = 0) -> Chain:
    config = {"cniVersion": "0.3.1", "name": "cni-loopback", "type": "loopback"}
    return Chain(folder, [config], server)


def show(name: str, runs: list[dict[str, Cost]]) -> None:
    print(name)
    life = 0.0
    for verb in ("ADD", "DEL", "DEL again"):
        cost = Cost(
            [wall for run in runs for wall in run[verb].wall], sum(r[verb].cpu for r in runs)
        )
        life += cost.cpu / len(cost.wall)
        print(cost.line(verb))
    print(f"  {'CPU of a pod’s life':34s} {life * 1e3:.1f} ms")


def main() -> None:
    pods = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    folders = [Path(os.environ.get("BENCH_PEERS", "/nowhere")), Path("/usr/lib/cni")]
    peers = next((f for f in folders if (f / "bridge").exists()), None)
    with Segment() as segment:
        node = open_namespace(f"/run/netns/{segment.netns}")
        with entered(node):
            assert segment.server
            pid = segment.server.pid
            chains: list[tuple[str, Chain, int]] = [("pykubelet", ours(segment, False), pods)]
            if peers:
                chains.append(("reference chain", reference(peers, segment, False), pods))
            chains.append(("pykubelet, loopback", loopback(segment.bin, pid), pods))
            if peers:
                chains.append(("reference, loopback", loopback(peers), pods))
            chains.append(("pykubelet, a host port", ours(segment, True), ROUNDS))
            if peers:
                chains.append(("reference, a host port", reference(peers, segment, True), ROUNDS))
            for _, chain, _ in chains:
                chain.measure(segment, 1)  # warm: bridge made, files in memory
            runs: dict[str, list[dict[str, Cost]]] = {}
            for _ in range(ROUNDS):  # taking turns, so that a busy machine is busy for both
                for name, chain, count in chains:
                    runs.setdefault(name, []).append(chain.measure(segment, count // ROUNDS))
            for name, measured in runs.items():
                show(name, measured)
        os.close(node)
        with open(f"/proc/{pid}/smaps_rollup") as rollup:
            pss = next(line.split()[1] for line in rollup if line.startswith("Pss:"))
        print(f"server alone: {int(pss) / 1024:.1f} MB PSS")
    if peers is None:
        print("no peers: name a folder of CNI plugins in BENCH_PEERS")


if __name__ == "__main__":
    main()

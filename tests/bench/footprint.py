"""What the agent weighs: memory with 60 pods, CPU with none and with 100 quiet ones, start-up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.bench.rows import Row
from tests.support.agent import AgentProcess, container, pod
from tests.support.machine import Machine
from tests.support.network import use_bundled_cni
from tests.support.waiting import until

SECONDS = 40.0


def rows() -> Iterator[Row]:
    with Machine() as machine:
        machine.load_images()
        use_bundled_cni(machine, "10.66.0.0/16", serve=False)
        agent = AgentProcess(machine, "--max-pods", "200", start=False)
        began = time.perf_counter()
        agent.start(wait=False)
        until(lambda: agent.get("status")["node"]["ready"], "the node is ready", interval=0.01)
        ready = time.perf_counter() - began
        yield Row("agent started to node Ready", ready, "s", target="3 s", reached=ready <= 3)
        try:
            idle = _cpu(agent)
            yield Row("CPU idle, % of a core", idle, "%", target="0.3 %", reached=idle <= 0.3)
            _fill(agent, 60)
            memory = _pss(agent)
            yield Row("memory (PSS) with 60 pods", memory, "MB", _bare(), "a bare interpreter",
                      target="60 MB", reached=memory <= 60)  # fmt: skip
            _fill(agent, 100)
            quiet = _cpu(agent)
            yield Row("CPU with 100 quiet pods, % of a core", quiet, "%", target="1.5 %",
                      reached=quiet <= 1.5)  # fmt: skip
        finally:
            for manifest in agent.manifests.iterdir():
                manifest.unlink()
            until(lambda: not agent.pods(), "all pods are gone", 200, interval=0.5)
            agent.stop()


def _fill(agent: AgentProcess, count: int) -> None:
    for number in range(count):
        sleeps = container(command=["sleep", "100000"])
        name = f"quiet{number}"
        if not (agent.manifests / f"{name}.json").exists():
            agent.drop(f"{name}.json", pod(name, sleeps, terminationGracePeriodSeconds=0))
    until(lambda: sum(p["status"].get("phase") == "Running" for p in agent.pods()) >= count,
          f"{count} pods run", 300, interval=0.5)  # fmt: skip


def _cpu(agent: AgentProcess) -> float:
    """Percent of a core over the next while, once things have calmed down."""
    assert agent.process
    process = psutil.Process(agent.process.pid)
    time.sleep(5)
    before = process.cpu_times()
    time.sleep(SECONDS)
    after = process.cpu_times()
    return 100 * (after.user + after.system - before.user - before.system) / SECONDS


def _pss(agent: AgentProcess) -> float:
    assert agent.process
    return _pss_of(agent.process.pid)


def _pss_of(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"no Pss of {pid}")


def _bare() -> float:
    import subprocess
    import sys

    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    time.sleep(0.5)
    try:
        return _pss_of(process.pid)
    finally:
        process.kill()
        process.wait()

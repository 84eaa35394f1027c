"""Startup, liveness and readiness probes, and lifecycle hooks.

`state` is what a probe's answers mean, `schedule` when the next is due, `manager` does it; `http`,
`tcp`, `grpc_` and `exec` ask. `hooks` runs postStart and preStop.
"""

from pykubelet.kubelet.probes.hooks import HookResult, Interrupt, run_hook
from pykubelet.kubelet.probes.manager import Probes
from pykubelet.kubelet.probes.schedule import ProbeResult, RunningContainer

__all__ = ["HookResult", "Interrupt", "ProbeResult", "Probes", "RunningContainer", "run_hook"]

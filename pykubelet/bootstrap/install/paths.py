"""Where an installation has its parts."""

from __future__ import annotations

from pathlib import Path

PREFIX = Path("/opt/pykubelet")
PROGRAM = PREFIX / "bin/pykubelet"
COMMANDS = Path("/usr/local/bin")

ETC = Path("/etc/pykubelet")
KUBELET_CONFIG = ETC / "kubelet.yaml"
KUBELET_DROPINS = ETC / "kubelet.conf.d"
MANIFESTS = Path("/etc/kubernetes/manifests")
CONTAINERD_CONFIG = Path("/etc/containerd/config.toml")
CONTAINERD_SOCKET = Path("/run/containerd/containerd.sock")
CNI_BIN = Path("/opt/cni/bin")
CNI_CONF = Path("/etc/cni/net.d")
UNITS = Path("/etc/systemd/system")

STATE = Path("/var/lib/pykubelet")
RECORD = STATE / "install.json"
KUBELET_ROOT = Path("/var/lib/kubelet")
POD_LOGS = Path("/var/log/pods")
CONTAINER_LOGS = Path("/var/log/containers")
LOGS = Path("/var/log/pykubelet")
RUN = Path("/run/pykubelet")

# The daemons make and fill these. Those that weren't there before us go with us.
FILLED_BY_AGENT = (KUBELET_ROOT, POD_LOGS, CONTAINER_LOGS)
FILLED_BY_DAEMONS = (
    *FILLED_BY_AGENT,
    Path("/var/lib/containerd"),
    Path("/run/containerd"),
    Path("/opt/containerd"),
    Path("/var/lib/cni"),
    Path("/var/lib/cni/results"),
)

# The agent's command line; the unit file says the same.
AGENT_ARGUMENTS = ("--config", str(KUBELET_CONFIG), "--config-dir", str(KUBELET_DROPINS))

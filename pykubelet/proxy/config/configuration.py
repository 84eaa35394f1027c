"""The proxy's settings: one frozen value, with the fields of upstream's KubeProxyConfiguration
(kubeproxy.config.k8s.io/v1alpha1) that are acted on. Durations are seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pykubelet.proxy.config import kinds
from pykubelet.proxy.config.kinds import Kind

API_VERSION = "kubeproxy.config.k8s.io/v1alpha1"
KIND = "KubeProxyConfiguration"
MODES = ("", "nftables", "iptables")
LOCAL_MODES = ("", "ClusterCIDR", "NodeCIDR", "BridgeInterface", "InterfaceNamePrefix")

_BIT = kinds.integer(0, 31)


def _at(path: str, kind: Kind, default: Any) -> Any:
    return field(default=default, metadata={"path": path, "kind": kind})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeSettings:
    """What upstream has once for each mode. `sync_period`: how often is looked whether the rules
    are still whole. `min_sync_period`: least time between two changes of the rules."""

    masquerade_bit: int = _at("masqueradeBit", _BIT, 14)
    masquerade_all: bool = _at("masqueradeAll", kinds.boolean, False)
    sync_period: float = _at("syncPeriod", kinds.duration, 30.0)
    # Upstream waits a second. A change costs us milliseconds whatever the number of services.
    min_sync_period: float = _at("minSyncPeriod", kinds.duration, 0.02)


@dataclass(frozen=True, slots=True, kw_only=True)
class IptablesSettings(ModeSettings):
    # Upstream says true, which opens 127.0.0.0/8 of the node by route_localnet (CVE-2020-8558 was
    # that door). nftables can't do it at all: so that both modes do the same, it must be asked for.
    localhost_node_ports: bool = _at("localhostNodePorts", kinds.boolean, False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    mode: str = _at("mode", kinds.choice(*MODES), "")
    healthz: tuple[str, int] | None = _at("healthzBindAddress", kinds.endpoint, ("0.0.0.0", 10256))
    metrics: tuple[str, int] | None = _at(
        "metricsBindAddress", kinds.endpoint, ("127.0.0.1", 10249)
    )
    bind_hard_fail: bool = _at("bindAddressHardFail", kinds.boolean, False)
    kubeconfig: str = _at("clientConnection.kubeconfig", kinds.text, "")
    hostname_override: str = _at("hostnameOverride", kinds.text, "")
    detect_local_mode: str = _at("detectLocalMode", kinds.choice(*LOCAL_MODES), "")
    bridge_interface: str = _at("detectLocal.bridgeInterface", kinds.text, "")
    interface_name_prefix: str = _at("detectLocal.interfaceNamePrefix", kinds.text, "")
    cluster_cidr: tuple[str, ...] = _at("clusterCIDR", kinds.networks, ())
    node_port_addresses: tuple[str, ...] = _at("nodePortAddresses", kinds.node_port_addresses, ())
    nftables: ModeSettings = field(default_factory=ModeSettings)
    iptables: IptablesSettings = field(default_factory=IptablesSettings)
    #: A sentence for each field given that is not acted on.
    ignored: tuple[str, ...] = ()


#: Fields of upstream that are read and not acted on, and why; a prefix stands for all below it.
IGNORED = {
    "featureGates": "there are none here",
    "bindAddress": "the node's addresses are those of its Node object",
    "enableProfiling": "there is no Go profiler here",
    "showHiddenMetricsForVersion": "no metric is hidden",
    "logging": "see --v",
    "clientConnection": "only its kubeconfig is",
    "configSyncPeriod": "changes are watched for",
    "portRange": "upstream does not act on it either",
    "oomScoreAdj": "set it in the service manager",
    "conntrack": "the kernel's settings are left to the host (sysctl.d)",
    "ipvs": "there is no IPVS mode",
    "winkernel": "this is Linux",
    "windowsRunAsService": "this is Linux",
    "nodeIPOverride": "the node's addresses are those of its Node object",
}

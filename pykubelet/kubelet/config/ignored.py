"""Fields of upstream's KubeletConfiguration that are accepted and not acted on, and why.

A file written for the reference kubelet is read as it is; for each field below that it sets, one
sentence goes into `Configuration.ignored`, is logged at start and shown by `pykubelet status`.
A field whose given value asks for what happens anyway (its entry in `HARMLESS`) goes unmentioned.
"""

from __future__ import annotations

from typing import Any

from pykubelet.kubelet.config.kinds import (
    AbsolutePath,
    Bool,
    Choice,
    Duration,
    Integer,
    Kind,
    ListOf,
    MapOf,
    Quantity,
    Record,
    Text,
)

_MANIFESTS = "static pods come from staticPodPath only"
_CPUS = "CPUs are shared out by weight and quota, never pinned"
_NUMA = "the NUMA topology is not taken into account"
_IPTABLES = "packet rules are the proxy's and the CNI plugin's work"
_JSON = "the agent speaks JSON to the API server, one request at a time per object"
_DEBUG = "the agent is no Go program and has no such endpoint"
_CERTIFICATES = "no certificate is asked of the cluster; those in the files are used as they are"
_NO_EFFECT = "upstream does not act on it either"

IGNORED: dict[str, tuple[Kind, str]] = {
    "httpCheckFrequency": (Duration(), _MANIFESTS),
    "staticPodURL": (Text(), _MANIFESTS),
    "staticPodURLHeader": (MapOf(ListOf(Text())), _MANIFESTS),
    "readOnlyPort": (Integer(0, 65535), "nothing is served to clients that nobody knows"),
    "tlsCurvePreferences": (ListOf(Integer()), "OpenSSL's own secure choice is used"),
    "imagePullCredentialsVerificationPolicy": (
        Choice("NeverVerify", "NeverVerifyPreloadedImages", "NeverVerifyAllowlistedImages",
               "AlwaysVerify"),
        "every pod on the node may use every image that is on it"),
    "preloadedImagesVerificationAllowlist": (
        ListOf(Text()), "every pod on the node may use every image that is on it"),
    "enableContentionProfiling": (Bool(), _DEBUG),
    "rotateCertificates": (Bool(), _CERTIFICATES),
    "serverTLSBootstrap": (Bool(), _CERTIFICATES),
    "cgroupsPerQOS": (Bool(), "pods always live in the QoS tree"),
    "kubeletCgroups": (Text(), "the agent stays in the cgroup that its service manager gave it"),
    "systemCgroups": (Text(), "the agent moves no process that it did not start"),
    "cpuManagerPolicy": (Choice("none", "static"), _CPUS),
    "cpuManagerPolicyOptions": (MapOf(Text()), _CPUS),
    "cpuManagerReconcilePeriod": (Duration(), _CPUS),
    "memoryManagerPolicy": (Choice("None", "Static"), _NUMA),
    "topologyManagerPolicy": (
        Choice("none", "best-effort", "restricted", "single-numa-node"), _NUMA),
    "topologyManagerScope": (Choice("container", "pod"), _NUMA),
    "topologyManagerPolicyOptions": (MapOf(Text()), _NUMA),
    "reservedMemory": (
        ListOf(Record({"numaNode": Integer(0), "limits": MapOf(Quantity())})), _NUMA),
    "reservedSystemCPUs": (Text(), _CPUS),
    "qosReserved": (MapOf(Text()), "requests are protected by memoryReservationPolicy instead"),
    "hairpinMode": (
        Choice("promiscuous-bridge", "hairpin-veth", "none"), "the CNI configuration says"),
    "runOnce": (Bool(), "the agent always keeps running"),
    "contentType": (Text(), _JSON),
    "kubeAPIQPS": (Integer(0), _JSON),
    "kubeAPIBurst": (Integer(0), _JSON),
    "enableControllerAttachDetach": (Bool(), "no volume type here needs to be attached"),
    "volumePluginDir": (AbsolutePath(), "no third-party volume plugins are run"),
    "protectKernelDefaults": (Bool(), "the agent changes no kernel setting, it reports bad ones"),
    "makeIPTablesUtilChains": (Bool(), _IPTABLES),
    "iptablesMasqueradeBit": (Integer(0, 31), _NO_EFFECT),
    "iptablesDropBit": (Integer(0, 31), _NO_EFFECT),
    "featureGates": (MapOf(Bool()), "every feature here is either finished and on, or absent"),
    "containerLogMaxWorkers": (Integer(1), "one worker rotates logs"),
    "configMapAndSecretChangeDetectionStrategy": (
        Choice("Get", "Cache", "Watch"), "config maps and secrets are always watched"),
    "showHiddenMetricsForVersion": (Text(), "no metric is hidden"),
    "kernelMemcgNotification": (Bool(), "memory pressure is told by the kernel in any case"),
    "enableSystemLogQuery": (Bool(), "the journal is not served; log files are"),
    "enableProfilingHandler": (Bool(), _DEBUG),
    "enableDebugFlagsHandler": (Bool(), _DEBUG),
    "tracing": (Kind(), "no traces are sent"),
    "logging.flushFrequency": (Kind(), "log lines are never held back"),
    "logging.vmodule": (Kind(), "verbosity holds for the whole agent"),
    "logging.options": (Kind(), "logging.format is all there is to choose"),
}  # fmt: skip

HARMLESS: dict[str, tuple[Any, ...]] = {
    "readOnlyPort": (0,),
    "cpuManagerPolicy": ("none",),
    "memoryManagerPolicy": ("None",),
    "topologyManagerPolicy": ("none",),
    "runOnce": (False,),
    "cgroupsPerQOS": (True,),
    "rotateCertificates": (False,),
    "serverTLSBootstrap": (False,),
    "protectKernelDefaults": (False,),
    "enableControllerAttachDetach": (True,),
    "containerLogMaxWorkers": (1,),
    "configMapAndSecretChangeDetectionStrategy": ("Watch",),
    "enableSystemLogQuery": (False,),
    "enableContentionProfiling": (False,),
    "imagePullCredentialsVerificationPolicy": ("NeverVerify",),
    "reservedMemory": ((),),
    "featureGates": ({},),
    "tracing": (None, {}),
}
"""A value that goes without saying: what it asks for is what happens."""

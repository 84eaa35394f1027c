"""The agent's settings: one frozen value, and the only place where they are written down.

Each line says where upstream's KubeletConfiguration (kubelet.config.k8s.io/v1beta1) has the
setting, what kind of value it takes, its default, what it does here and upstream's flag for it.
Durations are seconds, sizes bytes, lists tuples; maps are read-only by convention. Fields of
upstream that the agent does not act on are in `ignored`. `loading` makes the value from files and
flags; anything in the agent may take it as an argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pykubelet.kubelet.config import settings
from pykubelet.kubelet.config.kinds import (
    AbsolutePath,
    Bool,
    Choice,
    Duration,
    Endpoint,
    Integer,
    IPAddress,
    ListOf,
    MapOf,
    Network,
    Number,
    Quantity,
    Record,
    Size,
    Taint,
    Text,
    Threshold,
)
from pykubelet.kubelet.config.settings import setting

SIGNALS = (
    "memory.available",
    "nodefs.available",
    "nodefs.inodesFree",
    "imagefs.available",
    "imagefs.inodesFree",
    "containerfs.available",
    "containerfs.inodesFree",
    "allocatableMemory.available",
    "pid.available",
)
EVICTION_HARD = {
    "memory.available": "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
    "imagefs.available": "15%",
    "imagefs.inodesFree": "5%",
}
RESERVABLE = MapOf(Quantity())
PORT = Integer(1, 65535)
PORT_OR_NONE = Integer(0, 65535)
COUNT = Integer(0, 2**31 - 1)
ENFORCEABLE = Choice(
    "none",
    "pods",
    "system-reserved",
    "system-reserved-compressible",
    "kube-reserved",
    "kube-reserved-compressible",
)
SHUTDOWN_CLASS = Record(
    {"priority": Integer(-(2**31), 2**31 - 1), "shutdownGracePeriodSeconds": Integer(0)},
    required=("priority", "shutdownGracePeriodSeconds"),
)


# fmt: off
@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    # -- where things are ------------------------------------------------------------------------
    root_dir: str = setting(
        "", AbsolutePath(), "/var/lib/kubelet",
        "the agent's own folder: volumes, checkpoints, certificates", flag="--root-dir")
    cert_dir: str = setting(
        "", AbsolutePath(optional=True), "",
        "where the agent keeps its certificates; <root-dir>/pki if empty", flag="--cert-dir")
    static_pod_path: str = setting(
        "staticPodPath", AbsolutePath(optional=True), "/etc/kubernetes/manifests",
        "the folder (or file) of static pod manifests; empty for none", flag="--pod-manifest-path",
        differs="upstream has no default; every cluster tool sets this one")
    pod_logs_dir: str = setting(
        "podLogsDir", AbsolutePath(), "/var/log/pods", "the root of the containers' log files",
        flag="--pod-logs-dir")
    container_runtime_endpoint: str = setting(
        "containerRuntimeEndpoint", Endpoint(), "unix:///run/containerd/containerd.sock",
        "the runtime's CRI socket", flag="--container-runtime-endpoint")
    image_service_endpoint: str = setting(
        "imageServiceEndpoint", Endpoint(optional=True), "",
        "the CRI socket for images, where it is another one", flag="--image-service-endpoint")
    agent_socket: str = setting(
        "", AbsolutePath(), "/run/pykubelet/agent.sock",
        "the root-only socket of the local commands", flag="--agent-socket")
    cni_socket: str = setting(
        "", AbsolutePath(), "/run/pykubelet/cni.sock",
        "the root-only socket of the CNI plugin", flag="--cni-socket")

    # -- who the node is -------------------------------------------------------------------------
    hostname_override: str = setting(
        "", Text(), "", "the node's name, if not the host's", flag="--hostname-override")
    node_ip: tuple[str, ...] = setting(
        "", ListOf(IPAddress()), (), "the node's addresses, if not those of the default route",
        flag="--node-ip")
    node_labels: Mapping[str, str] = setting(
        "", MapOf(Text()), {}, "labels that the node registers itself with", flag="--node-labels")
    kubeconfig: str = setting(
        "", AbsolutePath(optional=True), "",
        "how to reach the API server; without one the agent stands alone", flag="--kubeconfig")
    register_node: bool = setting(
        "registerNode", Bool(), True, "whether the node registers itself", flag="--register-node")
    register_with_taints: tuple[Mapping[str, Any], ...] = setting(
        "registerWithTaints", ListOf(Taint()), (), "taints that the node registers itself with",
        flag="--register-with-taints")
    provider_id: str = setting(
        "providerID", Text(), "", "the machine's name at its provider", flag="--provider-id")
    pod_cidr: str = setting(
        "podCIDR", Network(), "", "the pods' address range while no cluster gives one",
        flag="--pod-cidr")

    # -- its own servers -------------------------------------------------------------------------
    enable_server: bool = setting(
        "enableServer", Bool(), True, "whether the kubelet API is served", flag="--enable-server")
    address: str = setting(
        "address", IPAddress(), "0.0.0.0", "where the kubelet API listens", flag="--address")
    port: int = setting("port", PORT, 10250, "the kubelet API's port", flag="--port")
    healthz_bind_address: str = setting(
        "healthzBindAddress", IPAddress(), "127.0.0.1", "where /healthz listens",
        flag="--healthz-bind-address")
    healthz_port: int = setting(
        "healthzPort", PORT_OR_NONE, 10248, "the port of /healthz; 0 for none",
        flag="--healthz-port")
    tls_cert_file: str = setting(
        "tlsCertFile", AbsolutePath(optional=True), "",
        "the serving certificate; one is made if empty", flag="--tls-cert-file")
    tls_private_key_file: str = setting(
        "tlsPrivateKeyFile", AbsolutePath(optional=True), "", "the key of tlsCertFile",
        flag="--tls-private-key-file")
    tls_min_version: str = setting(
        "tlsMinVersion", Choice("", "VersionTLS12", "VersionTLS13"), "",
        "the oldest TLS version accepted; 1.2 if empty", flag="--tls-min-version")
    tls_cipher_suites: tuple[str, ...] = setting(
        "tlsCipherSuites", ListOf(Text()), (),
        "the cipher suites of TLS 1.2 by their IANA names; OpenSSL's own secure choice if empty",
        flag="--tls-cipher-suites")
    client_ca_file: str = setting(
        "authentication.x509.clientCAFile", AbsolutePath(optional=True), "",
        "the authority of client certificates", flag="--client-ca-file")
    token_auth_file: str = setting(
        "", AbsolutePath(optional=True), "",
        'clients\' tokens, for a node without a cluster: lines of token,user,uid[,"groups"]',
        flag="--token-auth-file", live=True)
    anonymous_auth: bool = setting(
        "authentication.anonymous.enabled", Bool(), False,
        "whether a request without credentials is let through to authorization",
        flag="--anonymous-auth")
    webhook_authentication: bool = setting(
        "authentication.webhook.enabled", Bool(), True,
        "whether tokens are reviewed by the API server", flag="--authentication-token-webhook")
    webhook_authentication_ttl: float = setting(
        "authentication.webhook.cacheTTL", Duration(), 120.0, "how long a token review is believed",
        flag="--authentication-token-webhook-cache-ttl")
    authorization_mode: str = setting(
        "authorization.mode", Choice("Webhook", "AlwaysAllow"), "Webhook",
        "who decides what a client may do", flag="--authorization-mode")
    authorized_ttl: float = setting(
        "authorization.webhook.cacheAuthorizedTTL", Duration(), 300.0, "how long a yes is believed",
        flag="--authorization-webhook-cache-authorized-ttl")
    unauthorized_ttl: float = setting(
        "authorization.webhook.cacheUnauthorizedTTL", Duration(), 30.0,
        "how long a no is believed", flag="--authorization-webhook-cache-unauthorized-ttl")
    enable_debugging_handlers: bool = setting(
        "enableDebuggingHandlers", Bool(), True, "whether exec, attach and logs are served",
        flag="--enable-debugging-handlers")
    enable_system_log_handler: bool = setting(
        "enableSystemLogHandler", Bool(), True, "whether /logs/ serves the host's log files")
    streaming_connection_idle_timeout: float = setting(
        "streamingConnectionIdleTimeout", Duration(), 4 * 3600.0,
        "how long exec, attach and port forwarding may be silent; 0 for ever",
        flag="--streaming-connection-idle-timeout")

    # -- the loop --------------------------------------------------------------------------------
    sync_frequency: float = setting(
        "syncFrequency", Duration(1.0), 60.0,
        "how often a pod is looked at though nothing happened", flag="--sync-frequency")
    file_check_frequency: float = setting(
        "fileCheckFrequency", Duration(1.0), 20.0,
        "how often manifests are looked at where the host can't report changes",
        flag="--file-check-frequency")
    runtime_request_timeout: float = setting(
        "runtimeRequestTimeout", Duration(1.0), 120.0,
        "the deadline of a runtime call, save for pulls, logs, exec and attach",
        flag="--runtime-request-timeout")
    max_container_restart_period: float = setting(
        "crashLoopBackOff.maxContainerRestartPeriod", Duration(1.0, 300.0), 300.0,
        "the longest wait before a crashing container is restarted", live=True)
    event_record_qps: int = setting(
        "eventRecordQPS", COUNT, 50, "events recorded per second; 0 for no limit",
        flag="--event-qps")
    event_burst: int = setting(
        "eventBurst", COUNT, 100, "events recorded at once", flag="--event-burst")
    verbosity: int = setting(
        "logging.verbosity", Integer(0, 10), 0, "4 and more log debugging lines", flag="--v",
        live=True)
    log_format: str = setting(
        "logging.format", Choice("text", "json"), "text", "how log lines are written",
        flag="--logging-format")
    oom_score_adj: int = setting(
        "oomScoreAdj", Integer(-1000, 1000), -999,
        "the agent's own standing when memory runs out", flag="--oom-score-adj")
    max_open_files: int = setting(
        "maxOpenFiles", Integer(0), 1_000_000, "the agent's own limit of open files",
        flag="--max-open-files")

    # -- what the node reports -------------------------------------------------------------------
    node_status_update_frequency: float = setting(
        "nodeStatusUpdateFrequency", Duration(1.0), 10.0, "how often the node looks at itself",
        flag="--node-status-update-frequency")
    node_status_report_frequency: float = setting(
        "nodeStatusReportFrequency", Duration(1.0), 300.0,
        "how often an unchanged status is posted; nodeStatusUpdateFrequency where that is set")
    node_lease_duration_seconds: int = setting(
        "nodeLeaseDurationSeconds", Integer(1, 2**31 - 1), 40, "how long the node's lease lasts")
    node_status_max_images: int = setting(
        "nodeStatusMaxImages", Integer(-1, 2**31 - 1), 50,
        "how many images the status names; -1 for all", flag="--node-status-max-images")
    volume_stats_agg_period: float = setting(
        "volumeStatsAggPeriod", Duration(), 60.0, "how long the size of a volume is believed",
        flag="--volume-stats-agg-period")

    # -- pods ------------------------------------------------------------------------------------
    max_pods: int = setting(
        "maxPods", COUNT, 110, "how many pods the node runs", flag="--max-pods")
    pods_per_core: int = setting(
        "podsPerCore", COUNT, 0, "how many pods per CPU, below maxPods; 0 for no limit",
        flag="--pods-per-core")
    pod_pids_limit: int = setting(
        "podPidsLimit", Integer(-1), -1, "how many processes a pod may have; -1 for no limit",
        flag="--pod-max-pids")
    cluster_dns: tuple[str, ...] = setting(
        "clusterDNS", ListOf(IPAddress()), (), "the cluster DNS server's addresses",
        flag="--cluster-dns")
    cluster_domain: str = setting(
        "clusterDomain", Text(), "", "the cluster's DNS domain", flag="--cluster-domain")
    resolv_conf: str = setting(
        "resolvConf", AbsolutePath(optional=True), "/etc/resolv.conf",
        "the host's resolver configuration; empty for none", flag="--resolv-conf")
    seccomp_default: bool = setting(
        "seccompDefault", Bool(), True,
        "whether containers without a seccomp profile get RuntimeDefault", flag="--seccomp-default",
        differs="upstream leaves such containers unconfined")
    allowed_unsafe_sysctls: tuple[str, ...] = setting(
        "allowedUnsafeSysctls", ListOf(Text()), (), "sysctls (or `prefix*`) that pods may also set",
        flag="--allowed-unsafe-sysctls")
    default_pod_sysctls: Mapping[str, str] = setting(
        "defaultPodSysctls", MapOf(Text()), {}, "sysctls for every pod that does not set them")
    user_namespace_ids_per_pod: int = setting(
        "userNamespaces.idsPerPod", Integer(65536, 2**32 - 1), 65536,
        "how many user and group ids a pod with its own user namespace gets; a multiple of 65536")
    local_storage_capacity_isolation: bool = setting(
        "localStorageCapacityIsolation", Bool(), True,
        "whether limits on local storage are watched", flag="--local-storage-capacity-isolation")
    shutdown_grace_period: float = setting(
        "shutdownGracePeriod", Duration(1.0, zero=True), 0.0,
        "how long a host's shutdown waits for pods to end")
    shutdown_grace_period_critical_pods: float = setting(
        "shutdownGracePeriodCriticalPods", Duration(1.0, zero=True), 0.0,
        "how much of that is kept for critical pods")
    shutdown_grace_period_by_pod_priority: tuple[Mapping[str, int], ...] = setting(
        "shutdownGracePeriodByPodPriority", ListOf(SHUTDOWN_CLASS), (),
        "the same by priority, instead of the two above")

    # -- containers' logs ------------------------------------------------------------------------
    container_log_max_size: int = setting(
        "containerLogMaxSize", Size(), 10 * 2**20, "a log file is rotated at this size",
        flag="--container-log-max-size", live=True)
    container_log_max_files: int = setting(
        "containerLogMaxFiles", Integer(2, 2**31 - 1), 5, "how many files of a log are kept",
        flag="--container-log-max-files", live=True)
    container_log_monitor_interval: float = setting(
        "containerLogMonitorInterval", Duration(3.0), 10.0, "how often log sizes are looked at",
        live=True)

    # -- images ----------------------------------------------------------------------------------
    serialize_image_pulls: bool = setting(
        "serializeImagePulls", Bool(), True,
        "whether images are pulled one at a time; false where maxParallelImagePulls is above 1",
        flag="--serialize-image-pulls")
    max_parallel_image_pulls: int = setting(
        "maxParallelImagePulls", Integer(1, 2**31 - 1), 0,
        "how many images are pulled at once; no limit if not set")
    registry_pull_qps: int = setting(
        "registryPullQPS", COUNT, 5, "image pulls begun per second; 0 for no limit",
        flag="--registry-qps")
    registry_burst: int = setting(
        "registryBurst", COUNT, 10, "image pulls begun at once", flag="--registry-burst")
    image_minimum_gc_age: float = setting(
        "imageMinimumGCAge", Duration(), 120.0, "an unused image is kept at least this long",
        flag="--minimum-image-ttl-duration", live=True)
    image_maximum_gc_age: float = setting(
        "imageMaximumGCAge", Duration(), 0.0,
        "an image unused for this long is removed; 0 for never", live=True)
    image_gc_high_threshold_percent: int = setting(
        "imageGCHighThresholdPercent", Integer(0, 100), 85,
        "disk use above which unused images are removed", flag="--image-gc-high-threshold",
        live=True)
    image_gc_low_threshold_percent: int = setting(
        "imageGCLowThresholdPercent", Integer(0, 100), 80, "disk use down to which they are",
        flag="--image-gc-low-threshold", live=True)

    # -- cgroups and resources -------------------------------------------------------------------
    cgroup_driver: str = setting(
        "cgroupDriver", Choice("", "cgroupfs", "systemd"), "",
        "who owns the cgroup tree; asked of the runtime if empty", flag="--cgroup-driver",
        differs="upstream's cgroupfs is only a guess for runtimes that can't be asked")
    cgroup_root: str = setting(
        "cgroupRoot", AbsolutePath(optional=True), "", "the cgroup that holds all pods",
        flag="--cgroup-root")
    fail_cgroup_v1: bool = setting(
        "failCgroupV1", Bool(), False, "whether to refuse a host with cgroup v1",
        differs="upstream refuses; here the runtime still limits containers, and the node says so")
    fail_swap_on: bool = setting(
        "failSwapOn", Bool(), False, "whether to refuse a host with swap", flag="--fail-swap-on",
        differs="upstream refuses; here pods get no swap unless memorySwap says so")
    swap_behavior: str = setting(
        "memorySwap.swapBehavior", Choice("", "NoSwap", "LimitedSwap"), "",
        "whether containers may use swap; no if empty")
    single_process_oom_kill: bool = setting(
        "singleProcessOOMKill", Bool(), False,
        "whether running out of memory kills one process instead of the container")
    cpu_cfs_quota: bool = setting(
        "cpuCFSQuota", Bool(), True, "whether CPU limits are enforced", flag="--cpu-cfs-quota")
    cpu_cfs_quota_period: float = setting(
        "cpuCFSQuotaPeriod", Duration(0.001, 1.0), 0.1, "over which time CPU limits are counted",
        flag="--cpu-cfs-quota-period")
    memory_throttling_factor: float = setting(
        "memoryThrottlingFactor", Number(0.0, 1.0), 0.0,
        "the share of a memory limit from which a container is slowed (memory.high); "
        "not slowed if not set")
    memory_reservation_policy: str = setting(
        "memoryReservationPolicy", Choice("None", "TieredReservation"), "None",
        "whether memory requests are protected from reclaim")
    system_reserved: Mapping[str, str] = setting(
        "systemReserved", RESERVABLE, {}, "resources kept for the system", flag="--system-reserved")
    kube_reserved: Mapping[str, str] = setting(
        "kubeReserved", RESERVABLE, {}, "resources kept for the node's daemons",
        flag="--kube-reserved")
    system_reserved_cgroup: str = setting(
        "systemReservedCgroup", AbsolutePath(optional=True), "", "the system's cgroup",
        flag="--system-reserved-cgroup")
    kube_reserved_cgroup: str = setting(
        "kubeReservedCgroup", AbsolutePath(optional=True), "", "the node's daemons' cgroup",
        flag="--kube-reserved-cgroup")
    enforce_node_allocatable: tuple[str, ...] = setting(
        "enforceNodeAllocatable", ListOf(ENFORCEABLE), ("pods",),
        "which of these limits become cgroup limits", flag="--enforce-node-allocatable")

    # -- eviction --------------------------------------------------------------------------------
    eviction_hard: Mapping[str, str] = setting(
        "evictionHard", MapOf(Threshold(), SIGNALS, "<"), EVICTION_HARD,
        "pods are evicted at once below these", flag="--eviction-hard", live=True)
    eviction_soft: Mapping[str, str] = setting(
        "evictionSoft", MapOf(Threshold(), SIGNALS, "<"), {},
        "pods are evicted with grace when below these for evictionSoftGracePeriod",
        flag="--eviction-soft", live=True)
    eviction_soft_grace_period: Mapping[str, float] = setting(
        "evictionSoftGracePeriod", MapOf(Duration(), SIGNALS), {}, "how long evictionSoft waits",
        flag="--eviction-soft-grace-period", live=True)
    eviction_minimum_reclaim: Mapping[str, str] = setting(
        "evictionMinimumReclaim", MapOf(Threshold(), SIGNALS), {},
        "how far above its threshold a resource has to get", flag="--eviction-minimum-reclaim",
        live=True)
    eviction_pressure_transition_period: float = setting(
        "evictionPressureTransitionPeriod", Duration(), 300.0,
        "how long a pressure condition stays after the pressure is gone",
        flag="--eviction-pressure-transition-period", live=True)
    eviction_max_pod_grace_period: int = setting(
        "evictionMaxPodGracePeriod", COUNT, 0, "the longest grace of a soft eviction, in seconds",
        flag="--eviction-max-pod-grace-period", live=True)
    merge_default_eviction_settings: bool = setting(
        "mergeDefaultEvictionSettings", Bool(), False,
        "whether signals that evictionHard leaves out keep their defaults")

    # -- what reading them found -----------------------------------------------------------------
    ignored: tuple[str, ...] = field(default=())
    """One sentence for each given field that the agent does not act on, with file and line."""

    origins: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Where each setting that has been given comes from: attribute → `file:line` or flag."""
# fmt: on


TABLE = settings.of(Configuration)

"""The Pod Security Standards: what `baseline` and `restricted` forbid a pod. Pure.

Each rule looks at a pod and says in a few words what is wrong. The rules are listed with their
level, the versions of Kubernetes they hold for, and the baseline rule they take the place of.
Source: "Pod Security Standards"; the words are upstream's, since tools read them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

PRIVILEGED, BASELINE, RESTRICTED = LEVELS = ("privileged", "baseline", "restricted")
LATEST = 36
"""The newest minor version whose rules are known; `latest` means this one."""

_CAPABILITIES = frozenset(
    ("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
     "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT")
)  # fmt: skip
_SYSCTLS = {
    "kernel.shm_rmid_forced": 0, "net.ipv4.ip_local_port_range": 0, "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.ping_group_range": 0, "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_keepalive_time": 29, "net.ipv4.tcp_fin_timeout": 29,
    "net.ipv4.tcp_keepalive_intvl": 29, "net.ipv4.tcp_keepalive_probes": 29,
    "net.ipv4.tcp_rmem": 32, "net.ipv4.tcp_wmem": 32,
}  # fmt: skip
"""The sysctls that a pod may set, and since which minor version."""
_SELINUX_TYPES = {"": 0, "container_t": 0, "container_init_t": 0, "container_kvm_t": 0,
                  "container_engine_t": 31}  # fmt: skip
_VOLUMES = frozenset(
    ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim",
     "projected", "secret")
)  # fmt: skip
_CONFINED = ("RuntimeDefault", "Localhost")
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


@dataclass(frozen=True, slots=True)
class Pod:
    """What a rule sees: a pod, or a workload's template, and the minor version that is asked."""

    metadata: Json
    spec: Json
    minor: int

    @property
    def containers(self) -> Iterator[tuple[str, Json, Json]]:
        """Name, security context and container: init, regular, ephemeral."""
        for kind in ("initContainers", "containers", "ephemeralContainers"):
            for one in self.spec.get(kind) or ():
                yield one.get("name") or "", one.get("securityContext") or {}, one

    @property
    def context(self) -> Json:
        return self.spec.get("securityContext") or {}

    @property
    def on_windows(self) -> bool:
        return (self.spec.get("os") or {}).get("name") == "windows" and self.minor >= 25

    @property
    def in_user_namespace(self) -> bool:
        return self.spec.get("hostUsers") is False and self.minor >= 35


Finding = tuple[str, str]
"""A reason and its detail."""
Look = Callable[[Pod], Finding | None]


@dataclass(frozen=True, slots=True)
class Rule:
    look: Look
    level: str
    since: int = 0
    instead_of: Look | None = None


def violations(metadata: Json, spec: Json, level: str, minor: int = LATEST) -> list[Finding]:
    """What a level forbids of a pod."""
    if level == PRIVILEGED:
        return []
    pod = Pod(metadata, spec, min(minor, LATEST))
    chosen = [
        rule for rule in _RULES
        if rule.since <= pod.minor and (rule.level == BASELINE or level == RESTRICTED)
    ]  # fmt: skip
    replaced = [rule.instead_of for rule in chosen]
    found = (rule.look(pod) for rule in chosen if rule.look not in replaced)
    return [one for one in found if one is not None]


def sentence(findings: Iterable[Finding]) -> str:
    """All of it in one line: `reason (detail), reason (detail)`."""
    return ", ".join(f"{reason} ({detail})" for reason, detail in findings)


def _quoted(items: Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def _some(word: str, names: list[str], plural: str = "") -> str:
    """`container "a"`, `containers "a", "b"`."""
    return f"{word if len(names) == 1 else plural or word + 's'} {_quoted(names)}"


def _setters(pod: bool, containers: list[str]) -> str:
    parts = ["pod"] * pod + ([_some("container", containers)] if containers else [])
    return " and ".join(parts)


def _app_armor(pod: Pod) -> Finding | None:
    def kind(context: Json) -> str:
        return (context.get("appArmorProfile") or {}).get("type") or "RuntimeDefault"

    whole = kind(pod.context) not in _CONFINED
    bad = [name for name, context, _ in pod.containers if kind(context) not in _CONFINED]
    values = {kind(context) for _, context, _ in pod.containers} | {kind(pod.context)}
    annotations = pod.metadata.get("annotations") or {}
    marked = [
        f'{key}="{value}"' for key, value in sorted(annotations.items())
        if key.startswith(_APPARMOR) and value and value != "runtime/default"
        and not value.startswith("localhost/")
    ]  # fmt: skip
    if not (whole or bad or marked):
        return None
    shown = [f'"{value}"' for value in sorted(values - set(_CONFINED))] + marked
    setters = [_setters(whole, bad)] if whole or bad else []
    setters += [f"annotation{'s' if len(marked) != 1 else ''}"] if marked else []
    reason = f"forbidden AppArmor profile{'s' if len(shown) != 1 else ''}"
    return reason, (
        f"{' and '.join(setters)} must not set AppArmor profile type to {', '.join(shown)}"
    )


def _capabilities(pod: Pod) -> Finding | None:
    bad, added = [], set()
    for name, context, _ in pod.containers:
        extra = set((context.get("capabilities") or {}).get("add") or ()) - _CAPABILITIES
        if extra:
            bad.append(name)
            added |= extra
    if not bad:
        return None
    return "non-default capabilities", (
        f"{_some('container', bad)} must not include {_quoted(sorted(added))} in "
        "securityContext.capabilities.add"
    )


def _host_namespaces(pod: Pod) -> Finding | None:
    used = [f"{key}=true" for key in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(key)]
    return ("host namespaces", ", ".join(used)) if used else None


def _host_paths(pod: Pod) -> Finding | None:
    bad = [v.get("name") or "" for v in pod.spec.get("volumes") or () if "hostPath" in v]
    return ("hostPath volumes", _some("volume", bad)) if bad else None


def _host_ports(pod: Pod) -> Finding | None:
    bad, ports = [], set()
    for name, _, container in pod.containers:
        used = {str(p["hostPort"]) for p in container.get("ports") or () if p.get("hostPort")}
        if used:
            bad.append(name)
            ports |= used
    if not bad:
        return None
    one = len(bad) == 1
    return "hostPort", (
        f"{_some('container', bad)} {'uses' if one else 'use'} "
        f"hostPort{'s' if len(ports) != 1 else ''} {', '.join(sorted(ports))}"
    )


def _host_probes(pod: Pod) -> Finding | None:
    bad, hosts = set(), set()
    for name, _, container in pod.containers:
        hooks = (container.get("lifecycle") or {}).values()
        probes = (container.get(f"{k}Probe") for k in ("liveness", "readiness", "startup"))
        for handler in (*probes, *hooks):
            for kind in ("httpGet", "tcpSocket"):
                host = ((handler or {}).get(kind) or {}).get("host")
                if host:
                    bad.add(name)
                    hosts.add(host)
    if not bad:
        return None
    plural = "s" if len(hosts) != 1 else ""
    return "probe or lifecycle host", (
        f"{_some('container', sorted(bad))} {'uses' if len(bad) == 1 else 'use'} "
        f"probe or lifecycle host{plural} {_quoted(sorted(hosts))}"
    )


def _privileged(pod: Pod) -> Finding | None:
    bad = [name for name, context, _ in pod.containers if context.get("privileged")]
    if not bad:
        return None
    return "privileged", f"{_some('container', bad)} must not set securityContext.privileged=true"


def _proc_mount(pod: Pod) -> Finding | None:
    return None if pod.in_user_namespace else _proc_mount_always(pod)


def _proc_mount_always(pod: Pod) -> Finding | None:
    used = {name: context.get("procMount") or "Default" for name, context, _ in pod.containers}
    bad = [name for name, value in used.items() if value != "Default"]
    if not bad:
        return None
    values = _quoted(sorted({used[name] for name in bad}))
    return (
        "procMount",
        f"{_some('container', bad)} must not set securityContext.procMount to {values}",
    )


def _selinux(pod: Pod) -> Finding | None:
    types: set[str] = set()
    said: set[str] = set()

    def is_bad(context: Json) -> bool:
        options = context.get("seLinuxOptions") or {}
        kind = options.get("type") or ""
        if _SELINUX_TYPES.get(kind, 99) > pod.minor:
            types.add(kind)
        said.update(key for key in ("user", "role") if options.get(key))
        return _SELINUX_TYPES.get(kind, 99) > pod.minor or bool(
            options.get("user") or options.get("role")
        )

    whole = is_bad(pod.context)
    bad = [name for name, context, _ in pod.containers if is_bad(context)]
    if not whole and not bad:
        return None
    why = [_some("type", sorted(types))] if types else []
    why += [f"{key} may not be set" for key in ("user", "role") if key in said]
    return "seLinuxOptions", (
        f"{_setters(whole, bad)} set forbidden securityContext.seLinuxOptions: {'; '.join(why)}"
    )


def _seccomp_type(context: Json) -> str:
    return (context.get("seccompProfile") or {}).get("type") or ""


def _seccomp(pod: Pod) -> Finding | None:
    allowed = ("", *_CONFINED)
    whole = _seccomp_type(pod.context) not in allowed
    bad = [name for name, context, _ in pod.containers if _seccomp_type(context) not in allowed]
    if not whole and not bad:
        return None
    values = {_seccomp_type(context) for _, context, _ in pod.containers}
    values.add(_seccomp_type(pod.context))
    return "seccompProfile", (
        f"{_setters(whole, bad)} must not set securityContext.seccompProfile.type to "
        f"{_quoted(sorted(values - set(allowed)))}"
    )


def _sysctls(pod: Pod) -> Finding | None:
    names = [one.get("name") or "" for one in pod.context.get("sysctls") or ()]
    bad = [name for name in names if _SYSCTLS.get(name, 99) > pod.minor]
    return ("forbidden sysctls", ", ".join(bad)) if bad else None


def _windows_host_process(pod: Pod) -> Finding | None:
    def is_bad(context: Json) -> bool:
        return bool((context.get("windowsOptions") or {}).get("hostProcess"))

    whole = is_bad(pod.context)
    bad = [name for name, context, _ in pod.containers if is_bad(context)]
    if not whole and not bad:
        return None
    return "hostProcess", (
        f"{_setters(whole, bad)} must not set securityContext.windowsOptions.hostProcess=true"
    )


def _escalation(pod: Pod) -> Finding | None:
    bad = [name for name, context, _ in pod.containers
           if context.get("allowPrivilegeEscalation") is not False]  # fmt: skip
    if not bad or pod.on_windows:
        return None
    return "allowPrivilegeEscalation != false", (
        f"{_some('container', bad)} must set securityContext.allowPrivilegeEscalation=false"
    )


def _capabilities_restricted(pod: Pod) -> Finding | None:
    kept, adding, added = [], [], set()
    for name, context, _ in pod.containers:
        capabilities = context.get("capabilities") or {}
        if "ALL" not in (capabilities.get("drop") or ()):
            kept.append(name)
        extra = set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}
        if extra:
            adding.append(name)
            added |= extra
    if pod.on_windows or not (kept or adding):
        return None
    details = []
    if kept:
        drop = 'securityContext.capabilities.drop=["ALL"]'
        details.append(f"{_some('container', kept)} must set {drop}")
    if adding:
        details.append(f"{_some('container', adding)} must not include {_quoted(sorted(added))} in "
                       "securityContext.capabilities.add")  # fmt: skip
    return "unrestricted capabilities", "; ".join(details)


def _restricted_volumes(pod: Pod) -> Finding | None:
    bad, types = [], set()
    for volume in pod.spec.get("volumes") or ():
        used = {key for key in volume if key != "name"} - _VOLUMES
        if used:
            bad.append(volume.get("name") or "")
            types |= used
    if not bad:
        return None
    plural = "s" if len(types) != 1 else ""
    return "restricted volume types", (
        f"{_some('volume', bad)} {'uses' if len(bad) == 1 else 'use'} restricted volume "
        f"type{plural} {_quoted(sorted(types))}"
    )


def _non_root(pod: Pod) -> Finding | None:
    if pod.in_user_namespace:
        return None
    said = pod.context.get("runAsNonRoot")
    explicit, implicit = [], []
    for name, context, _ in pod.containers:
        own = context.get("runAsNonRoot")
        if own is False:
            explicit.append(name)
        elif own is None and not said:
            implicit.append(name)
    if said is False or explicit:
        setters = _setters(said is False, explicit)
        return "runAsNonRoot != true", f"{setters} must not set securityContext.runAsNonRoot=false"
    if implicit:
        return "runAsNonRoot != true", (
            f"pod or {_some('container', implicit)} must set securityContext.runAsNonRoot=true"
        )
    return None


def _user(pod: Pod) -> Finding | None:
    whole = pod.context.get("runAsUser") == 0
    bad = [name for name, context, _ in pod.containers if context.get("runAsUser") == 0]
    if pod.in_user_namespace or not (whole or bad):
        return None
    return "runAsUser=0", f"{_setters(whole, bad)} must not set runAsUser=0"


def _seccomp_restricted(pod: Pod) -> Finding | None:
    if pod.on_windows:
        return None
    found = _seccomp(pod)
    if found is not None or _seccomp_type(pod.context):
        return found
    unset = [name for name, context, _ in pod.containers if not _seccomp_type(context)]
    if not unset:
        return None
    return "seccompProfile", (
        f"pod or {_some('container', unset)} must set securityContext.seccompProfile.type to "
        '"RuntimeDefault" or "Localhost"'
    )


_RULES = (
    Rule(_app_armor, BASELINE),
    Rule(_capabilities, BASELINE),
    Rule(_host_namespaces, BASELINE),
    Rule(_host_paths, BASELINE),
    Rule(_host_ports, BASELINE),
    Rule(_host_probes, BASELINE, since=34),
    Rule(_privileged, BASELINE),
    Rule(_proc_mount, BASELINE),
    Rule(_selinux, BASELINE),
    Rule(_seccomp, BASELINE),
    Rule(_sysctls, BASELINE),
    Rule(_windows_host_process, BASELINE),
    Rule(_escalation, RESTRICTED, since=8),
    Rule(_capabilities_restricted, RESTRICTED, since=22, instead_of=_capabilities),
    Rule(_proc_mount_always, RESTRICTED, since=35, instead_of=_proc_mount),
    Rule(_restricted_volumes, RESTRICTED, instead_of=_host_paths),
    Rule(_non_root, RESTRICTED),
    Rule(_user, RESTRICTED, since=23),
    Rule(_seccomp_restricted, RESTRICTED, since=19, instead_of=_seccomp),
)
"""Baseline first; within a level in the order of upstream's names for them."""

"""Does this node take this pod? Pure.

Asked once, before a pod's first step; a pod that runs already when the agent starts is not asked
again. A refusal becomes the pod's verdict: phase Failed, with upstream's reason and message, so
that controllers know what to do about it. The checks are a table; each returns a Verdict or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.pods.snapshot import Verdict
from pykubelet.objects import resources, selectors

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What admission needs to know of the node.

    `allocatable` is in base units by resource name; `max_pods` counts all pods. `safe_sysctls` are
    those that `allowedUnsafeSysctls` adds, patterns ending in `*` included. `user_namespaces` says
    whether the runtime handler of that name can make them.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    allocatable: Mapping[str, Fraction] = field(default_factory=dict)
    max_pods: int = 110
    allowed_sysctls: tuple[str, ...] = ()
    user_namespaces: Mapping[str, bool] = field(default_factory=dict)
    apparmor: bool = False
    taints: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    pod: Json
    others: tuple[Json, ...]
    node: NodeFacts


def admit(pod: Json, others: Iterable[Json], node: NodeFacts) -> Verdict | None:
    """The first refusal, or None. `others` are the pods that hold resources of the node now."""
    question = Question(pod, tuple(others), node)
    for check in CHECKS:
        verdict = check(question)
        if verdict:
            return verdict
    return None


def _operating_system(q: Question) -> Verdict | None:
    wanted = (q.pod["spec"].get("os") or {}).get("name", "linux")
    label = (q.pod["spec"].get("nodeSelector") or {}).get("kubernetes.io/os", "linux")
    if wanted != "linux":
        return Verdict(
            "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"
        )
    if label != "linux":
        return Verdict(
            "PodOSSelectorNodeLabelDoesNotMatch",
            "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label",
        )
    return None


def _node_affinity(q: Question) -> Verdict | None:
    wanted = q.pod["spec"].get("nodeSelector") or {}
    affinity = (q.pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    fits = all(q.node.labels.get(key) == value for key, value in wanted.items())
    if fits and (
        required is None or selectors.node_selector_matches(required, q.node.labels, q.node.name)
    ):
        return None
    return Verdict(
        "NodeAffinity",
        "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
    )


def _taints(q: Question) -> Verdict | None:
    if spec.is_static(q.pod):
        return None
    for taint in q.node.taints:
        if taint["effect"] == "NoExecute" and not selectors.tolerated(
            taint, q.pod["spec"].get("tolerations") or ()
        ):
            return Verdict(
                "TaintToleration",
                f"Predicate TaintToleration failed: node(s) had untolerated taint "
                f"{{{taint['key']}: {taint.get('value', '')}}}",
            )
    return None


def _host_ports(q: Question) -> Verdict | None:
    taken = [port for other in q.others for port in _ports(other)]
    for port in _ports(q.pod):
        if any(_conflict(port, other) for other in taken):
            return Verdict(
                "NodePorts",
                "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod "
                f"ports ({port[1]} {port[2]})",
            )
    return None


def _ports(pod: Json) -> list[tuple[str, str, int]]:
    return [
        (port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", port["hostPort"])
        for _, container in spec.containers(pod)
        for port in container.get("ports") or ()
        if port.get("hostPort")
    ]


def _conflict(a: tuple[str, str, int], b: tuple[str, str, int]) -> bool:
    anywhere = ("0.0.0.0", "::")
    return a[1:] == b[1:] and (a[0] == b[0] or a[0] in anywhere or b[0] in anywhere)


def _pod_count(q: Question) -> Verdict | None:
    if len(q.others) < q.node.max_pods:
        return None
    used = len(q.others)
    return Verdict(
        "OutOfpods",
        f"Node didn't have enough resource: pods, requested: 1, used: {used}, "
        f"capacity: {q.node.max_pods}",
    )


def _resources(q: Question) -> Verdict | None:
    wanted = resources.requests(q.pod)
    if not any(wanted.values()):
        return None
    used: dict[str, Fraction] = {}
    for other in q.others:
        for name, amount in resources.requests(other).items():
            used[name] = used.get(name, Fraction(0)) + amount
    for name, amount in wanted.items():
        have = q.node.allocatable.get(name)
        if have is None and name in ("cpu", "memory", "ephemeral-storage"):
            continue  # unknown is no reason to refuse
        if amount > (have or 0) - used.get(name, Fraction(0)):
            unit = 1000 if name == "cpu" else 1
            return Verdict(
                f"OutOf{name}",
                f"Node didn't have enough resource: {name}, requested: {int(amount * unit)}, "
                f"used: {int(used.get(name, Fraction(0)) * unit)}, "
                f"capacity: {int((have or 0) * unit)}",
            )
    return None


#: Namespaced, isolated between pods and harmless to the node: upstream's list for Linux.
SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    }
)
_NAMESPACED = re.compile(r"(kernel\.(shm|msg|sem)|fs\.mqueue\.|net\.)")


def _sysctls(q: Question) -> Verdict | None:
    context = q.pod["spec"].get("securityContext") or {}
    for sysctl in context.get("sysctls") or ():
        name = sysctl["name"].replace("/", ".")
        if name.startswith("net.") and spec.host_network(q.pod):
            return Verdict(
                "SysctlForbidden", f'forbidden sysctl: "{name}" not allowed with host net enabled'
            )
        if not name.startswith("net.") and q.pod["spec"].get("hostIPC"):
            return Verdict(
                "SysctlForbidden", f'forbidden sysctl: "{name}" not allowed with host ipc enabled'
            )
        allowed = name in SAFE_SYSCTLS or any(
            name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
            for pattern in q.node.allowed_sysctls
        )
        if not allowed or not _NAMESPACED.match(name):
            return Verdict("SysctlForbidden", f'forbidden sysctl: "{name}" not allowlisted')
    return None


def _user_namespaces(q: Question) -> Verdict | None:
    handler = q.pod["spec"].get("runtimeClassName") or ""
    if q.pod["spec"].get("hostUsers") is not False or q.node.user_namespaces.get(handler):
        return None
    return Verdict(
        "UserNamespacesNotSupported",
        f'the container runtime can\'t make user namespaces (handler "{handler}"); '
        "containerd 2.0 and runc 1.2 can",
    )


def _apparmor(q: Question) -> Verdict | None:
    if q.node.apparmor:
        return None
    contexts = [q.pod["spec"].get("securityContext") or {}]
    contexts += [c.get("securityContext") or {} for _, c in spec.containers(q.pod)]
    if any((c.get("appArmorProfile") or {}).get("type") == "Localhost" for c in contexts):
        return Verdict("AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host")
    return None


CHECKS: tuple[Callable[[Question], Verdict | None], ...] = (
    _operating_system,
    _node_affinity,
    _taints,
    _sysctls,
    _user_namespaces,
    _apparmor,
    _host_ports,
    _pod_count,
    _resources,
)

"""A pod's sandbox as CRI's PodSandboxConfig: its namespaces, name, addresses and groups.

Pure. The host name, the resolver's settings and the cgroup are decided elsewhere and come in as
arguments; the same configuration is handed over again with each of the pod's containers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pykubelet.kubelet.runtime import labels, security

Json = dict[str, Any]

UserNamespace = tuple[int, int]
"""The first id on the host and how many there are; the pod sees them from 0 on."""


def sandbox_config(
    pod: Json,
    *,
    attempt: int,
    log_directory: str,
    hostname: str,
    dns: Mapping[str, Any] | None,
    cgroup_parent: str,
    user_namespace: UserNamespace | None = None,
    default_sysctls: Mapping[str, str] | None = None,
    overhead: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """CRI's PodSandboxConfig as nested dicts.

    `dns`: servers, searches and options (lists); None leaves the image's resolv.conf to the
    runtime. `default_sysctls` are the node's, for pods that don't set them. `overhead`,
    `resources`: LinuxContainerResources of the pod as a whole, for runtimes that size a VM by them.
    """
    metadata, spec = pod["metadata"], pod["spec"]
    linux: dict[str, Any] = {
        "cgroup_parent": cgroup_parent,
        "sysctls": dict(_sysctls(pod, default_sysctls or {})),
        "security_context": _security_context(pod, user_namespace),
    }
    if overhead:
        linux["overhead"] = dict(overhead)
    if resources:
        linux["resources"] = dict(resources)
    made: dict[str, Any] = {
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
            "attempt": attempt,
        },
        "log_directory": log_directory,
        "labels": labels.sandbox_labels(pod),
        "annotations": dict(metadata.get("annotations") or {}),
        "linux": linux,
    }
    if dns is not None:
        made["dns_config"] = dict(dns)
    if not spec.get("hostNetwork"):
        # On the host's network the host's own name stays.
        made["hostname"] = hostname
        made["port_mappings"] = list(_port_mappings(spec))
    return made


def namespaces(pod: Json, user_namespace: UserNamespace | None = None) -> dict[str, Any]:
    """CRI's NamespaceOption. A container's PID namespace is its own unless the pod shares one."""
    spec = pod["spec"]
    if spec.get("hostPID"):
        pid = "NODE"
    elif spec.get("shareProcessNamespace"):
        pid = "POD"
    else:
        pid = "CONTAINER"
    made: dict[str, Any] = {
        "network": "NODE" if spec.get("hostNetwork") else "POD",
        "ipc": "NODE" if spec.get("hostIPC") else "POD",
        "pid": pid,
    }
    if user_namespace:
        first, length = user_namespace
        mapping = {"host_id": first, "container_id": 0, "length": length}
        made["userns_options"] = {"mode": "POD", "uids": [mapping], "gids": [mapping]}
    return made


def _security_context(pod: Json, user_namespace: UserNamespace | None) -> dict[str, Any]:
    context = pod["spec"].get("securityContext") or {}
    made: dict[str, Any] = {
        "namespace_options": namespaces(pod, user_namespace),
        "privileged": any(security.is_privileged(each) for each in _all_containers(pod["spec"])),
        # The sandbox's own process only sleeps: whatever the containers are given, it needs none.
        "seccomp": {"profile_type": "RuntimeDefault"},
        **security.pod_groups(pod),
    }
    if context.get("runAsUser") is not None:
        made["run_as_user"] = {"value": context["runAsUser"]}
        # CRI takes a group only beside a user.
        if context.get("runAsGroup") is not None:
            made["run_as_group"] = {"value": context["runAsGroup"]}
    if context.get("seLinuxOptions"):
        made["selinux_options"] = security.selinux(context["seLinuxOptions"])
    return made


def _sysctls(pod: Json, defaults: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The node's defaults first, but for those of a namespace that is the host's: a pod must not
    set the host's by the way (KEP-5996)."""
    for name, value in defaults.items():
        dotted = _dotted(name)
        of_network = dotted.startswith("net.")
        if not pod["spec"].get("hostNetwork" if of_network else "hostIPC"):
            yield dotted, value
    for each in (pod["spec"].get("securityContext") or {}).get("sysctls") or ():
        yield _dotted(each["name"]), each["value"]


def _dotted(name: str) -> str:
    """A sysctl's name with dots between its parts.

    It may be given with slashes, where a dot then belongs to a part (an interface's name): the
    separator that comes first is the one that is meant. Source: sysctl(8).
    """
    slash, dot = name.find("/"), name.find(".")
    if slash < 0 or 0 <= dot < slash:
        return name
    return name.translate(str.maketrans("/.", "./"))


def _port_mappings(spec: Json) -> Iterator[dict[str, Any]]:
    for container in _long_running(spec):
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield {
                    "protocol": port.get("protocol") or "TCP",
                    "container_port": port["containerPort"],
                    "host_port": port["hostPort"],
                    "host_ip": port.get("hostIP") or "",
                }


def _long_running(spec: Json) -> Iterator[Json]:
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            yield container
    yield from spec.get("containers") or ()


def _all_containers(spec: Json) -> Iterator[Json]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(kind) or ()

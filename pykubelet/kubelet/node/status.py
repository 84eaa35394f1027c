"""The v1.Node, composed from what the other modules of this room found out.

Pure: the agent calls `node` at start and whenever something that it says may have changed, and
hands the result to its API, to the lease and status writer, or (standalone) to the local commands.
Source: the API reference, Node; KEP-4265 for the runtime handlers' features.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pykubelet.kubelet.node.amounts import Amounts, System, resource_list
from pykubelet.kubelet.runtime.model import HandlerFeatures, Image, RuntimeVersion
from pykubelet.version import KUBERNETES_VERSION, VERSION

Json = dict[str, Any]

MAX_NAMES_PER_IMAGE = 5


def node(
    name: str,
    *,
    system: System,
    capacity: Amounts,
    allocatable: Amounts,
    addresses: Sequence[Json],
    conditions: Sequence[Json],
    runtime: RuntimeVersion | None = None,
    images: Iterable[Image] = (),
    max_images: int = 50,
    handlers: Mapping[str, HandlerFeatures] | None = None,
    port: int = 10250,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Mapping[str, Any]] = (),
    provider_id: str = "",
    pod_cidr: str = "",
    volumes_in_use: Sequence[str] = (),
) -> Json:
    """The whole object, as the agent would create it. `runtime` None: it never answered yet."""
    spec: Json = {}
    if pod_cidr:
        spec["podCIDR"], spec["podCIDRs"] = pod_cidr, [pod_cidr]
    if provider_id:
        spec["providerID"] = provider_id
    if taints:
        spec["taints"] = [dict(taint) for taint in taints]
    status: Json = {
        "capacity": resource_list(capacity),
        "allocatable": resource_list(allocatable),
        "conditions": list(conditions),
        "addresses": list(addresses),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": node_info(system, runtime, capacity.swap),
        "images": image_list(images, max_images),
    }
    if handlers:
        status["runtimeHandlers"] = [_handler(n, f) for n, f in sorted(handlers.items())]
    if volumes_in_use:
        status["volumesInUse"] = list(volumes_in_use)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {**own_labels(name, system), **(labels or {})},
            "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
        },
        "spec": spec,
        "status": status,
    }


def own_labels(hostname: str, system: System) -> dict[str, str]:
    """The labels that every node carries; the two `beta` ones are old spellings still selected."""
    return {
        "kubernetes.io/hostname": hostname,
        "kubernetes.io/os": system.operating_system,
        "kubernetes.io/arch": system.architecture,
        "beta.kubernetes.io/os": system.operating_system,
        "beta.kubernetes.io/arch": system.architecture,
    }


def node_info(system: System, runtime: RuntimeVersion | None, swap: int = 0) -> Json:
    """v1.NodeSystemInfo. The kubelet's version is the API level, this project's its build tag."""
    found: Json = {
        "machineID": system.machine_id,
        "systemUUID": system.system_uuid,
        "bootID": system.boot_id,
        "kernelVersion": system.kernel_version,
        "osImage": system.os_image,
        "containerRuntimeVersion": f"{runtime.name}://{runtime.version}" if runtime else "",
        "kubeletVersion": f"{KUBERNETES_VERSION}+pykubelet.{VERSION}",
        "kubeProxyVersion": "",  # deprecated, but required
        "operatingSystem": system.operating_system,
        "architecture": system.architecture,
    }
    if swap:
        found["swap"] = {"capacity": swap}
    return found


def image_list(images: Iterable[Image], most: int) -> list[Json]:
    """v1.ContainerImage of the largest; -1 for all. The scheduler favours nodes that have them."""
    ordered = sorted(images, key=lambda image: (-image.size, image.id))
    return [
        {
            "names": [*image.digests, *image.tags][:MAX_NAMES_PER_IMAGE],
            "sizeBytes": image.size,
        }
        for image in (ordered if most < 0 else ordered[:most])
    ]


def _handler(name: str, features: HandlerFeatures) -> Json:
    return {
        "name": name,
        "features": {
            "recursiveReadOnlyMounts": features.recursive_read_only_mounts,
            "userNamespaces": features.user_namespaces,
        },
    }

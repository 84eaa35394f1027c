"""The v1.Node as it is composed."""

from __future__ import annotations

from pykubelet.kubelet.node import status
from pykubelet.kubelet.node.amounts import Amounts, System
from pykubelet.kubelet.runtime.model import HandlerFeatures, Image, RuntimeVersion

SYSTEM = System(boot_id="b", kernel_version="6.1", architecture="arm64")


def compose(**more: object) -> dict[str, object]:
    made = {
        "system": SYSTEM,
        "capacity": Amounts(2000, pods=110, swap=1 << 30),
        "allocatable": Amounts(1900, pods=110),
        "addresses": [{"type": "Hostname", "address": "one"}],
        "conditions": [],
        **more,
    }
    return status.node("one", **made)  # type: ignore[arg-type]


def test_a_node_carries_the_labels_that_everything_selects_by() -> None:
    labels = compose(labels={"zone": "a"})["metadata"]["labels"]  # type: ignore[index]
    assert labels["kubernetes.io/hostname"] == "one"
    assert labels["kubernetes.io/arch"] == "arm64"
    assert labels["kubernetes.io/os"] == "linux"
    assert labels["zone"] == "a"


def test_it_says_which_runtime_and_which_kubernetes_level_it_is() -> None:
    found = compose(runtime=RuntimeVersion("containerd", "1.6.20", "v1"))
    told = found["status"]["nodeInfo"]  # type: ignore[index]
    assert told["containerRuntimeVersion"] == "containerd://1.6.20"
    assert told["kubeletVersion"].startswith("v1.")
    assert told["swap"] == {"capacity": 1 << 30}


def test_the_largest_images_are_listed_with_a_few_names_each() -> None:
    images = [
        Image("a", tags=("a:1",), size=1),
        Image("b", tags=tuple(f"b:{n}" for n in range(9)), digests=("b@sha256:1",), size=2),
    ]
    listed = status.image_list(images, 1)
    assert listed == [{"names": ["b@sha256:1", "b:0", "b:1", "b:2", "b:3"], "sizeBytes": 2}]
    assert len(status.image_list(images, -1)) == 2


def test_a_cluster_gives_it_a_pod_range_and_taints() -> None:
    spec = compose(pod_cidr="10.1.0.0/24", taints=[{"key": "k", "effect": "NoSchedule"}])["spec"]
    assert spec["podCIDRs"] == ["10.1.0.0/24"]  # type: ignore[index]
    assert spec["taints"] == [{"key": "k", "effect": "NoSchedule"}]  # type: ignore[index]


def test_the_runtimes_handlers_and_what_they_can_do_are_told() -> None:
    found = compose(handlers={"runc": HandlerFeatures(user_namespaces=True)})
    assert found["status"]["runtimeHandlers"] == [  # type: ignore[index]
        {"name": "runc", "features": {"recursiveReadOnlyMounts": False, "userNamespaces": True}}
    ]

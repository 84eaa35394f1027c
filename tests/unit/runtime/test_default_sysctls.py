"""The node's default sysctls: for every pod that does not set them, never for the host."""

from __future__ import annotations

from typing import Any

from pykubelet.kubelet.runtime.sandboxes import sandbox_config

DEFAULTS = {"net.core.somaxconn": "1024", "kernel/shm_rmid_forced": "1"}


def sysctls(**spec: Any) -> dict[str, str]:
    pod = {
        "metadata": {"name": "web", "namespace": "shop", "uid": "u"},
        "spec": {"containers": [{"name": "main"}], **spec},
    }
    made = sandbox_config(
        pod, attempt=0, log_directory="", hostname="", dns=None, cgroup_parent="",
        default_sysctls=DEFAULTS,
    )  # fmt: skip
    return dict(made["linux"]["sysctls"])


def test_a_pod_gets_the_nodes_defaults_and_its_own_word_wins() -> None:
    assert sysctls() == {"net.core.somaxconn": "1024", "kernel.shm_rmid_forced": "1"}
    own = {"sysctls": [{"name": "net.core.somaxconn", "value": "9"}]}
    assert sysctls(securityContext=own)["net.core.somaxconn"] == "9"


def test_a_default_for_a_namespace_of_the_host_is_left_out() -> None:
    assert sysctls(hostNetwork=True) == {"kernel.shm_rmid_forced": "1"}
    assert sysctls(hostIPC=True) == {"net.core.somaxconn": "1024"}

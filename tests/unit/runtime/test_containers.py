"""A container, from its spec and its pod's."""

from __future__ import annotations

from typing import Any

import pytest

from pykubelet.errors import Invalid
from pykubelet.kubelet.runtime import labels, security
from pykubelet.kubelet.runtime.containers import container_config, log_path
from pykubelet.kubelet.runtime.model import Image
from pykubelet.kubelet.runtime.security import NodeSecurity
from pykubelet.objects.wire.messages import load

CRI = load("pykubelet.kubelet.runtime", "cri.schema")


def make(
    container: dict[str, Any] | None = None,
    pod_context: dict[str, Any] | None = None,
    image: Image | None = None,
    spec: dict[str, Any] | None = None,
    annotations: dict[str, str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    own = {"name": "c", "image": "img:1", **(container or {})}
    pod = {
        "metadata": {"name": "p", "namespace": "n", "uid": "u", "annotations": annotations or {}},
        "spec": {"containers": [own], "securityContext": pod_context or {}, **(spec or {})},
    }
    given: dict[str, Any] = {
        "attempt": 2,
        "image_ref": "sha256:1",
        "env": [],
        "log_path": "c/2.log",
        **more,
    }
    made = container_config(pod, own, image=image or Image("sha256:1"), **given)
    CRI["ContainerConfig"](**made)  # CRI knows every field of it
    return made


def context(*args: Any, **kwargs: Any) -> dict[str, Any]:
    return make(*args, **kwargs)["linux"]["security_context"]


def secured(**fields: Any) -> dict[str, Any]:
    return {"securityContext": fields}


def test_command_and_arguments_are_expanded_from_the_environment() -> None:
    made = make(
        {"command": ["$(BIN)", "$$(BIN)"], "args": ["$(NOWHERE)", "a$(BIN)b"]},
        env=[("BIN", "first"), ("BIN", "/bin/x")],
    )
    assert made["command"] == ["/bin/x", "$(BIN)"]
    assert made["args"] == ["$(NOWHERE)", "a/bin/xb"]
    assert made["envs"] == [{"key": "BIN", "value": b"/bin/x"}]


def test_what_runs_and_what_was_asked_for_are_both_said() -> None:
    assert make()["image"] == {"image": "sha256:1", "user_specified_image": "img:1"}


def test_labels_and_annotations_are_enough_to_adopt_it() -> None:
    """Complaint 13: after a restart, the agent adopts what it finds running."""
    made = make({"lifecycle": {"preStop": {"exec": {"command": ["x"]}}}, "ports": [{"a": 1}]})
    assert made["labels"] == {
        labels.POD_NAME: "p",
        labels.POD_NAMESPACE: "n",
        labels.POD_UID: "u",
        labels.CONTAINER_NAME: "c",
    }
    assert labels.restart_count(made["annotations"]) == 2
    assert made["annotations"][labels.TERMINATION_MESSAGE_PATH] == "/dev/termination-log"
    assert made["annotations"][labels.TERMINATION_MESSAGE_POLICY] == "File"
    assert made["annotations"][labels.PRE_STOP_HANDLER] == '{"exec":{"command":["x"]}}'
    assert made["annotations"][labels.CONTAINER_PORTS] == '[{"a":1}]'


def test_the_hash_follows_the_image_and_nothing_that_can_change_in_place() -> None:
    """Complaint 12: an upgrade of the agent, which may know new defaults, restarts nothing."""
    base = {"name": "c", "image": "i:1"}
    resized = {**base, "resources": {"limits": {"cpu": "1"}}, "aNewDefault": True}
    assert labels.container_hash(base) == labels.container_hash(resized) == "74457f3c"
    assert labels.container_hash(base) != labels.container_hash({**base, "image": "i:2"})


def test_log_files_are_named_by_attempt() -> None:
    assert log_path({"name": "c"}, 3) == "c/3.log"


# -- users -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "whole", "image", "expected"),
    [
        ({}, {}, Image(""), {"run_as_user": {"value": 0}}),
        ({}, {}, Image("", uid=5), {"run_as_user": {"value": 5}}),
        ({}, {}, Image("", username="web"), {"run_as_username": "web"}),
        ({}, {"runAsUser": 7}, Image("", uid=5), {"run_as_user": {"value": 7}}),
        ({"runAsUser": 0}, {"runAsUser": 7}, Image(""), {"run_as_user": {"value": 0}}),
        ({}, {"runAsGroup": 8}, Image("", uid=5),
         {"run_as_user": {"value": 5}, "run_as_group": {"value": 8}}),
    ],
)  # fmt: skip
def test_the_user_is_the_containers_then_the_pods_then_the_images(
    own: dict[str, Any], whole: dict[str, Any], image: Image, expected: dict[str, Any]
) -> None:
    made = context(secured(**own), whole, image)
    assert {k: v for k, v in made.items() if k.startswith("run_as")} == expected


@pytest.mark.parametrize(
    ("own", "image", "message"),
    [
        ({"runAsUser": 0}, Image("", uid=5), "container's runAsUser breaks non-root policy"),
        ({}, Image("", uid=0), "container has runAsNonRoot and image will run as root"),
        ({}, Image(""), "container has runAsNonRoot and image will run as root"),
        ({}, Image("", username="web"), r"non-numeric user \(web\), cannot verify"),
    ],
)
def test_non_root_is_verified_before_anything_starts(
    own: dict[str, Any], image: Image, message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        context(secured(runAsNonRoot=True, **own), {}, image)


@pytest.mark.parametrize("image", [Image("", uid=0), Image("", username="web")])
def test_a_user_given_by_number_settles_non_root(image: Image) -> None:
    made = context({}, {"runAsNonRoot": True, "runAsUser": 7}, image)
    assert made["run_as_user"] == {"value": 7}


def test_a_container_may_allow_root_in_a_pod_that_does_not() -> None:
    made = context(secured(runAsNonRoot=False), {"runAsNonRoot": True}, Image("", uid=0))
    assert made["run_as_user"] == {"value": 0}


def test_groups_are_the_pods() -> None:
    whole = {"fsGroup": 2000, "supplementalGroups": [3, 4], "supplementalGroupsPolicy": "Strict"}
    made = context({}, whole)
    assert made["supplemental_groups"] == [2000, 3, 4]
    assert made["supplemental_groups_policy"] == "Strict"


# -- what it may do --------------------------------------------------------------------------------


def test_nothing_is_granted_unasked() -> None:
    made = context()
    assert made["privileged"] is False
    assert made["readonly_rootfs"] is False
    assert made["no_new_privs"] is False
    assert "capabilities" not in made
    assert made["seccomp"] == {"profile_type": "RuntimeDefault"}
    assert set(security.MASKED_PATHS) <= set(made["masked_paths"])
    assert made["readonly_paths"] == list(security.READONLY_PATHS)


@pytest.mark.parametrize(("allowed", "no_new_privs"), [(True, False), (False, True), (None, False)])
def test_only_an_explicit_no_stops_privilege_escalation(
    allowed: bool | None, no_new_privs: bool
) -> None:
    assert context(secured(allowPrivilegeEscalation=allowed))["no_new_privs"] is no_new_privs


def test_capabilities_may_be_written_with_the_kernels_prefix() -> None:
    made = context(secured(capabilities={"add": ["CAP_NET_ADMIN", "sys_time"], "drop": ["ALL"]}))
    assert made["capabilities"] == {
        "add_capabilities": ["NET_ADMIN", "SYS_TIME"],
        "drop_capabilities": ["ALL"],
    }


def test_an_unmasked_proc_hides_nothing() -> None:
    made = context(secured(procMount="Unmasked"))
    assert "masked_paths" not in made
    assert "readonly_paths" not in made


def test_the_thermal_state_of_every_cpu_is_hidden() -> None:
    masked = context(node=NodeSecurity(cpus=2))["masked_paths"]
    assert masked[-1] == "/sys/devices/system/cpu/cpu1/thermal_throttle"


@pytest.mark.parametrize(
    ("own", "whole", "expected"),
    [
        (None, None, {"profile_type": "RuntimeDefault"}),
        (None, {"type": "Unconfined"}, {"profile_type": "Unconfined"}),
        ({"type": "RuntimeDefault"}, {"type": "Unconfined"}, {"profile_type": "RuntimeDefault"}),
        (
            {"type": "Localhost", "localhostProfile": "a/b.json"},
            None,
            {"profile_type": "Localhost", "localhost_ref": "/profiles/a/b.json"},
        ),
    ],
)
def test_seccomp_is_the_containers_then_the_pods_then_the_nodes(
    own: Any, whole: Any, expected: dict[str, str]
) -> None:
    node = NodeSecurity(seccomp_root="/profiles")
    made = context(secured(seccompProfile=own), {"seccompProfile": whole}, node=node)
    assert made["seccomp"] == expected


@pytest.mark.parametrize("profile", [{"type": "Localhost"}, {"type": "Strange"}])
def test_a_seccomp_profile_that_is_none_is_refused(profile: dict[str, str]) -> None:
    with pytest.raises(Invalid, match="seccomp"):
        context(secured(seccompProfile=profile))


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ({"type": "RuntimeDefault"}, {"profile_type": "RuntimeDefault"}),
        ({"type": "Unconfined"}, {"profile_type": "Unconfined"}),
        (
            {"type": "Localhost", "localhostProfile": "k8s-x"},
            {"profile_type": "Localhost", "localhost_ref": "k8s-x"},
        ),
    ],
)
def test_apparmor_profiles_are_passed_on(profile: dict[str, str], expected: dict[str, str]) -> None:
    assert context(secured(appArmorProfile=profile))["apparmor"] == expected


def test_apparmor_by_annotation_still_counts_and_the_field_wins() -> None:
    notes = {"container.apparmor.security.beta.kubernetes.io/c": "localhost/old"}
    assert context(annotations=notes)["apparmor"]["localhost_ref"] == "old"
    made = context(secured(appArmorProfile={"type": "Unconfined"}), annotations=notes)
    assert made["apparmor"] == {"profile_type": "Unconfined"}


def test_a_host_without_apparmor_refuses_what_it_can_not_enforce() -> None:
    node = NodeSecurity(apparmor=False)
    assert "apparmor" not in context(node=node)
    assert "apparmor" not in context(secured(appArmorProfile={"type": "Unconfined"}), node=node)
    with pytest.raises(Invalid, match="AppArmor is not enabled on the host"):
        context(secured(appArmorProfile={"type": "RuntimeDefault"}), node=node)


def test_an_ephemeral_container_sees_its_targets_processes() -> None:
    options = context(target_id="t-1")["namespace_options"]
    assert (options["pid"], options["target_id"]) == ("TARGET", "t-1")
    shared = context(target_id="t-1", spec={"shareProcessNamespace": True})["namespace_options"]
    assert shared["pid"] == "POD"


@pytest.mark.parametrize(
    ("given", "expected"),
    [("SIGUSR1", "SIGNAL_SIGUSR1"), ("SIGRTMIN+3", "SIGNAL_SIGRTMINPLUS3"),
     ("SIGRTMAX-14", "SIGNAL_SIGRTMAXMINUS14")],
)  # fmt: skip
def test_a_stop_signal_of_its_own(given: str, expected: str) -> None:
    assert make({"lifecycle": {"stopSignal": given}})["stop_signal"] == expected
    assert expected in CRI.enum("Signal")

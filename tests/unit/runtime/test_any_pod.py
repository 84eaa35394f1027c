"""Whatever a valid pod says, the runtime is given a message of its own schema, or a reason."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pykubelet.errors import Invalid
from pykubelet.kubelet.runtime.containers import container_config
from pykubelet.kubelet.runtime.model import Image
from pykubelet.kubelet.runtime.sandboxes import sandbox_config
from pykubelet.kubelet.runtime.security import NodeSecurity
from pykubelet.objects.wire.messages import load

CRI = load("pykubelet.kubelet.runtime", "cri.schema")

ids = st.integers(0, 2**31 - 1)
words = st.text("abcXYZ$()./-_ é", max_size=12)
profiles = st.fixed_dictionaries(
    {"type": st.sampled_from(["RuntimeDefault", "Unconfined", "Localhost"])},
    optional={"localhostProfile": words},
)
selinux = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(["user", "role", "type", "level"], words)
)
shared: dict[str, st.SearchStrategy[Any]] = {
    "runAsUser": st.none() | ids,
    "runAsGroup": st.none() | ids,
    "runAsNonRoot": st.none() | st.booleans(),
    "seccompProfile": st.none() | profiles,
    "appArmorProfile": st.none() | profiles,
    "seLinuxOptions": st.none() | selinux,
}
sysctls = st.fixed_dictionaries({"name": words, "value": words})
pod_contexts = st.fixed_dictionaries(
    {},
    optional={
        **shared,
        "fsGroup": ids,
        "supplementalGroups": st.lists(ids, max_size=3),
        "supplementalGroupsPolicy": st.sampled_from(["Merge", "Strict"]),
        "sysctls": st.lists(sysctls, max_size=3),
    },
)
capabilities = st.lists(st.sampled_from(["ALL", "NET_ADMIN", "CAP_SYS_TIME", "chown"]), max_size=3)
contexts = st.fixed_dictionaries(
    {},
    optional={
        **shared,
        "privileged": st.booleans(),
        "readOnlyRootFilesystem": st.booleans(),
        "allowPrivilegeEscalation": st.booleans(),
        "procMount": st.sampled_from(["Default", "Unmasked"]),
        "capabilities": st.fixed_dictionaries(
            {}, optional={"add": capabilities, "drop": capabilities}
        ),
    },
)
port = st.integers(1, 65535)
ports = st.fixed_dictionaries(
    {"containerPort": port},
    optional={
        "hostPort": port,
        "hostIP": words,
        "protocol": st.sampled_from(["TCP", "UDP", "SCTP"]),
        "name": words,
    },
)
containers = st.fixed_dictionaries(
    {"name": st.just("c"), "image": st.just("i")},
    optional={
        "command": st.lists(words, max_size=3),
        "args": st.lists(words, max_size=3),
        "workingDir": words,
        "ports": st.lists(ports, max_size=3),
        "securityContext": contexts,
        "stdin": st.booleans(),
        "stdinOnce": st.booleans(),
        "tty": st.booleans(),
        "lifecycle": st.fixed_dictionaries(
            {}, optional={"stopSignal": st.sampled_from(["SIGTERM", "SIGRTMIN+15", "SIGRTMAX-1"])}
        ),
    },
)
flags = dict.fromkeys(
    ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"), st.none() | st.booleans()
)
specs = st.fixed_dictionaries(
    {"containers": st.lists(containers, min_size=1, max_size=2)},
    optional={**flags, "securityContext": st.none() | pod_contexts},
)
images = st.builds(Image, st.just("i"), uid=st.none() | ids, username=words)
namespaces = st.none() | st.tuples(ids, st.integers(1, 65536))


@given(specs, images, namespaces, st.lists(st.tuples(words, words), max_size=3))
def test_every_configuration_is_one_that_cri_knows(
    spec: dict[str, Any],
    image: Image,
    userns: tuple[int, int] | None,
    env: list[tuple[str, str]],
) -> None:
    pod = {"metadata": {"name": "p", "namespace": "n", "uid": "u"}, "spec": spec}
    sandbox = sandbox_config(
        pod,
        attempt=0,
        log_directory="/l",
        hostname="h",
        dns=None,
        cgroup_parent="/c",
        user_namespace=userns,
    )
    assert CRI["PodSandboxConfig"](**sandbox).SerializeToString()
    for container in spec["containers"]:
        try:
            config = container_config(
                pod,
                container,
                attempt=1,
                image=image,
                image_ref="i",
                env=env,
                log_path="c/1.log",
                user_namespace=userns,
                node=NodeSecurity(cpus=1),
            )
        except Invalid:
            continue
        message = CRI["ContainerConfig"](**config)
        context = message.linux.security_context
        asked = {**(spec.get("securityContext") or {}), **(container.get("securityContext") or {})}
        if asked.get("runAsNonRoot"):
            assert context.run_as_user.value != 0
        assert context.HasField("run_as_user") != bool(context.run_as_username)

"""Starts one container: image, configuration, create, start, postStart hook.

A part of `perform`. The reasons that it fails with are upstream's waiting reasons.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import partial

from pykubelet.errors import PykubeletError
from pykubelet.kubelet.cgroups.limits import container_resources
from pykubelet.kubelet.events import NORMAL, WARNING
from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.pods.environment import environment
from pykubelet.kubelet.pods.snapshot import KillContainer, StartContainer
from pykubelet.kubelet.pods.spec import Kind
from pykubelet.kubelet.pods.stop import Stopper
from pykubelet.kubelet.pods.tools import Json, NameTaken, StepFailed, Tools, Work
from pykubelet.kubelet.pods.user_namespaces import id_mappings
from pykubelet.kubelet.runtime.containers import container_config
from pykubelet.kubelet.runtime.failures import NameReserved
from pykubelet.kubelet.runtime.model import Image
from pykubelet.kubelet.runtime.pulls import ErrImagePull
from pykubelet.kubelet.volumes.container_mounts import Occasion
from pykubelet.kubelet.volumes.image import references as image_volumes

#: A day: nobody waits that long for a postStart hook.
_UNBOUNDED = 24 * 3600.0
#: Seconds for which a failed pull shows as ErrImagePull before it shows as ImagePullBackOff.
_SHOWN = 1.0

#: Annotation of a container: the limits that it was created with. Runtimes before CRI of 2023 don't
#: say what is in force, and a resize has to know.
GIVEN_RESOURCES = "io.kubernetes.pykubelet.resources"


def given_resources(annotations: Mapping[str, str]) -> Json | None:
    text = annotations.get(GIVEN_RESOURCES)
    return json.loads(text) if text else None


class Starter:
    def __init__(self, tools: Tools, stopper: Stopper) -> None:
        self._tools = tools
        self._stopper = stopper

    def start(self, work: Work, action: StartContainer) -> None:
        found = spec.container_named(work.pod, action.name)
        sandbox = next((b for b in work.runtime.sandboxes if b.ready), None)
        if found is None or sandbox is None:
            return  # the pod has moved on; the next turn sees it as it is
        kind, container = found
        try:
            image = work.interrupted.race(lambda: self._image(work, container))
            if image is None:
                return  # its end was asked for; a pull that hangs must not hold that up
            volumes = self._image_volumes(work, container)
            config = self._configure(work, kind, container, action.attempt, image, volumes)
            with self._tools.starts.taken():
                if work.interrupted.is_set():
                    return
                id = self._create(work, container, sandbox.id, config, sandbox.attempt)
                self._run(work, container, id, action.attempt)
        except StepFailed as error:
            work.record(self._tools.recorder, WARNING, "Failed", f"Error: {error.message}")
            raise
        self._post_start(work, container, id)

    def _image_volumes(self, work: Work, container: Json) -> dict[str, str]:
        """By volume name: what the runtime calls the images that this container mounts."""
        mounted = {mount["name"] for mount in container.get("volumeMounts") or ()}
        found = {}
        for name, source in image_volumes(work.pod):
            if name not in mounted:
                continue
            asked = {
                "name": name,
                "image": source.get("reference"),
                "imagePullPolicy": source.get("pullPolicy"),
            }
            image = work.interrupted.race(partial(self._image, work, asked))
            if image is not None:
                found[name] = image.id
        return found

    def _image(self, work: Work, container: Json) -> Image:
        namespace = spec.namespace(work.pod)
        secrets = [
            secret
            for wanted in work.pod["spec"].get("imagePullSecrets") or ()
            if (secret := self._tools.sources.secret(namespace, wanted["name"]))
        ]
        try:
            return self._tools.pulls.ensure(
                work.pod,
                container,
                secrets,
                time.monotonic(),
                say=lambda *said: work.record(self._tools.recorder, *said),
            )
        except ErrImagePull as error:
            # Shown for a moment as what it is; asked again, the puller says that it holds back.
            raise StepFailed(error.reason, str(error), time.monotonic() + _SHOWN) from error

    def _configure(
        self,
        work: Work,
        kind: Kind,
        container: Json,
        attempt: int,
        image: Image,
        image_refs: Mapping[str, str],
    ) -> Json:
        """CRI's ContainerConfig. Whatever keeps it from being made is CreateContainerConfigError,
        unless the neighbour that it comes from has a better word."""
        tools, pod = self._tools, work.pod
        pod_ips = tools.pod_ips(work)
        userns = tools.user_namespace(pod)
        try:
            env = environment(
                pod,
                container,
                sources=tools.sources,
                pod_ips=pod_ips,
                host_ips=tools.host_ips(),
                services=tools.sources.services(),
                read_file=lambda volume, path: tools.volumes.read_file(work.mounted, volume, path),
                warn=lambda words: work.record(
                    tools.recorder, WARNING, "InvalidEnvironmentVariableNames", words
                ),
            )
            occasion = Occasion(
                attempt=attempt,
                pod_ips=pod_ips,
                recursive_read_only=tools.features(pod).recursive_read_only_mounts,
                id_mappings=id_mappings(userns),
                image_refs=image_refs,
            )
            mounts = tools.volumes.mounts(pod, container, work.mounted, dict(env), occasion)
            tools.logs.make(pod, container["name"])
            resources = container_resources(pod, container, tools.rules)
            config = container_config(
                pod,
                container,
                attempt=attempt,
                image=image,
                image_ref=image.id,
                env=env,
                mounts=mounts,
                devices=tools.volumes.block_devices(pod, container, work.mounted),
                resources=resources,
                log_path=tools.logs.file(container["name"], attempt),
                target_id=self._target(work, container) if kind is Kind.EPHEMERAL else "",
                user_namespace=userns,
                node=tools.security,
            )
            config["annotations"][GIVEN_RESOURCES] = json.dumps(resources)
            return config
        except PykubeletError as error:
            reason = getattr(error, "reason", "CreateContainerConfigError")
            raise StepFailed(reason, str(error)) from error

    def _target(self, work: Work, container: Json) -> str:
        """The container whose processes an ephemeral one is to see."""
        name = container.get("targetContainerName")
        target = work.runtime.latest(name) if name else None
        return target.id if target else ""

    def _create(self, work: Work, container: Json, sandbox: str, config: Json, attempt: int) -> str:
        tools, name = self._tools, container["name"]
        try:
            id = tools.runtime.create_container(
                sandbox, config, tools.sandbox_config(work.pod, attempt)
            )
        except NameReserved as error:
            raise NameTaken("CreateContainerError", str(error)) from error
        except PykubeletError as error:
            raise StepFailed("CreateContainerError", str(error)) from error
        work.record(tools.recorder, NORMAL, "Created", f"Created container: {name}")
        return id

    def _run(self, work: Work, container: Json, id: str, attempt: int) -> None:
        tools, name = self._tools, container["name"]
        try:
            tools.runtime.start_container(id)
        except PykubeletError as error:
            raise StepFailed("RunContainerError", str(error)) from error
        work.record(tools.recorder, NORMAL, "Started", f"Started container {name}")
        tools.logs.link(work.pod, name, id, attempt)

    def _post_start(self, work: Work, container: Json, id: str) -> None:
        handler = (container.get("lifecycle") or {}).get("postStart")
        if not handler:
            return
        tools = self._tools
        # Upstream gives the hook all the time it takes; the end of the pod interrupts it.
        result = tools.hook(handler, work, container, id, _UNBOUNDED)
        if result.ok or work.interrupted.is_set():
            return
        work.record(tools.recorder, WARNING, "FailedPostStartHook", result.message)
        message = f"Container {container['name']} failed its PostStart hook"
        grace = spec.grace_seconds(work.pod)
        self._stopper.kill(work, KillContainer(container["name"], id, grace, message))
        raise StepFailed("PostStartHookError", result.message)

"""Defaults of pods and of pod templates.

Two layers, as upstream: what every pod spec gets, also inside a Deployment's template
(`fill_spec`), and what only a pod itself gets (`default`), because it must not change templates
that are compared with older ones. Source: the API reference, and the defaulting of core/v1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pykubelet.objects import quantity, resources

Json = dict[str, Any]

_SPEC = {
    "dnsPolicy": "ClusterFirst",
    "restartPolicy": "Always",
    "schedulerName": "default-scheduler",
}
_CONTAINER = {
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_HTTP_GET = {"path": "/", "scheme": "HTTP"}
_FILE_MODE = 0o644
_VOLUMES: dict[str, Json] = {
    "secret": {"defaultMode": _FILE_MODE},
    "configMap": {"defaultMode": _FILE_MODE},
    "downwardAPI": {"defaultMode": _FILE_MODE},
    "projected": {"defaultMode": _FILE_MODE},
    "hostPath": {"type": ""},
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
    "azureDisk": {"cachingMode": "ReadWrite", "fsType": "ext4", "kind": "Shared",
                  "readOnly": False},
}  # fmt: skip
_CONTAINER_LISTS = ("containers", "initContainers", "ephemeralContainers")
_TOKEN_SECONDS = 3600
_OVERCOMMITTED = ("cpu", "memory")


def default(pod: Json) -> Json:
    """A new pod with everything filled in that the API server would. Nulls count as absent."""
    made: Json = without_nulls(pod)
    fill(made)
    return made


def fill(pod: Json) -> None:
    """The same in place, for a pod without nulls."""
    spec: Json = pod.setdefault("spec", {})
    fill_spec(spec)
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        _limits_are_requests(container)
    _fill_pod_resources(spec)
    spec.setdefault("enableServiceLinks", True)
    if spec.get("hostNetwork"):
        for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
            for port in container.get("ports") or ():
                if not port.get("hostPort"):
                    port["hostPort"] = port.get("containerPort", 0)


def fill_spec(spec: Json) -> None:
    """Fill in a pod spec, a pod's or a template's, in place."""
    _fill_empty(spec, _SPEC)
    spec.setdefault("securityContext", {})
    spec.setdefault("terminationGracePeriodSeconds", 30)
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for volume in spec.get("volumes") or ():
        fill_volume(volume)
    for kind in _CONTAINER_LISTS:
        for container in spec.get(kind) or ():
            _fill_container(container)


def fill_volume(volume: Json) -> None:
    """Fill in a volume in place. One that says nothing is an emptyDir."""
    sources = [key for key in volume if key != "name"]
    if not sources:
        volume["emptyDir"] = {}
    for kind in sources:
        source = volume[kind]
        for key, value in _VOLUMES.get(kind, {}).items():
            source.setdefault(key, value)
    image = volume.get("image")
    if image is not None and not image.get("pullPolicy"):
        image["pullPolicy"] = pull_policy(image.get("reference", ""))
    for item in volume.get("downwardAPI", {}).get("items") or ():
        _fill_field_ref(item)
    for source in volume.get("projected", {}).get("sources") or ():
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", _TOKEN_SECONDS)
        for item in source.get("downwardAPI", {}).get("items") or ():
            _fill_field_ref(item)
    claim = volume.get("ephemeral", {}).get("volumeClaimTemplate", {}).get("spec")
    if claim is not None:
        claim.setdefault("volumeMode", "Filesystem")


def pull_policy(image: str) -> str:
    """`Always` for an image with the tag latest, or with no tag and no digest."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return "Always" if tag == "latest" or not (tag or digest) else "IfNotPresent"


def without_nulls(tree: Any) -> Any:
    """A copy without the keys whose value is null, which decoding treats as absent."""
    if type(tree) is dict:
        return {key: without_nulls(value) for key, value in tree.items() if value is not None}
    if type(tree) is list:
        return [without_nulls(item) for item in tree]
    return tree


def _fill_container(container: Json) -> None:
    _fill_empty(container, _CONTAINER)
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image", ""))
    container.setdefault("resources", {})
    for port in container.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
    for variable in container.get("env") or ():
        _fill_field_ref(variable.get("valueFrom", {}))
        file = variable.get("valueFrom", {}).get("fileKeyRef")
        if file is not None:
            file.setdefault("optional", False)
    for handler in _handlers(container):
        if "httpGet" in handler:
            _fill_empty(handler["httpGet"], _HTTP_GET)
        if "grpc" in handler:
            handler["grpc"].setdefault("service", "")
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            _fill_empty(container[name], _PROBE)


def _handlers(container: Json) -> Iterator[Json]:
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if name in container:
            yield container[name]
    for hook in ("postStart", "preStop"):
        if hook in container.get("lifecycle", {}):
            yield container["lifecycle"][hook]


def _fill_field_ref(source: Json) -> None:
    reference = source.get("fieldRef")
    if reference is not None and not reference.get("apiVersion"):
        reference["apiVersion"] = "v1"


def _fill_empty(into: Json, values: Json) -> None:
    """For fields where empty and absent are the same."""
    for key, value in values.items():
        if not into.get(key):
            into[key] = value


def _limits_are_requests(container: Json) -> None:
    wanted = container.get("resources", {})
    if wanted.get("limits"):
        wanted["requests"] = {**wanted["limits"], **wanted.get("requests", {})}


def _fill_pod_resources(spec: Json) -> None:
    """Resources of the pod as a whole (KEP-2837), where it has any: limits of huge pages from the
    containers; then, with limits, requests from the containers or else the limits; or, with
    requests alone, limits from the containers if each of them has one."""
    whole = spec.get("resources")
    if not whole or not (whole.get("limits") or whole.get("requests")):
        return
    bare = {"spec": {key: spec[key] for key in ("containers", "initContainers") if key in spec}}
    limits, requests = dict(whole.get("limits", {})), dict(whole.get("requests", {}))
    sums = resources.limits(bare)
    for name, number in sums.items():
        if name.startswith("hugepages-") and name not in requests:
            limits.setdefault(name, _spelled(name, number))
    if limits:
        for name, number in resources.requests(bare).items():
            if name in _OVERCOMMITTED:
                requests.setdefault(name, _spelled(name, number))
        requests = {**limits, **requests}
    else:
        every = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
        for name, number in sums.items():
            limited = (name in c.get("resources", {}).get("limits", {}) for c in every)
            if name in _OVERCOMMITTED and all(limited):
                limits[name] = _spelled(name, number)
    whole.update({k: v for k, v in (("limits", limits), ("requests", requests)) if v})


def _spelled(name: str, number: Any) -> str:
    return quantity.spell(number, "decimal" if name == "cpu" else "binary")

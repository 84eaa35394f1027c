"""projected: ConfigMaps, Secrets, the downward API, tokens and trust bundles in one folder.

A token belongs to one user where all containers run as the same, and to the pod's fsGroup where it
has one; in both cases nobody else may read it.
Source: ProjectedVolumeSource in the API reference, KEP-1205 (tokens), KEP-3257 (trust bundles).
"""

from __future__ import annotations

from collections.abc import Callable

from pykubelet.errors import Failed
from pykubelet.kubelet.pods import spec
from pykubelet.kubelet.volumes import config_map, downward_api, keys, secret
from pykubelet.kubelet.volumes.model import (
    File,
    Json,
    Volume,
    VolumeError,
    VolumeType,
    security_context,
)

TOKEN_SECONDS = 3600
_OWNER_ONLY = 0o600


def payload(volume: Volume) -> dict[str, File]:
    """All sources' files; where two give the same path, the later one wins."""
    mode = keys.default_mode(volume.source)
    found: dict[str, File] = {}
    problems: list[VolumeError] = []
    for source in volume.source.get("sources") or ():
        for key, ref in source.items():
            if key not in _SOURCES:
                raise volume.error(
                    f"projections of {key} are not supported here", waiting_may_help=False
                )
            try:
                found |= _SOURCES[key](volume, ref, mode)
            except VolumeError as problem:
                problems.append(problem)
    if problems:
        raise _all(volume, problems)
    return found


def _all(volume: Volume, problems: list[VolumeError]) -> VolumeError:
    """One error that says everything that is missing, so that it can be mended in one go."""
    if len(problems) == 1:
        return problems[0]
    prefix = str(volume.error(""))
    sentences = ", ".join(str(problem).removeprefix(prefix) for problem in problems)
    return volume.error(
        f"[{sentences}]", waiting_may_help=all(problem.waiting_may_help for problem in problems)
    )


def _token(volume: Volume, ref: Json, default_mode: int) -> dict[str, File]:
    audience = ref.get("audience") or ""
    seconds = int(ref.get("expirationSeconds") or TOKEN_SECONDS)
    try:
        token = volume.sources.service_account_token(volume.pod, audience, seconds)
    except Failed as error:
        raise volume.error(f"failed to fetch token: {error}") from error
    user = single_user(volume.pod)
    private = user is not None or volume.fs_group is not None
    file = File(token.encode(), _OWNER_ONLY if private else default_mode, user)
    return {ref["path"]: file}


def _trust_bundle(volume: Volume, ref: Json, default_mode: int) -> dict[str, File]:
    name, signer = ref.get("name") or "", ref.get("signerName") or ""
    pem = volume.sources.cluster_trust_bundle(
        name=name, signer_name=signer, selector=ref.get("labelSelector")
    )
    if pem is None and not ref.get("optional"):
        which = f'clustertrustbundle "{name}"' if name else f'trust bundle of signer "{signer}"'
        raise volume.error(f"{which} not found")
    return {ref["path"]: File((pem or "").encode(), default_mode, ref.get("user"))}


def single_user(pod: Json) -> int | None:
    """The user that every container of the pod runs as; None where they differ or don't say."""
    default = security_context(pod).get("runAsUser")
    users = set()
    for _, container in spec.containers(pod):
        user = (container.get("securityContext") or {}).get("runAsUser")
        users.add(default if user is None else user)
    return users.pop() if len(users) == 1 else None


_SOURCES: dict[str, Callable[[Volume, Json, int], dict[str, File]]] = {
    "configMap": config_map.files,
    "secret": secret.files,
    "downwardAPI": downward_api.files,
    "serviceAccountToken": _token,
    "clusterTrustBundle": _trust_bundle,
}

TYPE = VolumeType("projected", "kubernetes.io~projected", payload=payload, in_memory=True)

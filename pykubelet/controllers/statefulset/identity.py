"""Who a pod of a StatefulSet is: its ordinal, its name, its claims, its revision. Pure."""

from __future__ import annotations

import re
from typing import Any

from pykubelet.client.api import owner_reference
from pykubelet.client.resources import STATEFUL_SETS
from pykubelet.controllers import pods
from pykubelet.controllers.revisions import REVISION_LABEL

Json = dict[str, Any]

POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"
POD_INDEX_LABEL = "apps.kubernetes.io/pod-index"

_NUMBERED = re.compile(r"(.*)-(0|[1-9][0-9]*)")


def start(set_: Json) -> int:
    return int((set_["spec"].get("ordinals") or {}).get("start") or 0)


def replicas(set_: Json) -> int:
    number = set_["spec"].get("replicas")
    return 1 if number is None else int(number)


def ordinals(set_: Json) -> range:
    """The ordinals that are wanted."""
    return range(start(set_), start(set_) + replicas(set_))


def ordinal_of(set_: Json, pod: Json) -> int | None:
    """None for a pod whose name is none of this set's."""
    match = _NUMBERED.fullmatch(pod["metadata"]["name"])
    if match is None or match[1] != set_["metadata"]["name"]:
        return None
    return int(match[2])


def revision_of(pod: Json) -> str:
    return str((pod["metadata"].get("labels") or {}).get(REVISION_LABEL) or "")


def new_pod(set_: Json, template: Json, revision: str, ordinal: int) -> Json:
    """The pod of an ordinal after a template, to be created."""
    made = pods.from_template(template, set_, owner_reference(set_, STATEFUL_SETS))
    metadata = made["metadata"]
    name = metadata["name"] = f"{set_['metadata']['name']}-{ordinal}"
    labels = {**(metadata.get("labels") or {}), REVISION_LABEL: revision}
    metadata["labels"] = {**labels, **_name_labels(name, ordinal)}
    made["spec"] = {
        **template["spec"],
        "hostname": name,
        "subdomain": set_["spec"].get("serviceName") or "",
        **_volumes(set_, template["spec"], ordinal),
    }
    if not made["spec"]["subdomain"]:
        del made["spec"]["subdomain"]
    return made


def _name_labels(name: str, ordinal: int) -> dict[str, str]:
    return {POD_NAME_LABEL: name, POD_INDEX_LABEL: str(ordinal)}


def missing_labels(set_: Json, pod: Json) -> dict[str, str]:
    """The labels that an adopted or edited pod of this set lacks."""
    ordinal = ordinal_of(set_, pod)
    if ordinal is None:
        return {}
    wanted = _name_labels(pod["metadata"]["name"], ordinal)
    present = pod["metadata"].get("labels") or {}
    return {key: value for key, value in wanted.items() if present.get(key) != value}


def _volumes(set_: Json, spec: Json, ordinal: int) -> Json:
    claims = set_["spec"].get("volumeClaimTemplates") or ()
    if not claims:
        return {}
    names = {claim["metadata"]["name"] for claim in claims}
    kept = [volume for volume in spec.get("volumes") or () if volume["name"] not in names]
    own = [
        {
            "name": claim["metadata"]["name"],
            "persistentVolumeClaim": {"claimName": claim_name(set_, claim, ordinal)},
        }
        for claim in claims
    ]
    return {"volumes": [*own, *kept]}


def claim_name(set_: Json, template: Json, ordinal: int) -> str:
    return f"{template['metadata']['name']}-{set_['metadata']['name']}-{ordinal}"


def claims(set_: Json, ordinal: int) -> list[Json]:
    """The claims of an ordinal, to be created where they are not there."""
    namespace = set_["metadata"]["namespace"]
    labels = (set_["spec"].get("selector") or {}).get("matchLabels") or {}
    made = []
    for template in set_["spec"].get("volumeClaimTemplates") or ():
        metadata = {k: v for k, v in template["metadata"].items() if k in ("labels", "annotations")}
        metadata["labels"] = {**(metadata.get("labels") or {}), **labels}
        name = claim_name(set_, template, ordinal)
        metadata |= {"name": name, "namespace": namespace}
        made.append({"metadata": metadata, "spec": template["spec"]})
    return made

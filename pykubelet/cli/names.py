"""From what a person types to one container: `[NAMESPACE/]POD` and perhaps a container's name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pykubelet.cli.agent import Agent
from pykubelet.errors import Invalid, NotFound

Json = dict[str, Any]

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


@dataclass(frozen=True, slots=True)
class Found:
    namespace: str
    pod: str
    container: str
    others: tuple[str, ...] = ()
    """Further regular containers, where the choice was ours."""


def find(agent: Agent, name: str, container: str = "", namespace: str = "") -> Found:
    """The pod of this name, static ones also by the name in their manifest, and its container.

    NotFound where there is none; Invalid where the name fits several pods.
    """
    wanted_namespace, _, wanted = name.rpartition("/")
    wanted_namespace = wanted_namespace or namespace
    pods = agent.get("pods").get("items") or []
    pods = [p for p in pods if wanted_namespace in ("", p["metadata"].get("namespace", "default"))]
    fitting = [p for p in pods if p["metadata"]["name"] == wanted]
    fitting = fitting or [p for p in pods if _manifest_name(p) == wanted]
    if not fitting:
        near = sorted(p["metadata"]["name"] for p in pods if wanted in p["metadata"]["name"])
        hint = f"; there is {', '.join(near[:5])}" if near else "; `pykubelet status` lists them"
        raise NotFound(f"there is no pod {name} on this node{hint}")
    if len(fitting) > 1:
        names = ", ".join(f"{p['metadata']['namespace']}/{p['metadata']['name']}" for p in fitting)
        raise Invalid(f"{name} may mean several pods", found=names, remedy="say NAMESPACE/NAME")
    return _container(fitting[0], container)


def _manifest_name(pod: Json) -> str:
    """A static pod's name without the node's, which the agent has appended."""
    node = pod["spec"].get("nodeName", "").lower()
    name: str = pod["metadata"]["name"]
    return name.removesuffix(f"-{node}") if node else name


def _container(pod: Json, wanted: str) -> Found:
    spec, metadata = pod["spec"], pod["metadata"]
    regular = [c["name"] for c in spec.get("containers") or ()]
    everyone = [
        *regular,
        *(c["name"] for c in spec.get("initContainers") or ()),
        *(c["name"] for c in spec.get("ephemeralContainers") or ()),
    ]
    if wanted and wanted not in everyone:
        raise NotFound(
            f"pod {metadata['name']} has no container {wanted}; it has {', '.join(everyone)}"
        )
    chosen = wanted or (metadata.get("annotations") or {}).get(DEFAULT_CONTAINER) or regular[0]
    others = () if wanted else tuple(name for name in regular if name != chosen)
    return Found(metadata.get("namespace", "default"), metadata["name"], chosen, others)

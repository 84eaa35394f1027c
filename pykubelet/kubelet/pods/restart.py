"""Should a container that ended run again? Pure.

The pod's restartPolicy decides, unless the container has a policy or rules of its own (KEP-5307);
init containers fail for good only under Never, sidecars always come back while the pod lives.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from pykubelet.kubelet.pods.spec import Kind
from pykubelet.kubelet.runtime.model import Container

Json = dict[str, Any]


def policy(pod_policy: str, kind: Kind, container: Mapping[str, Any]) -> str:
    """The policy in force for one container: Always, OnFailure or Never."""
    if kind is Kind.EPHEMERAL:
        return "Never"
    if kind is Kind.SIDECAR:
        return "Always"
    own = container.get("restartPolicy")
    if own:
        return own
    if kind is Kind.INIT and pod_policy == "Always":
        return "OnFailure"
    return pod_policy


def restarts(pod_policy: str, kind: Kind, container: Mapping[str, Any], exit_code: int) -> bool:
    """Whether a container that ended with `exit_code` is to run again."""
    for rule in container.get("restartPolicyRules") or ():
        if rule.get("action") == "Restart" and _matches(rule.get("exitCodes"), exit_code):
            return True
    in_force = policy(pod_policy, kind, container)
    return in_force == "Always" or (in_force == "OnFailure" and exit_code != 0)


def comes_back(
    pod_policy: str,
    kind: Kind,
    container: Mapping[str, Any],
    ended: Container,
    replaced: Set[str],
) -> bool:
    """`restarts` for one attempt that has ended. Those in `replaced` (ids) were stopped by us, in
    order to come back: what they exited with says nothing."""
    return ended.id in replaced or restarts(pod_policy, kind, container, ended.exit_code)


def _matches(exit_codes: Mapping[str, Any] | None, exit_code: int) -> bool:
    if not exit_codes:
        return False
    listed = exit_code in (exit_codes.get("values") or ())
    return listed if exit_codes.get("operator") == "In" else not listed

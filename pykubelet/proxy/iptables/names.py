"""The chains by their well-known names. Pure.

A service's chains end in a hash, as upstream makes it: sixteen letters of the base32 text of a
SHA-256 over the service port's title, its protocol and, for an endpoint, `address:port`. Whoever
knows one from a kube-proxy finds it here.
"""

from __future__ import annotations

import base64
import hashlib

from pykubelet.proxy.model import Endpoint, ServicePort

SERVICES = "KUBE-SERVICES"
EXTERNAL_SERVICES = "KUBE-EXTERNAL-SERVICES"
NODE_PORTS = "KUBE-NODEPORTS"
POSTROUTING = "KUBE-POSTROUTING"
MARK_MASQUERADE = "KUBE-MARK-MASQ"
#: Marks what does not come from one of several pod networks.
MARK_OFF_CLUSTER = "KUBE-MARK-OFF-CLUSTER"
FORWARD = "KUBE-FORWARD"
PROXY_FIREWALL = "KUBE-PROXY-FIREWALL"
#: Upstream's kubelet has a KUBE-FIREWALL of its own; this one says whose it is.
LOCALNET_FIREWALL = "KUBE-PROXY-LOCALNET"

CLUSTER, LOCAL, EXTERNAL, FIREWALL, ENDPOINT = (
    "KUBE-SVC-",
    "KUBE-SVL-",
    "KUBE-EXT-",
    "KUBE-FW-",
    "KUBE-SEP-",
)
#: Chains of one service or endpoint begin so.
PREFIXES = (CLUSTER, LOCAL, EXTERNAL, FIREWALL, ENDPOINT)

#: Chains that there is one of, by table.
FIXED = {
    "nat": (SERVICES, NODE_PORTS, POSTROUTING, MARK_MASQUERADE, MARK_OFF_CLUSTER),
    "filter": (
        SERVICES,
        EXTERNAL_SERVICES,
        NODE_PORTS,
        FORWARD,
        PROXY_FIREWALL,
        LOCALNET_FIREWALL,
    ),
}


def of_service(prefix: str, port: ServicePort) -> str:
    return prefix + _hash(port.title + port.protocol)


def of_endpoint(port: ServicePort, endpoint: Endpoint) -> str:
    return ENDPOINT + _hash(port.title + port.protocol + address(endpoint))


def address(endpoint: Endpoint) -> str:
    ip = f"[{endpoint.ip}]" if ":" in endpoint.ip else endpoint.ip
    return f"{ip}:{endpoint.port}"


def is_ours(table: str, chain: str) -> bool:
    return chain in FIXED.get(table, ()) or (table == "nat" and chain.startswith(PREFIXES))


def _hash(text: str) -> str:
    # Ten bytes are sixteen letters.
    return base64.b32encode(hashlib.sha256(text.encode()).digest()[:10]).decode()

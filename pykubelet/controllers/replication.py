"""ReplicationController: what ReplicaSet was before it had set-based selectors.

The work is `replicaset`'s; only the resource and its plain map of labels differ.
"""

from __future__ import annotations

from typing import Any

from pykubelet.client.resources import REPLICATION_CONTROLLERS, Resource
from pykubelet.controllers.replicaset import ReplicaSetController
from pykubelet.objects import selectors

Json = dict[str, Any]


class ReplicationControllerController(ReplicaSetController):
    name = "replicationcontroller-controller"
    resource: Resource = REPLICATION_CONTROLLERS

    def selector(self, owner: Json) -> selectors.Selector:
        return selectors.from_map(owner["spec"].get("selector"))

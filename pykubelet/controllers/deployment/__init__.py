"""Deployment: replica sets after one another, so that a new template replaces the old one gently.

`decision` puts together what one turn does; `rollout` counts surge and unavailability, `scaling`
spreads a new size over the replica sets of a rollout under way, `history` numbers revisions and
clears old ones away, `conditions` tells how it goes. All of these are pure; `controller` carries
out. Source: the Deployment reference (apps/v1) and its concept page.
"""

from pykubelet.controllers.deployment.controller import DeploymentController

__all__ = ["DeploymentController"]

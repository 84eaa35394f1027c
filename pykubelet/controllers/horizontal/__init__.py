"""HorizontalPodAutoscaler: more pods when they have much to do, fewer when they have little.

`replicas` computes from measurements how many would do, `behavior` how fast to get there,
`decision` puts it together; these are pure. `readings` asks the metrics APIs, `controller` carries
out. Source: the HorizontalPodAutoscaler reference (autoscaling/v2) and its algorithm details.
"""

from pykubelet.controllers.horizontal.controller import HorizontalController

__all__ = ["HorizontalController"]

"""Job: pods that run to their end, until enough have succeeded or too many failed.

No end of a pod is lost or counted twice: each pod carries a finalizer until its end stands in the
Job's status (`counting`). `indexes` and `policies` read what the spec says, `making` makes pods,
`decision` puts it together; all of these are pure. `controller` carries out.
Source: the Job reference (batch/v1), KEP-2307, 3329, 3850, 3939, 3998, 4368.
"""

from pykubelet.controllers.job.controller import JobController

__all__ = ["JobController"]

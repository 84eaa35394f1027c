"""SchedulingGates: a pod with gates is not looked at until the last one is taken off.

The queue itself keeps such pods apart (they must cost nothing); this names the rule, so that a
profile can switch it off.
"""

from __future__ import annotations

from pykubelet.scheduler.framework import UNSCHEDULED_POD_CHANGE, Plugin


class SchedulingGates(Plugin):
    name = "SchedulingGates"
    events = frozenset((UNSCHEDULED_POD_CHANGE,))

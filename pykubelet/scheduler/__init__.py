"""Chooses a node for each pod: filter, score, bind.

Pure, by values: `pods` and `nodes` (what matters of each), `catalog` and `snapshot` (all of them),
`plugins` (one file a rule), `equivalence` and `deciding` (one decision), `preempting`, `queue`
(which pod next), `brain` (the whole state machine: observe, decide, say what to do). Adapters:
`loop` (threads), `acting` (API writes), `scheduler` (informers, election, servers).
"""

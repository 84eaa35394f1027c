"""The cgroup tree of pods: QoS classes, limits, pressure.

`limits` says (purely) what a pod and a container may use; `tree` is what the rest of the agent
calls to have it enforced; `v2` and `v1` are the two kernels' ways of doing it.
"""

"""The cgroup tree of pods: QoS classes, limits, pressure."""

"""The container runtime behind its CRI socket, and what a pod looks like to it."""

"""From a bare host to a node: images, the static control plane, init, join, reset."""

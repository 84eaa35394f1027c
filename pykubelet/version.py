"""What this build is, and which Kubernetes API level it speaks."""

VERSION = "0.1.0"

#: The Kubernetes release whose API this project follows.
KUBERNETES_VERSION = "v1.36.0"

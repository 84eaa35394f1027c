"""HTTP: bytes on a connection into requests, responses into bytes. Knows nothing of Kubernetes."""

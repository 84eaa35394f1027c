"""The proxy's configuration: upstream's KubeProxyConfiguration file, and flags over it."""

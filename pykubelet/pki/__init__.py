"""Keys, certificates, kubeconfigs, tokens."""

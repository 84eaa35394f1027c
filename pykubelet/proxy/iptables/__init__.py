"""Services as chains for iptables, with the names that kube-proxy gives them."""

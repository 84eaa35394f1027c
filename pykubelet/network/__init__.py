"""Links, bridges, routes and addresses by netlink; address leases; the CNI operations."""

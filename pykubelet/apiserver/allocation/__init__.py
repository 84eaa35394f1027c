"""What Services are given and nobody else may have: cluster IPs and node ports.

Both are reserved in the store before the Service is stored, so that several servers can't give the
same away twice; `services` does it, `fields` decides what a Service needs, `addresses` and `ports`
hold the reservations.
"""

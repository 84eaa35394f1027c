"""Services as one nftables table: `frame` and `elements` write it, `backend` carries it."""

"""Who may do what: RBAC, and the roles that are there from the start."""

"""Several nodes, or whole virtual machines."""

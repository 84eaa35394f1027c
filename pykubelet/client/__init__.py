"""How any component talks to an API server."""

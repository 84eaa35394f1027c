"""The agent's own API on 10250, 10248 and a root-only unix socket."""

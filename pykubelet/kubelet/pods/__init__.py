"""A pod's life: what to do next (pure), who does it, what is reported."""

"""Which resources there are, and what is particular to each."""

"""The types of the Kubernetes API as compact tables, and what reads them."""

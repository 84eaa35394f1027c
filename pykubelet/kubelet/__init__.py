"""The node agent: pods from files and from the API, run through a CRI runtime."""

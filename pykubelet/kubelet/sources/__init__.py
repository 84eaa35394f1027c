"""Where pods come from: the manifest folder, the API server."""

"""One file a controller, named after it."""

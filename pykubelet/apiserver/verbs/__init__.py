"""What can be done to a resource, one module for each kind of doing."""

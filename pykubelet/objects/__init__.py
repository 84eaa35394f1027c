"""What a Kubernetes object is: kinds, schema, defaults, validation, patches, wire formats. Pure."""

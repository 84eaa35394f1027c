"""Objects of custom resources, by their structural schemas: checked, pruned, defaulted. Pure.

A schema is the `openAPIV3Schema` of a CustomResourceDefinition. Source: "Extend the Kubernetes API
with CustomResourceDefinitions", structural schemas.
"""

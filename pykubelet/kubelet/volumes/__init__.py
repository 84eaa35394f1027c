"""Volumes: one file a type, mounted under the pod's own folder."""

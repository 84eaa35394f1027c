"""Volumes: everything of the disk that a container is given besides its image.

`Volumes` (in `manager`) is the door; `Sources` is what it asks of the world, `VolumeError` what it
says when a volume can't be had. One module a volume type, listed in `registry`; `mounts` is the one
that speaks to the kernel.
"""

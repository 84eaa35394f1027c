"""Images from local files: no registry, no docker, no root needed to make one.

`names` completes an image's name, `elf` finds a program's libraries, `trees` collects the files,
`layouts` writes them as an OCI archive, `store` hands archives to the runtime, and `recipes` knows
the images that the node itself needs. `pykubelet.cli.images` is what a person types.
"""

"""Changes to objects: JSON patch, merge patch, strategic merge patch, server-side apply. Pure.

Each takes a tree and gives a new one, leaving the old alone; Invalid is raised for a patch that
can't be applied.
"""

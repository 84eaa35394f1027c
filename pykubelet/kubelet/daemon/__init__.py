"""Being a daemon on this host: what the service manager, the journal and the kernel are told.

Nothing here knows of pods. `agent` and `cli.run` call it.
"""

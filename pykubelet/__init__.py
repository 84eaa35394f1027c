"""pykubelet: a whole small Kubernetes in Python, built around its node agent.

Nothing is imported here: every command pays only for what it uses.
"""

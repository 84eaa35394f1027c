"""What only a container runtime can answer, beside the common family in `pykubelet.errors`.

`calls` raises these from gRPC answers. They are told apart because a different thing is to be done
about each.
"""

from __future__ import annotations

from pykubelet.errors import Failed


class Unsupported(Failed):
    """The runtime does not know this call; asking again can't help until it is upgraded."""


class NameReserved(Failed):
    """The runtime holds this sandbox or container name for an attempt that it has not finished.

    That is so after a call of ours ran into its deadline: the runtime goes on with it, or failed
    to clean up. Look at the list and adopt what is there, or take the next attempt number; the same
    attempt may never succeed. `holder` is the id that the name is reserved for.
    """

    def __init__(self, message: str, name: str = "", holder: str = "") -> None:
        self.name = name
        self.holder = holder
        super().__init__(message)

"""Being in another network namespace for a moment, without a child process.

A namespace belongs to a thread: `setns(2)` moves only the calling one, and what it opens there (a
netlink socket, files below /proc/sys/net) belongs to that namespace. Python 3.11 has no
`os.setns`, so libc's is called.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pykubelet.errors import Failed, NotFound

_CLONE_NEWNET = 0x40000000
_OWN = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)


class Stranded(BaseException):
    """The thread could not come back from a namespace and must not go on working."""


def open_namespace(path: str) -> int:
    """A descriptor of the namespace bound at `path`. NotFound where there is none."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NotFound(f"network namespace {path}: {error.strerror}") from error


def is_own(descriptor: int) -> bool:
    """Whether the descriptor is the calling thread's own network namespace."""
    there, here = os.fstat(descriptor), os.stat(_OWN)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


@contextmanager
def entered(descriptor: int) -> Iterator[None]:
    """The calling thread is in that namespace for the length of the block."""
    home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            _setns(descriptor)
        except OSError as error:
            raise Failed(f"can't enter the network namespace: {error.strerror}") from error
        try:
            yield
        finally:
            try:
                _setns(home)
            except OSError as error:
                raise Stranded(f"can't leave the network namespace: {error}") from error
    finally:
        os.close(home)


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))

"""The agent's own standing with the kernel: when memory runs out, and how many files it may open;
and a word with the C library about memory.

The first two want a capability (CAP_SYS_RESOURCE) that a container may lack. The agent runs
without; what could not be had is one sentence for the log. Sources: proc_pid_oom_score_adj(5),
setrlimit(2), mallopt(3).
"""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Iterator
from pathlib import Path

_M_ARENA_MAX = -8
_SCORE = Path("/proc/self/oom_score_adj")


def apply(oom_score_adj: int, max_open_files: int) -> list[str]:
    """Have them as configured, as far as may be; a sentence for each that could not be had."""
    return [*_standing(oom_score_adj), *_files(max_open_files)]


def share_memory() -> None:
    """Threads that come and go share two heaps: by default each gets one of its own, and what is
    freed in it stays with the process. Best said before there are threads."""
    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)
    except (OSError, AttributeError):
        pass  # another C library, which knows better or not at all


def _standing(wanted: int) -> Iterator[str]:
    try:
        if int(_SCORE.read_text()) != wanted:
            _SCORE.write_text(str(wanted))
    except OSError as error:
        yield (
            f"oomScoreAdj {wanted} can't be had ({error.strerror}; it takes CAP_SYS_RESOURCE): "
            "when memory runs out, the kernel may choose the agent"
        )


def _files(wanted: int) -> Iterator[str]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not wanted or wanted in (soft, resource.RLIM_INFINITY):
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        yield f"maxOpenFiles {wanted} can't be had (it takes CAP_SYS_RESOURCE): it is {hard}"

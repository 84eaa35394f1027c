"""A host that plays tricks on one process: a clock that jumps, inotify that is used up, a new boot.

Each returns a command line (and environment) that starts the given one under the trick; nobody else
on the host notices. Root only.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>

static volatile long *shift;
static int (*real)(clockid_t, struct timespec *);

static void ready(void) {
    if (real) return;
    int fd = open(getenv("CLOCK_SHIFT"), O_RDONLY | O_CLOEXEC);
    if (fd >= 0) shift = mmap(0, sizeof *shift, PROT_READ, MAP_SHARED, fd, 0);
    real = dlsym(RTLD_NEXT, "clock_gettime");
}

int clock_gettime(clockid_t id, struct timespec *t) {
    ready();
    int result = real(id, t);
    if (!result && shift && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        t->tv_sec += *shift;
    return result;
}

int gettimeofday(struct timeval *tv, void *zone) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    tv->tv_sec = t.tv_sec;
    tv->tv_usec = t.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out) *out = t.tv_sec;
    return t.tv_sec;
}
"""


class Clock:
    """A wall clock for processes that are started with `environment`; `jump` moves it for all of
    them at once, while they run. The monotonic clock is left alone, as by a real jump."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock-shift"
        self._file.write_bytes(struct.pack("q", 0))
        library = folder / "clock.so"
        source = folder / "clock.c"
        source.write_text(_SHIM)
        subprocess.run(
            ["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True
        )
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_SHIFT": str(self._file)}

    @staticmethod
    def possible() -> bool:
        return shutil.which("gcc") is not None

    def jump(self, seconds: int) -> None:
        """From now on it is so many seconds later than it is."""
        with open(self._file, "r+b") as file, mmap.mmap(file.fileno(), 8) as shared:
            shared[:8] = struct.pack("q", seconds)


def without_inotify(command: Sequence[str]) -> list[str]:
    """For the command and its children the kernel has no inotify instance left: EMFILE, as if the
    user's limit were reached."""
    return [sys.executable, "-m", "tests.support.hostile", *command]


def with_boot_id(file: Path, command: Sequence[str]) -> list[str]:
    """The command sees the boot id that `file` has. It gets a mount namespace of its own, so what
    it mounts is seen by nobody else."""
    script = 'mount --bind "$0" /proc/sys/kernel/random/boot_id && exec "$@"'
    return [
        *("unshare", "--mount", "--propagation", "slave"),
        *("sh", "-c", script, str(file), *command),
    ]


# -- run as a program: give inotify up, then become the command ------------------------------------

_LOAD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
_ALLOW, _ERRNO_EMFILE = 0x7FFF0000, 0x00050000 | 24
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _PR_SET_NO_NEW_PRIVS = 22, 2, 38
_INOTIFY = {"x86_64": (253, 294), "aarch64": (26,)}


def _give_up_inotify() -> None:
    """seccomp(2), by the classic program for prctl(2)."""
    calls = _INOTIFY[os.uname().machine]
    lines = [(_LOAD, 0, 0, 0)]
    for left, number in zip(range(len(calls), 0, -1), calls, strict=True):
        lines.append((_JUMP_EQUAL, left, 0, number))
    lines += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO_EMFILE)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    program = struct.pack("HxxxxxxP", len(lines), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


if __name__ == "__main__":
    _give_up_inotify()
    os.execvp(sys.argv[1], sys.argv[1:])

"""The runtime's own image store, through `ctr`, which comes with containerd.

CRI can pull images but has no call to import one, so this is the one place that speaks containerd
beside CRI. What is imported is labelled as pinned: kubelets (and containerd from 1.7 on) never
collect a pinned image as garbage, which matters where there is no registry to pull it from again.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pykubelet.bootstrap.images import layouts
from pykubelet.errors import Failed, TimedOut, Unavailable

SOCKET = Path("/run/containerd/containerd.sock")
_PINNED = "io.cri-containerd.pinned=pinned"
_CHUNK = 1 << 20
_NO_CTR = "ctr isn't installed; it comes with containerd"


@dataclass(frozen=True, slots=True)
class Stored:
    """An image in the store. `size` is as ctr prints it (`1.2 MiB`), of the packed layers."""

    name: str
    digest: str
    size: str
    pinned: bool


class Store:
    def __init__(self, socket: Path = SOCKET, namespace: str = "k8s.io") -> None:
        self._command = ("ctr", "--address", str(socket), "--namespace", namespace)
        self._socket = socket

    def load(
        self, archive: Path, progress: layouts.Progress = lambda _: None, timeout: float = 600
    ) -> list[str]:
        """Import every image of an archive, pinned, and return their names. `progress` is told the
        bytes handed over. Raises Invalid (no archive), Unavailable (no runtime), Failed."""
        names = layouts.names(archive)
        try:
            process = subprocess.Popen(
                [*self._command, "images", "import", "-"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        except FileNotFoundError as error:
            raise Unavailable(_NO_CTR) from error
        assert process.stdin
        assert process.stderr
        try:
            with archive.open("rb") as file, process.stdin as pipe:
                while chunk := file.read(_CHUNK):
                    pipe.write(chunk)
                    progress(len(chunk))
        except BrokenPipeError:
            pass  # it gave up early; its message says why
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            process.kill()
            process.wait()
            raise TimedOut(f"{archive}: not imported after {timeout:.0f} s") from error
        message = process.stderr.read().decode(errors="replace")
        process.stderr.close()
        if process.returncode:
            raise self._error(f"{archive} can't be imported", message)
        for name in names:
            self._run("images", "label", name, _PINNED)
        return names

    def list(self) -> list[Stored]:
        """The named images, sorted, without the runtime's further names (by digest) for them."""
        found = []
        for line in self._run("images", "list").splitlines()[1:]:
            words = line.split()
            name = words[0]
            if name.startswith("sha256:") or "@" in name:
                continue
            found.append(Stored(name, words[2], " ".join(words[3:5]), _PINNED in line))
        return sorted(found, key=lambda image: image.name)

    def tag(self, name: str, further: str) -> None:
        """Give an image a further name, pinned as well."""
        self._run("images", "tag", "--force", name, further)
        self._run("images", "label", further, _PINNED)

    def remove(self, names: Sequence[str]) -> None:
        if names:
            self._run("images", "remove", "--sync", *names)

    def _run(self, *args: str) -> str:
        try:
            done = subprocess.run(
                [*self._command, *args],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise Unavailable(_NO_CTR) from error
        except subprocess.TimeoutExpired as error:
            raise TimedOut(f"ctr {args[0]} {args[1]}: no answer after 60 s") from error
        if done.returncode:
            raise self._error(f"ctr {' '.join(args)} failed", done.stderr)
        return done.stdout

    def _error(self, what: str, message: str) -> Failed:
        said = message.strip().splitlines()[-1:] or ["no reason given"]
        if "failed to dial" in message or "connection refused" in message:
            return Unavailable(f"{what}: no containerd answers at {self._socket}; is it running?")
        return Failed(f"{what}: {said[0].removeprefix('ctr: ')}")

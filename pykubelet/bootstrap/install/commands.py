"""Other programs, run to their end: what they print, and one clear error where they fail."""

from __future__ import annotations

import subprocess

from pykubelet.errors import Failed


def output(*command: str, check: bool = True) -> str:
    """What a command prints. Raises Failed with its last complaint; with `check=False` only where
    there is no such program."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except FileNotFoundError as error:
        raise Failed(f"{command[0]} isn't installed") from error
    if check and done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise Failed(f"{' '.join(command)}: {said[0]}")
    return done.stdout

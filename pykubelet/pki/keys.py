"""Keys and certificates in files: never readable by others, never half written.

A pair is replaced file by file, each atomically. A reader that catches the moment between the two
renames sees a certificate and a key that don't fit, which every TLS library refuses; it tries anew.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from pykubelet.errors import Failed
from pykubelet.pki.certificates import KeyPair


def write_pair(pair: KeyPair, certificate: Path, key: Path) -> None:
    """Both files, the key with mode 0600. Raises Failed."""
    write_file(key, pair.key.encode(), 0o600)
    write_file(certificate, pair.certificate.encode(), 0o644)


def write_file(path: Path, content: bytes, mode: int) -> None:
    """Replace a file as a whole, on disk before it has its name. Raises Failed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                os.fchmod(file.fileno(), mode)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            os.unlink(part)
            raise
    except OSError as error:
        raise Failed(f"{path} can't be written: {error.strerror}") from error


def read_pair(certificate: Path, key: Path) -> KeyPair | None:
    """None where either is not there. Raises Failed where one can't be read."""
    try:
        return KeyPair(certificate.read_text(), key.read_text())
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{certificate} or {key} can't be read: {error}") from error

"""The kubectl that tests speak through, or the reason why there is none.

Stock kubectl is how people will meet the API, so tests use the one that the machine has; one that
is too old lacks flags and words that they ask for.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import cache

OLDEST = 28  # the minor version


@cache
def missing() -> str:
    """Why there is no kubectl for tests; "" where there is one."""
    if not shutil.which("kubectl"):
        return "kubectl is not installed"
    done = subprocess.run(
        ["kubectl", "version", "--client", "-o", "json"], capture_output=True, check=False
    )
    try:
        version = json.loads(done.stdout)["clientVersion"]
        minor = int(version["minor"].rstrip("+"))
    except (ValueError, KeyError):
        return "kubectl doesn't say its version"
    if minor < OLDEST:
        return f"kubectl {version['gitVersion']} is too old, 1.{OLDEST} will do"
    return ""

"""`python -m pykubelet.network.cni`: the whole plugin in one process.

The thin executable becomes this when no agent answers, so that pods can be taken down, and even
started, while the agent is stopped. Same code, same leases, same lock; only slower, for it loads
in each call what the agent keeps loaded. The executable has read the standard input already and
hands it on in the environment.
"""

from __future__ import annotations

import os
import sys

from pykubelet.network.plugin import Plugin

CONFIG = "PYKUBELET_CNI_CONFIG"


def main() -> int:
    """The exit code."""
    config = os.environb.pop(CONFIG.encode(), None)
    answer = Plugin().answer(os.environ, sys.stdin.buffer.read() if config is None else config)
    sys.stdout.buffer.write(answer.output)
    sys.stdout.buffer.flush()
    return answer.code


if __name__ == "__main__":
    sys.exit(main())

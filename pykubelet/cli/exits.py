"""Exit codes of every command, so that scripts can tell trouble from trouble."""

from __future__ import annotations

OK = 0
TROUBLE = 1
REFUSED = 2
NO_AGENT = 3
NOT_FOUND = 4
INTERRUPTED = 130

CODES = {
    OK: "all is well",
    TROUBLE: "it failed; or the thing asked about is not well (status, why)",
    REFUSED: "the command line, or a file that it names, is wrong",
    NO_AGENT: "the agent isn't running or doesn't answer",
    NOT_FOUND: "there is no such pod, container or file",
    INTERRUPTED: "interrupted",
}
"""exec ends with the exit code of the command that it ran."""

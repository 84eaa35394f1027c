"""Image names as the runtime completes them.

containerd's CRI looks an image up by its full name, so one that is imported as `hello` would never
be found by a pod that asks for `hello`: there it means `docker.io/library/hello:latest`.

Source: the distribution project's reference grammar ("familiar" names).
"""

from __future__ import annotations

import re

from pykubelet.errors import Invalid

_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)*")  # fmt: skip # noqa: E501
_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)(?:\.[A-Za-z0-9-]+)*(?::[0-9]+)?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def full_name(name: str) -> str:
    """`hello` → `docker.io/library/hello:latest`; a name with a host and a tag stays as it is.

    Raises Invalid for what can't be a name to give to an image (a digest can't: it is computed).
    """
    if "@" in name:
        raise Invalid("an image is named by host, path and tag, not by digest", found=name)
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        host, path = first, rest
    else:
        host, path = "docker.io", name if slash else f"library/{name}"
    path, colon, tag = path.partition(":")
    if not _HOST.fullmatch(host) or not _REPOSITORY.fullmatch(path):
        raise Invalid(
            "not an image name",
            expected="[host/]path[:tag] with the path in lower case",
            found=repr(name),
        )
    if colon and not _TAG.fullmatch(tag):
        raise Invalid("not an image tag", expected="letters, digits, '_', '.', '-'", found=tag)
    return f"{host}/{path}:{tag or 'latest'}"

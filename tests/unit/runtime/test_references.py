"""Image references: what is meant where parts are left out."""

from __future__ import annotations

import pytest

from pykubelet.errors import Invalid
from pykubelet.kubelet.runtime.references import (
    Reference,
    default_policy,
    parse,
    with_default_tag,
)

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("busybox", Reference("docker.io/library/busybox")),
        ("busybox:1.36", Reference("docker.io/library/busybox", "1.36")),
        ("team/app", Reference("docker.io/team/app")),
        ("docker.io/busybox", Reference("docker.io/library/busybox")),
        ("index.docker.io/team/app", Reference("docker.io/team/app")),
        ("quay.io/a/b/c:v1", Reference("quay.io/a/b/c", "v1")),
        ("localhost/app", Reference("localhost/app")),
        ("localhost:5000/app", Reference("localhost:5000/app")),
        ("registry:5000/app:t", Reference("registry:5000/app", "t")),
        ("[::1]:5000/app", Reference("[::1]:5000/app")),
        (f"a.b/c@{DIGEST}", Reference("a.b/c", "", DIGEST)),
        (f"a.b/c:t@{DIGEST}", Reference("a.b/c", "t", DIGEST)),
        ("a__b/c-d.e_f", Reference("docker.io/a__b/c-d.e_f")),
    ],
)
def test_parts_left_out_are_filled_in(text: str, expected: Reference) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "UPPER", "a/B", "a..b", "a:", "a:-t", "a@sha256:short", "-a", "a/", "/a", "a b",
     "https://quay.io/a", "ab" * 32, "x" * 256, "a:" + "t" * 129, "a\n"],
)  # fmt: skip
def test_what_no_registry_could_serve_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse(text)


def test_the_tag_is_latest_where_nothing_says_which() -> None:
    assert with_default_tag("registry:5000/a") == "registry:5000/a:latest"
    assert with_default_tag("a:1") == "a:1"
    assert with_default_tag(f"a@{DIGEST}") == f"a@{DIGEST}"


@pytest.mark.parametrize(
    ("text", "policy"),
    [("a", "Always"), ("a:latest", "Always"), ("a:1", "IfNotPresent"),
     (f"a@{DIGEST}", "IfNotPresent"), (f"a:latest@{DIGEST}", "IfNotPresent")],
)  # fmt: skip
def test_only_a_moving_tag_is_looked_up_each_time(text: str, policy: str) -> None:
    assert default_policy(text) == policy

"""What may be called what."""

from __future__ import annotations

import pytest

from pykubelet.objects import names


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (names.dns_label, ["a", "my-name", "123-abc", "a" * 63],
         ["", "A", "-a", "a-", "a.b", "a" * 64, "a\n", "ä"]),
        (names.dns_subdomain, ["a", "a.b", "1.2.3", "a" * 253],
         ["", "a..b", ".a", "a_b", "a" * 254]),
        (names.dns_label_1035, ["a1"], ["1a", ""]),
        (names.qualified, ["a", "A_b.c", "example.com/a"],
         ["", "/a", "a/", "a/b/c", "Example.com/a", "-a", "a" * 64]),
        (names.label_value, ["", "A", "a-b"], ["-", "a b", "a" * 64]),
        (names.config_key, ["a.b", "_", ".a"], ["", ".", "..", "..a", "a/b", "a" * 254]),
        (names.env_name, ["A", "a-b.c", "1", "a b"], ["", "a=b", "ä", "a\tb"]),
        (names.port_name, ["http", "a-1"],
         ["", "1", "a--b", "-a", "a-", "A", "a" * 16]),
        (names.http_header, ["X-A"], ["", "X A", "X:A"]),
        (names.path_segment, ["system:node", "A b"], [".", "..", "a/b", "a%b"]),
    ],
)  # fmt: skip
def test_rules(rule: names.Rule, good: list[str], bad: list[str]) -> None:
    assert [name for name in good if rule(name)] == []
    assert [name for name in bad if not rule(name)] == []


def test_complaints_are_in_upstreams_words() -> None:
    assert names.dns_label("A") == [
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
        "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex "
        "used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    ]

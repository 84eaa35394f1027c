"""One node for each test file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.component.node.lab import Lab
from tests.component.runtime.pods import make_node
from tests.support.machine import Machine


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Machine() as machine:
        node = make_node(machine)
        made = Lab(node)
        try:
            yield made
        finally:
            for uid in list(node.runtime.pods()):
                made.remove(uid)
            node.runtime.close()

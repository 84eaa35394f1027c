"""One containerd for each test file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.component.runtime.pods import Node, make_node
from tests.support.machine import Machine


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    with Machine() as machine:
        node = make_node(machine)
        try:
            yield node
        finally:
            for pod in node.runtime.pods().values():
                for sandbox in pod.sandboxes:
                    node.runtime.stop_sandbox(sandbox.id)
                    node.runtime.remove_sandbox(sandbox.id)
            node.runtime.close()

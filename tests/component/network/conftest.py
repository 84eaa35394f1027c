"""One namespace that plays the node for each test, with the agent's half of the plugin running."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.network import Segment


@pytest.fixture
def segment() -> Iterator[Segment]:
    with Segment("10.99.0.0/24", "fd99::/64") as segment:
        yield segment

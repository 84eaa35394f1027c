"""How long a hint is held back until the runtime's own list shows the change."""

from __future__ import annotations

from itertools import accumulate, pairwise

from pykubelet.kubelet.runtime.settling import pauses


def test_the_usual_few_milliseconds_are_met_closely_and_a_retry_is_waited_for() -> None:
    looks = list(accumulate(pauses()))
    assert looks[:4] == [0.001, 0.003, 0.007, 0.015]
    # containerd cleans up again after 1, 2 and 4 seconds: seven in all.
    assert looks[-1] > 7
    assert max(b - a for a, b in pairwise(looks)) < 0.3

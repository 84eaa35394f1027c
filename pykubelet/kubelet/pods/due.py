"""Which of the wanted actions may be taken now. Pure; the last step of every decision.

An action under way is not begun twice, and one that failed waits out its back-off; the sentence
then says what failed, so that a person reads the cause and not only the wish. Only a kill can be
overtaken: by one of the same container that is over at least a second earlier.
"""

from __future__ import annotations

from dataclasses import replace

from pykubelet.kubelet.pods.snapshot import (
    Action,
    Decision,
    KillContainer,
    Phase,
    Snapshot,
    dies_at,
    kill_under_way,
)

#: Graces are whole seconds: what comes out of rounding is not quicker.
_SLACK_SECONDS = 1.0


def doing(s: Snapshot, phase: Phase, sentence: str, actions: tuple[Action, ...]) -> Decision:
    ready: list[Action] = []
    look_at: float | None = None
    for wish in actions:
        action = _not_under_way(s, wish)
        if action is None:
            continue
        failure = s.failures.get(action.key)
        if failure and failure.until > s.now:
            sentence += f" ({failure.reason}: {failure.message})"
            look_at = failure.until if look_at is None else min(look_at, failure.until)
        else:
            ready.append(action)
    return Decision(phase, sentence, tuple(ready), look_at)


def _not_under_way(s: Snapshot, wish: Action) -> Action | None:
    """The action to begin for a wish; None where what is under way will do."""
    slower = kill_under_way(s, wish.container) if isinstance(wish, KillContainer) else None
    if isinstance(wish, KillContainer) and slower:
        if s.now + wish.grace + _SLACK_SECONDS >= dies_at(slower):
            return None
        wish = replace(wish, hook=False)
    return None if wish.key in s.busy else wish

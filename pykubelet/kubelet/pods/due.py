"""Which of the wanted actions may be taken now. Pure; the last step of every decision.

An action under way is not begun twice, and one that failed waits out its back-off; the sentence
then says what failed, so that a person reads the cause and not only the wish.
"""

from __future__ import annotations

from pykubelet.kubelet.pods.snapshot import Action, Decision, Phase, Snapshot


def doing(s: Snapshot, phase: Phase, sentence: str, actions: tuple[Action, ...]) -> Decision:
    ready: list[Action] = []
    look_at: float | None = None
    for action in actions:
        failure = s.failures.get(action.key)
        if action.key in s.busy:
            continue
        if failure and failure.until > s.now:
            sentence += f" ({failure.reason}: {failure.message})"
            look_at = failure.until if look_at is None else min(look_at, failure.until)
        else:
            ready.append(action)
    return Decision(phase, sentence, tuple(ready), look_at)

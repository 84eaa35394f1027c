"""One thread that takes in what was seen, decides, and starts what is to be done.

It owns the brain: watches and API calls run on other threads and leave word in the inbox. It
sleeps while there is nothing to decide, and holds back while enough bindings are under way.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from pykubelet.scheduler.acting import AT_ONCE
from pykubelet.scheduler.actions import Action, Bind, Evict, Prepare
from pykubelet.scheduler.brain import SCHEDULED, Brain
from pykubelet.scheduler.metrics import Metrics
from pykubelet.scheduler.observing import Seen

log = logging.getLogger(__name__)


class Loop:
    """`act` starts an action; what comes of bindings is to be given to `done`."""

    def __init__(
        self,
        brain: Brain,
        act: Callable[[Action], None],
        metrics: Metrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._brain = brain
        self._act = act
        self._metrics = metrics
        self._now = monotonic
        self._inbox: deque[Seen | tuple[Action, str]] = deque()
        self._something = threading.Condition()
        self._under_way = 0
        self._said: dict[str, str] = {}

    # -- from other threads ----------------------------------------------------------------------

    def see(self, seen: Seen) -> None:
        self._leave(seen)

    def done(self, action: Action, why_not: str) -> None:
        """What came of an action; the empty text for success."""
        self._leave((action, why_not))

    def wake(self) -> None:
        with self._something:
            self._something.notify()

    def _leave(self, word: Seen | tuple[Action, str]) -> None:
        with self._something:
            self._inbox.append(word)
            self._something.notify()

    # -- the thread ------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set; `wake` after setting it."""
        while not stop.is_set():
            if self.step():
                continue
            with self._something:
                if not self._inbox and not stop.is_set():
                    self._something.wait(self._patience())

    def step(self) -> bool:
        """Take in all that was seen and make one decision; whether there was one to make."""
        while self._inbox:
            word = self._inbox.popleft()
            if isinstance(word, Seen):
                word.tell(self._brain, self._now())
            else:
                self._start(self._take_outcome(*word))
        if self._under_way >= AT_ONCE:
            return False
        began = self._now()
        turn = self._brain.turn(began)
        if turn is None:
            return False
        self._metrics.decided(turn, self._now() - began, began)
        if turn.result != SCHEDULED:
            self._say(turn.pod.key, turn.sentence)
        else:
            log.debug("%s", turn.sentence)
            self._said.pop(turn.pod.key, None)
        self._start(turn.actions)
        return True

    def _take_outcome(self, action: Action, why_not: str) -> Iterable[Action]:
        now = self._now()
        if isinstance(action, Evict):
            # The nomination stands; the pod is tried again, and evicts again.
            self._brain.queue.activate(action.preemptor.key, now)
            return ()
        if not isinstance(action, Bind | Prepare):
            return ()
        self._under_way -= 1
        if why_not:
            self._say(action.pod.key, f"{action.pod.key} is not bound: {why_not}")
            self._metrics.failed(action.pod)
            return self._brain.not_bound(action.pod, why_not, now)
        if isinstance(action, Prepare):
            self._brain.prepared(action.pod)
            return ()
        self._metrics.bound(action.pod)
        return self._brain.bound(action.pod)

    def _start(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Bind | Prepare):
                self._under_way += 1
            self._act(action)

    def _patience(self) -> float | None:
        if self._under_way >= AT_ONCE:
            return None
        due = self._brain.due()
        return None if due is None else max(due - self._now(), 0.001)

    def _say(self, key: str, sentence: str) -> None:
        """One line when it changes, not one for each try."""
        if self._said.get(key) != sentence:
            if len(self._said) > 10_000:
                self._said.clear()
            self._said[key] = sentence
            log.info("%s", sentence)

"""The shape of a pod's story: a chain of steps, and where it stands. Pure.

`why` makes chains, the local API carries them as JSON, `pykubelet why` shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]

State = Literal["done", "now", "waiting", "failed"]


@dataclass(frozen=True, slots=True)
class Step:
    """One link of the chain. `since` is RFC 3339 or empty; `details` are further lines."""

    name: str
    state: State
    sentence: str
    since: str = ""
    details: tuple[str, ...] = ()

    def to_json(self) -> Json:
        return {
            "name": self.name,
            "state": self.state,
            "sentence": self.sentence,
            **({"since": self.since} if self.since else {}),
            **({"details": list(self.details)} if self.details else {}),
        }


@dataclass(frozen=True, slots=True)
class Chain:
    """The story of one target. `pod` is `namespace/name`, empty where no pod came of it.

    `next` says what happens next; `seconds` until then, where a time is set.
    """

    target: str
    pod: str
    steps: tuple[Step, ...]
    next: str = ""
    seconds: float | None = None

    @property
    def stands(self) -> Step | None:
        """The step that the story has come to: the first failed one, else the first open one."""
        failed = next((s for s in self.steps if s.state == "failed"), None)
        return failed or next((s for s in self.steps if s.state != "done"), None)

    @property
    def well(self) -> bool:
        """Everything that should have happened has."""
        return all(step.state == "done" for step in self.steps)

    def to_json(self) -> Json:
        stands = self.stands
        return {
            "target": self.target,
            "pod": self.pod,
            "well": self.well,
            "stands": stands.name if stands else "",
            "steps": [step.to_json() for step in self.steps],
            "next": self.next,
            **({"nextInSeconds": round(self.seconds, 1)} if self.seconds is not None else {}),
        }


def chain_from_json(tree: Mapping[str, Any]) -> Chain:
    """The inverse of `Chain.to_json`, forgiving what a newer agent may have added."""
    return Chain(
        target=tree.get("target", ""),
        pod=tree.get("pod", ""),
        steps=tuple(
            Step(
                step["name"],
                step["state"],
                step["sentence"],
                step.get("since", ""),
                tuple(step.get("details", ())),
            )
            for step in tree.get("steps", ())
        ),
        next=tree.get("next", ""),
        seconds=tree.get("nextInSeconds"),
    )

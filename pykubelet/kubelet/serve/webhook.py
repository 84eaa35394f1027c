"""In a cluster the API server says who a token is and what its bearer may do on this node.

TokenReview and SubjectAccessReview, each believed for as long as the configuration says. While the
server is away nobody new gets in: a no is the safe answer.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from pykubelet.client.api import Api
from pykubelet.client.resources import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from pykubelet.errors import Failed
from pykubelet.kubelet.serve.auth import Attributes, Certificate, Identity

log = logging.getLogger(__name__)

Json = dict[str, Any]
T = TypeVar("T")

_MOST = 1024


class _Answers:
    """Answers by question, each for its own time; the oldest go when there are too many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Any]] = {}

    def get(self, question: str, ask: Callable[[], T], seconds: Callable[[T], float]) -> T:
        now = time.monotonic()
        with self._lock:
            until, answer = self._known.get(question, (0.0, None))
            if now < until:
                return answer
        found = ask()
        with self._lock:
            while len(self._known) >= _MOST:
                self._known.pop(next(iter(self._known)))
            self._known[question] = (now + seconds(found), found)
        return found


class TokenReviewer:
    """Implements `auth.Authenticator` for bearer tokens. `seconds` an answer is believed."""

    def __init__(self, api: Api, seconds: float = 120.0) -> None:
        self._api = api
        self._seconds = seconds
        self._answers = _Answers()

    def authenticate(self, certificate: Certificate | None, token: str) -> Identity | None:
        if not token:
            return None
        question = hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
        try:
            return self._answers.get(question, lambda: self._ask(token), lambda _: self._seconds)
        except Failed as error:
            log.warning("a token can't be reviewed: %s", error)
            return None

    def _ask(self, token: str) -> Identity | None:
        status = self._api.create(TOKEN_REVIEWS, {"spec": {"token": token}}).get("status") or {}
        if not status.get("authenticated"):
            return None
        user = status.get("user") or {}
        return Identity(user.get("username", ""), tuple(user.get("groups") or ()))


class AccessReviewer:
    """Implements `auth.Authorizer`. Seconds that a yes and a no are believed."""

    def __init__(
        self, api: Api, node_name: str, allowed: float = 300.0, denied: float = 30.0
    ) -> None:
        self._api = api
        self._node_name = node_name
        self._allowed = allowed
        self._denied = denied
        self._answers = _Answers()

    def authorize(self, attributes: Attributes) -> bool:
        """Whether one of the subresources of `nodes` that fit this request is allowed."""
        for subresource in attributes.subresources:
            question = repr((attributes.identity, attributes.verb, subresource))
            try:
                allowed = self._answers.get(
                    question,
                    partial(self._ask, attributes, subresource),
                    lambda yes: self._allowed if yes else self._denied,
                )
            except Failed as error:
                log.warning("a request can't be authorized: %s", error)
                return False
            if allowed:
                return True
        return False

    def _ask(self, attributes: Attributes, subresource: str) -> bool:
        review = {
            "spec": {
                "user": attributes.identity.name,
                "groups": list(attributes.identity.groups),
                "resourceAttributes": {
                    "verb": attributes.verb,
                    "version": "v1",
                    "resource": "nodes",
                    "subresource": subresource,
                    "name": self._node_name,
                },
            }
        }
        status = self._api.create(SUBJECT_ACCESS_REVIEWS, review).get("status") or {}
        return bool(status.get("allowed"))

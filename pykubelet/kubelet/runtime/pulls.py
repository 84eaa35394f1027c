"""Having a container's image here before it is created: policy, secrets, back-off.

Pulls of one image with the same credentials are one pull, however many pods wait for it; no more
than a few run at a time; a pod whose pull failed waits 10 s, then twice as long each time, up to
300 s. An image that is here and need not be looked up again takes no network at all. One that has
to be looked up only because its tag is `latest`, or none, runs as it is while the registry can't be
reached, and an event says so: nobody chose that policy, and a node that is cut off should start its
pods. `Always` on any other tag was chosen, and is kept.

Neighbours: `references` and `credentials` decide what to ask for, `client` asks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from pykubelet.clock import Clock, SystemClock
from pykubelet.errors import Failed, Invalid, PykubeletError, Unavailable
from pykubelet.kubelet.runtime import credentials, references
from pykubelet.kubelet.runtime.model import Image

Json = dict[str, Any]
Say = Callable[[str, str, str], None]
"""Takes an event's type (Normal, Warning), reason and message."""

# Reasons that a runtime puts into the text of a failed pull (kubernetes/cri-api, pkg/errors).
_KNOWN_REASONS = ("RegistryUnavailable", "SignatureValidationFailed")
_UNREACHABLE = ("failed to do request", "dial tcp", "no such host", "network is unreachable")


class ImageStore(Protocol):
    """What this needs of `client.Runtime`."""

    def image(self, ref: str) -> Image | None: ...

    def pull(
        self,
        ref: str,
        auth: Mapping[str, str] | None = None,
        sandbox_config: Mapping[str, Any] | None = None,
    ) -> str: ...


class ImageFailure(Failed):
    """No image, no container. `reason` is what the container waits for, in upstream's words;
    `until` the monotonic time before which another try is of no use."""

    reason = ""

    def __init__(self, message: str, until: float = 0.0, reason: str = "") -> None:
        super().__init__(message)
        self.until = until
        self.reason = reason or type(self).reason


class ErrImagePull(ImageFailure):
    """The registry or the runtime said no. `reason` may be one that the runtime names."""

    reason = "ErrImagePull"


class ImagePullBackOff(ImageFailure):
    """It failed before and is not tried yet."""

    reason = "ImagePullBackOff"


class ErrImageNeverPull(ImageFailure):
    reason = "ErrImageNeverPull"


class InvalidImageName(ImageFailure):
    reason = "InvalidImageName"


class ImageInspectError(ImageFailure):
    reason = "ImageInspectError"


@dataclass(frozen=True, slots=True)
class _Record:
    delay: float
    at: float
    message: str


class Pulls:
    """Thread-safe; one per agent. `parallel` pulls at a time, `base` and `cap` in seconds.

    `node_secrets` gives the node's own credentials, asked for anew at each pull; `pace` comes back
    when another pull may begin.
    """

    def __init__(
        self,
        store: ImageStore,
        *,
        parallel: int = 5,
        base: float = 10.0,
        cap: float = 300.0,
        node_secrets: Callable[[], Iterable[Json]] = tuple,
        pace: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        self._store = store
        self._slots = threading.BoundedSemaphore(parallel)
        self._base = base
        self._cap = cap
        self._node_secrets = node_secrets
        self._pace = pace
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._running: dict[object, Future[str]] = {}
        self._failures: dict[tuple[str, str], _Record] = {}

    def ensure(
        self,
        pod: Json,
        container: Json,
        secrets: Iterable[Json],
        now: float,
        sandbox_config: Mapping[str, Any] | None = None,
        say: Say = lambda kind, reason, message: None,
    ) -> Image:
        """The image that `container` is to run. Blocks while it is pulled.

        `secrets` are the pod's imagePullSecrets as Secret objects, `now` is monotonic. Raises an
        `ImageFailure`, or Unavailable where the runtime itself can't be reached.
        """
        started = self._clock.monotonic()
        text = container.get("image") or ""
        policy = container.get("imagePullPolicy") or ""
        try:
            ref = references.with_default_tag(text)
            policy = policy or references.default_policy(text)
        except Invalid as error:
            message = f"Failed to apply default image tag {text!r}: {error}"
            say("Warning", "InspectFailed", message)
            raise InvalidImageName(message) from error
        here = self._inspect(ref, say)
        if here and policy != "Always":
            message = f'Container image "{text}" already present on machine'
            say("Normal", "Pulled", message)
            return here
        if policy == "Never":
            message = f'Container image "{text}" is not present with pull policy of Never'
            say("Warning", "ErrImageNeverPull", message)
            raise ErrImageNeverPull(message)

        key = (pod["metadata"]["uid"], ref)
        self._hold_back(key, text, now, say)
        say("Normal", "Pulling", f'Pulling image "{text}"')
        try:
            auths = credentials.lookup(references.parse(ref), secrets, self._node_secrets())
            pulled = self._pull(ref, auths, sandbox_config)
        except Unavailable:
            raise  # the runtime is gone: that says nothing of the image
        except (Failed, Invalid) as error:
            if here and policy == references.default_policy(text) and _unreachable(error):
                say("Warning", "Failed", f'Using the image "{text}" that is here: {error}')
                return here
            took = self._clock.monotonic() - started
            say("Warning", "Failed", f'Failed to pull image "{text}": {error}')
            raise self._failed(key, text, error, now + took) from error
        with self._lock:
            self._failures.pop(key, None)
        took = self._clock.monotonic() - started
        say("Normal", "Pulled", f'Successfully pulled image "{text}" in {took:.1f}s')
        image = self._inspect(pulled, say) or self._inspect(ref, say)
        if image is None:
            raise ImageInspectError(f'image "{text}" was pulled as {pulled} and is gone again')
        return image

    def forget(self, uid: str) -> None:
        """The pod is gone, and with it the memory of its failures."""
        with self._lock:
            for key in [key for key in self._failures if key[0] == uid]:
                del self._failures[key]

    def _inspect(self, ref: str, say: Say) -> Image | None:
        try:
            return self._store.image(ref)
        except Unavailable:
            raise
        except PykubeletError as error:
            message = f'Failed to inspect image "{ref}": {error}'
            say("Warning", "InspectFailed", message)
            raise ImageInspectError(message) from error

    def _hold_back(self, key: tuple[str, str], text: str, now: float, say: Say) -> None:
        with self._lock:
            record = self._failures.get(key)
        if record and now < record.at + record.delay:
            message = f'Back-off pulling image "{text}"'
            say("Normal", "BackOff", message)
            raise ImagePullBackOff(f"{message}: {record.message}", record.at + record.delay)

    def _failed(
        self, key: tuple[str, str], text: str, error: Exception, now: float
    ) -> ErrImagePull:
        reason = next((each for each in _KNOWN_REASONS if each in str(error)), "ErrImagePull")
        message = f'failed to pull image "{text}": {error}'
        with self._lock:
            before = self._failures.get(key)
            # Long ago is forgotten: the trouble may be another one.
            recent = before and now - before.at < 2 * self._cap
            delay = min(2 * before.delay, self._cap) if before and recent else self._base
            self._failures[key] = _Record(delay, now, f"{reason}: {error}")
        return ErrImagePull(message, now + delay, reason)

    def _pull(
        self, ref: str, auths: list[credentials.Auth], sandbox_config: Mapping[str, Any] | None
    ) -> str:
        """One pull for all who want the same with the same credentials at the same time."""
        key = (ref, tuple(tuple(sorted(auth.items())) for auth in auths))
        with self._lock:
            running = self._running.get(key)
            mine: Future[str] = Future()
            if running is None:
                self._running[key] = mine
        if running is not None:
            return running.result()
        try:
            with self._slots:
                self._pace()
                mine.set_result(self._pull_with_any(ref, auths, sandbox_config))
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._running[key]
        return mine.result()

    def _pull_with_any(
        self, ref: str, auths: list[credentials.Auth], sandbox_config: Mapping[str, Any] | None
    ) -> str:
        if not auths:
            return self._store.pull(ref, None, sandbox_config)
        refusals: list[str] = []
        for auth in auths:
            try:
                return self._store.pull(ref, auth, sandbox_config)
            except Unavailable:
                raise
            except Failed as error:
                if str(error) not in refusals:
                    refusals.append(str(error))
        raise Failed("; ".join(refusals))


def _unreachable(error: Exception) -> bool:
    """Whether a pull failed for want of a network, as far as the runtime's words tell."""
    return any(each in str(error) for each in _UNREACHABLE)

"""Having an image: when it is pulled, when not, and how long one waits after a failure."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pykubelet.errors import Failed, Unavailable
from pykubelet.kubelet.runtime.model import Image
from pykubelet.kubelet.runtime.pulls import (
    ErrImageNeverPull,
    ErrImagePull,
    ImagePullBackOff,
    InvalidImageName,
    Pulls,
)
from tests.support.waiting import until
from tests.unit.runtime.test_credentials import named

OFFLINE = 'failed to do request: Head "https://x": dial tcp: lookup x: no such host'


class Store:
    """The images of a node, and a registry of which nothing is known but how it answers."""

    def __init__(self, *here: str, answer: Callable[[str, Any], str] | None = None) -> None:
        self.here = {*here}
        self.pulled: list[str] = []
        self.auths: list[Any] = []
        self.answer = answer or (lambda ref, auth: ref)

    def image(self, ref: str) -> Image | None:
        return Image(f"id of {ref}") if ref in self.here else None

    def pull(
        self,
        ref: str,
        auth: Mapping[str, str] | None = None,
        sandbox_config: Mapping[str, Any] | None = None,
    ) -> str:
        self.pulled.append(ref)
        self.auths.append(auth)
        got = self.answer(ref, auth)
        self.here.add(got)
        return got


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


def refuse(message: str) -> Callable[[str, Any], str]:
    def answer(ref: str, auth: Any) -> str:
        raise Failed(message)

    return answer


def pod(uid: str = "u") -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "n", "uid": uid}, "spec": {}}


def wants(image: str, policy: str | None = None) -> dict[str, Any]:
    return {"name": "c", "image": image, **({"imagePullPolicy": policy} if policy else {})}


@pytest.mark.parametrize(
    ("image", "policy", "here", "pulls"),
    [
        ("a:1", None, True, 0),
        ("a:1", None, False, 1),
        ("a", None, True, 1),
        ("a:1", "Always", True, 1),
        ("a", "IfNotPresent", True, 0),
        ("a:1", "Never", True, 0),
    ],
)
def test_the_policy_says_when_to_ask_the_registry(
    image: str, policy: str | None, here: bool, pulls: int
) -> None:
    """Complaint 22: offline, an image that is present needs no registry."""
    ref = image if ":" in image else f"{image}:latest"
    store = Store(*([ref] if here else []))
    got = Pulls(store).ensure(pod(), wants(image, policy), [], 0.0)
    assert got.id == f"id of {ref}"
    assert len(store.pulled) == pulls


def test_never_means_never() -> None:
    store = Store()
    with pytest.raises(ErrImageNeverPull) as caught:
        Pulls(store).ensure(pod(), wants("a:1", "Never"), [], 0.0)
    assert caught.value.reason == "ErrImageNeverPull"
    assert store.pulled == []


def test_a_name_that_is_none_is_refused_without_asking_anyone() -> None:
    store = Store()
    with pytest.raises(InvalidImageName):
        Pulls(store).ensure(pod(), wants("Not/AName"), [], 0.0)
    assert store.pulled == []


def test_the_wait_doubles_from_ten_seconds_to_five_minutes() -> None:
    time, store = Time(), Store(answer=refuse("not found"))
    pulls = Pulls(store, clock=time)
    waits = []
    for _ in range(8):
        with pytest.raises(ErrImagePull) as failed:
            pulls.ensure(pod(), wants("a:1"), [], time.now)
        waits.append(failed.value.until - time.now)
        with pytest.raises(ImagePullBackOff, match="Back-off pulling image") as waiting:
            pulls.ensure(pod(), wants("a:1"), [], failed.value.until - 0.01)
        assert waiting.value.until == failed.value.until
        assert "not found" in str(waiting.value)
        time.now = failed.value.until
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]
    assert len(store.pulled) == 8


def test_the_wait_counts_from_the_failure_not_from_the_start() -> None:
    time = Time()

    def slow(ref: str, auth: Any) -> str:
        time.now += 60
        raise Failed("no")

    with pytest.raises(ErrImagePull) as failed:
        Pulls(Store(answer=slow), clock=time).ensure(pod(), wants("a:1"), [], time.now)
    assert failed.value.until == time.now + 10


def test_a_success_or_a_long_quiet_time_starts_afresh() -> None:
    time, store = Time(), Store(answer=refuse("no"))
    pulls = Pulls(store, clock=time)

    def wait_after_failure() -> float:
        with pytest.raises(ErrImagePull) as failed:
            pulls.ensure(pod(), wants("a:1", "Always"), [], time.now)
        return failed.value.until - time.now

    assert wait_after_failure() == 10
    time.now += 10
    assert wait_after_failure() == 20
    time.now += 20
    store.answer = lambda ref, auth: ref
    pulls.ensure(pod(), wants("a:1", "Always"), [], time.now)
    store.answer = refuse("no")
    assert wait_after_failure() == 10
    time.now += 600
    assert wait_after_failure() == 10


def test_one_pods_failures_do_not_hold_back_another_with_other_secrets() -> None:
    store = Store(answer=refuse("denied"))
    pulls = Pulls(store)
    with pytest.raises(ErrImagePull):
        pulls.ensure(pod("first"), wants("a:1"), [], 0.0)
    store.answer = lambda ref, auth: ref
    assert pulls.ensure(pod("second"), wants("a:1"), [], 0.0)
    store.here.clear()
    with pytest.raises(ImagePullBackOff):
        pulls.ensure(pod("first"), wants("a:1"), [], 1.0)
    pulls.forget("first")
    assert pulls.ensure(pod("first"), wants("a:1"), [], 1.0)


@pytest.mark.parametrize("policy", [None, "Always"])  # defaulting spells it out
def test_offline_a_tag_that_is_looked_up_by_default_runs_as_it_is(policy: str | None) -> None:
    """Complaint 22: offline, what is present starts; the registry's silence is said."""
    store = Store("a:latest", answer=refuse(OFFLINE))
    said: list[tuple[str, str, str]] = []
    got = Pulls(store).ensure(pod(), wants("a", policy), [], 0.0, say=lambda *e: said.append(e))
    assert got.id == "id of a:latest"
    assert any(kind == "Warning" and "no such host" in text for kind, _, text in said)


def test_offline_a_policy_that_was_chosen_is_kept() -> None:
    store = Store("a:1", answer=refuse(OFFLINE))
    with pytest.raises(ErrImagePull):
        Pulls(store).ensure(pod(), wants("a:1", "Always"), [], 0.0)


def test_a_refusal_is_no_network_trouble_and_is_obeyed() -> None:
    store = Store("a:latest", answer=refuse("pull access denied"))
    with pytest.raises(ErrImagePull, match="denied"):
        Pulls(store).ensure(pod(), wants("a"), [], 0.0)


@pytest.mark.parametrize("reason", ["RegistryUnavailable", "SignatureValidationFailed"])
def test_a_reason_that_the_runtime_names_is_kept(reason: str) -> None:
    with pytest.raises(ErrImagePull) as failed:
        Pulls(Store(answer=refuse(f"PullImage: {reason}: x"))).ensure(pod(), wants("a:1"), [], 0.0)
    assert failed.value.reason == reason


def test_a_runtime_that_is_gone_counts_against_no_image() -> None:
    def gone(ref: str, auth: Any) -> str:
        raise Unavailable("no socket")

    store = Store(answer=gone)
    pulls = Pulls(store)
    with pytest.raises(Unavailable):
        pulls.ensure(pod(), wants("a:1"), [], 0.0)
    store.answer = lambda ref, auth: ref
    assert pulls.ensure(pod(), wants("a:1"), [], 0.0)


def test_all_fitting_secrets_are_tried_until_one_is_let_in() -> None:
    def picky(ref: str, auth: Any) -> str:
        if auth["username"] != "quay.io":
            raise Failed("denied")
        return ref

    store = Store(answer=picky)
    Pulls(store).ensure(pod(), wants("quay.io/a/b:1"), [named("quay.io", "quay.io/a")], 0.0)
    assert [auth["username"] for auth in store.auths] == ["quay.io/a", "quay.io"]


def test_a_secret_that_can_not_be_read_fails_the_pull_and_says_which() -> None:
    broken = {
        "type": "kubernetes.io/dockercfg",
        "data": {".dockercfg": "!"},
        "metadata": {"name": "b"},
    }
    with pytest.raises(ErrImagePull, match='pull secret "b"'):
        Pulls(Store()).ensure(pod(), wants("a:1"), [broken], 0.0)


def test_events_tell_of_the_pull() -> None:
    said: list[tuple[str, str, str]] = []
    Pulls(Store()).ensure(pod(), wants("a:1"), [], 0.0, say=lambda *e: said.append(e))
    assert [reason for _, reason, _ in said] == ["Pulling", "Pulled"]


class Gate(Store):
    """Pulls that end when they are told to."""

    def __init__(self) -> None:
        super().__init__(answer=self._wait)
        self.open = threading.Event()

    def _wait(self, ref: str, auth: Any) -> str:
        assert self.open.wait(10)
        return ref


def in_threads(*calls: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    return threads


def test_pods_that_want_the_same_image_share_one_pull() -> None:
    store = Gate()
    pulls = Pulls(store)
    got: list[Image] = []
    threads = in_threads(
        *(
            lambda n=n: got.append(pulls.ensure(pod(str(n)), wants("a:1"), [], 0.0))
            for n in range(4)
        )
    )
    until(lambda: store.pulled, "the pull has begun")
    store.open.set()
    for thread in threads:
        thread.join(10)
    assert [image.id for image in got] == ["id of a:1"] * 4
    assert len(store.pulled) == 1


def test_what_one_pods_secret_opens_is_not_shared_with_another() -> None:
    store = Gate()
    pulls = Pulls(store)
    threads = in_threads(
        lambda: pulls.ensure(pod("1"), wants("quay.io/a:1"), [named("quay.io")], 0.0),
        lambda: pulls.ensure(pod("2"), wants("quay.io/a:1"), [], 0.0),
    )
    until(lambda: len(store.pulled) == 2, "both pull for themselves")
    store.open.set()
    for thread in threads:
        thread.join(10)


def test_no_more_pulls_run_than_allowed() -> None:
    store = Gate()
    pulls = Pulls(store, parallel=2)
    threads = in_threads(
        *(lambda n=n: pulls.ensure(pod(), wants(f"a:{n}"), [], 0.0) for n in range(4))
    )
    until(lambda: len(store.pulled) == 2, "two pulls have begun")
    assert all(thread.is_alive() for thread in threads)
    assert len(store.pulled) == 2
    store.open.set()
    for thread in threads:
        thread.join(10)
    assert sorted(store.pulled) == ["a:0", "a:1", "a:2", "a:3"]

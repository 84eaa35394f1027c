"""What may be thrown away, and what may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.kubelet.node import garbage
from pykubelet.kubelet.node.garbage import ContainerPolicy, ImagePolicy, Pods
from pykubelet.kubelet.runtime.model import Container, ContainerState, Image, PodRuntime, Sandbox

NOW = 10_000.0
POLICY = ContainerPolicy()
KNOWN = Pods(frozenset({"u"}), complete=True)


def dead(id: str, attempt: int = 0, name: str = "c", uid: str = "u", at: float = 1.0) -> Container:
    return Container(
        id, name, f"box-{uid}", uid, attempt, ContainerState.EXITED, created_at=int(at * 10**9)
    )


def running(id: str, uid: str = "u", image: str = "") -> Container:
    return Container(id, "c", f"box-{uid}", uid, 9, ContainerState.RUNNING, image=image)


def sandbox(id: str, attempt: int = 0, ready: bool = False, uid: str = "u") -> Sandbox:
    return Sandbox(id, uid, "p", "default", attempt, ready, attempt)


def runtime(*containers: Container, sandboxes: tuple[Sandbox, ...] = ()) -> dict[str, PodRuntime]:
    uid = containers[0].uid if containers else sandboxes[0].uid
    return {uid: PodRuntime(uid, "p", "default", sandboxes, containers)}


def ids(found: list[Container]) -> list[str]:
    return [c.id for c in found]


# -- containers ---------------------------------------------------------------------------------


def test_of_each_container_the_newest_dead_attempt_is_kept() -> None:
    found = runtime(running("now"), dead("two", 2), dead("one", 1), dead("zero", 0))
    assert ids(garbage.dead_containers(found, KNOWN, POLICY, NOW)) == ["zero", "one"]


def test_what_runs_is_never_taken_not_even_of_a_pod_that_is_gone() -> None:
    found = runtime(running("a", uid="gone"), dead("b", uid="gone"))
    assert ids(garbage.dead_containers(found, KNOWN, POLICY, NOW)) == ["b"]


def test_nothing_is_taken_for_gone_before_every_source_has_spoken() -> None:
    """Complaint 13: an agent that has just restarted must not clear away what it will adopt."""
    found = runtime(dead("b", uid="other"))
    assert garbage.dead_containers(found, Pods(complete=False), POLICY, NOW) == []
    assert garbage.dead_log_folders(["ns_p_other"], Pods(complete=False)) == []


def test_young_ones_are_spared_by_the_minimum_age() -> None:
    found = runtime(dead("new", 1, at=NOW - 5), dead("old", 0, at=NOW - 50))
    policy = ContainerPolicy(min_age=10, max_per_pod_container=0)
    assert ids(garbage.dead_containers(found, KNOWN, policy, NOW)) == ["old"]


def test_finished_pods_keep_their_last_words_until_the_disk_is_short() -> None:
    pods = Pods(frozenset({"u"}), finished=frozenset({"u"}), complete=True)
    found = runtime(dead("last"))
    assert garbage.dead_containers(found, pods, POLICY, NOW) == []
    short = garbage.dead_containers(found, pods, POLICY, NOW, also_finished=True)
    assert ids(short) == ["last"]


def test_a_total_is_shared_out_evenly_before_the_oldest_go() -> None:
    found = runtime(*(dead(f"{name}{n}", n, name=name) for name in "ab" for n in (1, 2, 3)))
    policy = ContainerPolicy(max_per_pod_container=-1, max_containers=2)
    assert sorted(ids(garbage.dead_containers(found, KNOWN, policy, NOW))) == [
        "a1", "a2", "b1", "b2",
    ]  # fmt: skip


# -- sandboxes and logs -------------------------------------------------------------------------


def test_the_last_sandbox_of_a_pod_that_exists_is_kept() -> None:
    boxes = (sandbox("new", 2), sandbox("mid", 1), sandbox("old", 0))
    assert garbage.dead_sandboxes(runtime(sandboxes=boxes), KNOWN) == ["old", "mid"]
    gone = Pods(complete=True)
    assert garbage.dead_sandboxes(runtime(sandboxes=boxes), gone) == ["old", "mid", "new"]


def test_a_sandbox_that_is_ready_or_holds_containers_stays() -> None:
    gone = Pods(complete=True)
    boxes = (sandbox("ready", ready=True),)
    assert garbage.dead_sandboxes(runtime(sandboxes=boxes), gone) == []
    holding = runtime(dead("c"), sandboxes=(sandbox("box-u"),))
    assert garbage.dead_sandboxes(holding, gone) == []
    assert garbage.dead_sandboxes(holding, gone, removed=["c"]) == ["box-u"]


def test_only_log_folders_of_pods_that_are_gone_are_removed() -> None:
    folders = ["ns_p_u", "ns_p_other", "notes", "a_b"]
    assert garbage.dead_log_folders(folders, KNOWN) == ["ns_p_other"]


# -- images -------------------------------------------------------------------------------------

OLD = Image("sha256:old", tags=("docker.io/library/old:latest",), size=100)
NEW = Image("sha256:new", tags=("reg.io/new:1",), size=100)
PINNED = Image("sha256:pin", tags=("localhost/pause:1",), size=100, pinned=True)
NOBODY = garbage.in_use({})


def sighted(*images: Image, first: float = 0.0) -> garbage.Sightings:
    return {image.id: garbage.Sighting(first, n) for n, image in enumerate(images)}


def test_the_image_longest_unused_goes_first_and_no_more_than_needed() -> None:
    seen = sighted(OLD, NEW)
    found = garbage.removable_images((NEW, OLD), seen, NOBODY, ImagePolicy(), NOW, to_free=50)
    assert found == [OLD]


def test_a_pinned_image_or_one_in_use_is_never_removed() -> None:
    """Complaint 22: offline, the pause image is collected and can't be pulled again."""
    used = garbage.in_use(runtime(running("c", image="old")), keep=["reg.io/new:1"])
    images = (OLD, NEW, PINNED)
    everything = ImagePolicy(min_age=0, max_age=1)
    assert (
        garbage.removable_images(images, sighted(*images), used, everything, NOW, to_free=None)
        == []
    )


def test_a_sandbox_image_stays_even_where_the_runtime_does_not_tell_that_it_is_pinned() -> None:
    """Complaint 22: the same, on runtimes too old to say so."""
    assert NOBODY(Image("sha256:p", tags=("registry.k8s.io/pause:3.9",)))
    assert not NOBODY(Image("sha256:p", tags=("me.io/pauses:1", "me.io/pause/app:1")))


def test_an_image_of_a_dead_container_is_in_use_for_it_may_start_again() -> None:
    found = runtime(Container("c", "c", "b", "u", 0, ContainerState.EXITED, image_id="sha256:old"))
    assert garbage.in_use(found)(OLD)
    assert not garbage.in_use(found)(NEW)


def test_a_new_image_is_spared_but_what_was_there_before_us_is_not_new() -> None:
    policy = ImagePolicy(min_age=120)
    young = sighted(OLD, first=NOW - 60)
    assert garbage.removable_images((OLD,), young, NOBODY, policy, NOW, to_free=None) == []
    at_start = garbage.sight(None, [OLD], NOBODY, NOW)
    assert garbage.removable_images((OLD,), at_start, NOBODY, policy, NOW, to_free=None) == [OLD]


def test_the_maximum_age_counts_from_when_we_first_looked() -> None:
    policy = ImagePolicy(max_age=3600)
    seen = garbage.sight(None, [OLD], NOBODY, NOW)
    for later, removed in ((NOW + 3600, []), (NOW + 3601, [OLD])):
        assert garbage.removable_images((OLD,), seen, NOBODY, policy, later) == removed


def test_sightings_remember_use_and_forget_images_that_are_gone() -> None:
    used = garbage.in_use({}, wanted=["reg.io/new:1"])
    first = garbage.sight({}, [OLD, NEW], used, NOW)
    second = garbage.sight(first, [NEW], used, NOW + 9)
    assert second == {NEW.id: garbage.Sighting(NOW, NOW + 9)}


@pytest.mark.parametrize(("available", "to_free"), [(16, 0), (15, 5), (5, 15), (0, 20), (100, 0)])
def test_above_the_high_mark_images_go_down_to_the_low_one(available: int, to_free: int) -> None:
    assert garbage.bytes_to_free(100, available, ImagePolicy(85, 80)) == to_free


@pytest.mark.parametrize(
    ("written", "listed"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("me/app:1", "docker.io/me/app:1"),
        ("localhost/a", "localhost/a:latest"),
        ("reg:5000/a/b", "reg:5000/a/b:latest"),
        ("reg.io/a@sha256:f", "reg.io/a@sha256:f"),
        ("reg.io/a:1@sha256:f", "reg.io/a@sha256:f"),
    ],
)
def test_an_image_is_recognised_however_a_pod_spells_it(written: str, listed: str) -> None:
    used = garbage.in_use({}, wanted=[written])
    assert used(Image("x", tags=(listed,))) or used(Image("x", digests=(listed,)))


@given(
    sizes=st.lists(st.integers(0, 1000), max_size=20),
    pinned=st.sets(st.integers(0, 19)),
    to_free=st.none() | st.integers(0, 5000),
)
def test_whatever_is_asked_pinned_ones_stay_and_enough_goes_if_there_is_enough(
    sizes: list[int], pinned: set[int], to_free: int | None
) -> None:
    images = [Image(str(n), size=s, pinned=n in pinned) for n, s in enumerate(sizes)]
    found = garbage.removable_images(
        images, sighted(*images), NOBODY, ImagePolicy(), NOW, to_free=to_free
    )
    assert not any(image.pinned for image in found)
    removable = sum(image.size for image in images if not image.pinned)
    wanted = removable if to_free is None else min(to_free, removable)
    assert sum(image.size for image in found) >= wanted


def test_an_image_made_on_this_host_stays_since_no_registry_has_it() -> None:
    made_here = Image("sha256:own", tags=("localhost/pykubelet/web:1",), size=100)
    assert garbage.in_use({})(made_here)
    assert not garbage.in_use({})(Image("sha256:o", tags=("example.com/localhost/web:1",)))

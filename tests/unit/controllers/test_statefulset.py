"""StatefulSet: order, names, claims and revisions by values, and its promises in any trouble."""

from __future__ import annotations

from typing import Any

import pytest

from pykubelet.client.resources import (
    CONTROLLER_REVISIONS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    STATEFUL_SETS,
)
from pykubelet.clock import rfc3339
from pykubelet.controllers.statefulset import StatefulSetController, retention
from pykubelet.controllers.statefulset.decision import Decision, Revision, decide
from pykubelet.controllers.statefulset.identity import new_pod
from tests.unit.controllers.cluster import START
from tests.unit.controllers.simulation import Simulation, seeds, template

Json = dict[str, Any]
NOW = START
OLD = Revision("db-old", template("db", "db:1"))
NEW = Revision("db-new", template("db", "db:2"))


def stateful_set(replicas: int = 3, **spec: Any) -> Json:
    return {
        "metadata": {"name": "db", "namespace": "default", "uid": "s", "generation": 1},
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": NEW.template,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            **spec,
        },
    }


def pod(ordinal: int, *, of: Revision = NEW, state: str = "ready", ready_for: float = 60) -> Json:
    made = new_pod(stateful_set(), of.template, of.name, ordinal)
    made["metadata"]["uid"] = f"p{ordinal}"
    made["status"] = {"phase": "Running"}
    if state == "ready":
        since = rfc3339(NOW - ready_for)
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": since}
        made["status"]["conditions"] = [ready]
    elif state == "going":
        made["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    elif state == "failed":
        made["status"]["phase"] = "Failed"
    return made


def ask(set_: Json, *own: Json, current: Revision = NEW) -> Decision:
    return decide(set_, list(own), current, NEW, NOW)


def created(found: Decision) -> list[int]:
    return [ordinal for ordinal, _ in found.create]


def deleted(found: Decision) -> list[str]:
    return [one["metadata"]["name"] for one in found.delete]


# -- order ---------------------------------------------------------------------------------------


def test_one_pod_after_another_each_when_the_one_before_is_available() -> None:
    assert created(ask(stateful_set())) == [0]
    assert created(ask(stateful_set(), pod(0, state="starting"))) == []
    assert created(ask(stateful_set(), pod(0))) == [1]


def test_in_parallel_all_at_once() -> None:
    found = ask(stateful_set(podManagementPolicy="Parallel"), pod(1, state="starting"))
    assert created(found) == [0, 2]


def test_ordinals_may_start_anywhere() -> None:
    found = ask(stateful_set(ordinals={"start": 5}), pod(5), pod(0))
    assert created(found) == [6]
    found = ask(stateful_set(1, ordinals={"start": 5}), pod(5), pod(0))
    assert deleted(found) == ["db-0"]


def test_the_last_goes_first_and_the_next_waits_until_it_is_gone() -> None:
    assert deleted(ask(stateful_set(1), pod(0), pod(1), pod(2))) == ["db-2"]
    assert deleted(ask(stateful_set(1), pod(0), pod(1), pod(2, state="going"))) == []


def test_nothing_is_scaled_away_while_one_that_stays_is_unwell() -> None:
    assert deleted(ask(stateful_set(1), pod(0, state="starting"), pod(1))) == []


def test_an_unwell_pod_that_is_not_wanted_may_go_if_it_is_the_first_unwell_one() -> None:
    assert deleted(ask(stateful_set(1), pod(0), pod(1, state="starting"))) == ["db-1"]
    own = (pod(0), pod(1, state="starting"), pod(2, state="starting"))
    assert deleted(ask(stateful_set(1), *own)) == []


def test_a_pod_that_has_ended_makes_room_for_itself() -> None:
    found = ask(stateful_set(), pod(0), pod(1, state="failed"), pod(2))
    assert (created(found), deleted(found)) == ([], ["db-1"])


def test_availability_takes_its_seconds() -> None:
    found = ask(stateful_set(minReadySeconds=30), pod(0, ready_for=10))
    assert created(found) == []
    assert found.look_in == pytest.approx(20)


# -- new templates -------------------------------------------------------------------------------


def test_a_new_template_goes_from_the_last_to_the_first() -> None:
    own = [pod(0, of=OLD), pod(1, of=OLD), pod(2, of=OLD)]
    assert deleted(ask(stateful_set(), *own, current=OLD)) == ["db-2"]
    own[2] = pod(2)
    assert deleted(ask(stateful_set(), *own, current=OLD)) == ["db-1"]


def test_below_the_partition_the_current_template_stays_even_when_a_pod_is_made_anew() -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    set_ = stateful_set(updateStrategy=rolling)
    assert deleted(ask(set_, pod(0, of=OLD), pod(1, of=OLD), pod(2), current=OLD)) == []
    ((ordinal, made),) = ask(set_, pod(0, of=OLD), pod(2), current=OLD).create
    assert ordinal == 1
    assert made["metadata"]["labels"]["controller-revision-hash"] == "db-old"


def test_several_at_once_where_so_many_may_be_missing() -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}
    set_ = stateful_set(4, updateStrategy=rolling, podManagementPolicy="Parallel")
    own = [pod(n, of=OLD) for n in range(4)]
    assert deleted(ask(set_, *own, current=OLD)) == ["db-3", "db-2"]
    own[3] = pod(3, state="starting")
    assert deleted(ask(set_, *own, current=OLD)) == ["db-2"]


def test_on_delete_nothing_is_replaced() -> None:
    set_ = stateful_set(updateStrategy={"type": "OnDelete"})
    assert deleted(ask(set_, *(pod(n, of=OLD) for n in range(3)), current=OLD)) == []


def test_when_all_are_new_the_current_revision_is_the_new_one() -> None:
    status = ask(stateful_set(), *(pod(n) for n in range(3)), current=OLD).status
    assert status["currentRevision"] == "db-new"
    assert status["currentReplicas"] == 3


# -- names and claims ----------------------------------------------------------------------------


def test_a_pod_bears_its_ordinal_and_uses_its_own_claims() -> None:
    claim = {"metadata": {"name": "data"}, "spec": {}}
    made = new_pod(stateful_set(volumeClaimTemplates=[claim]), NEW.template, NEW.name, 4)
    assert made["metadata"]["name"] == made["spec"]["hostname"] == "db-4"
    assert made["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "4"
    (volume,) = made["spec"]["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == "data-db-4"


@pytest.mark.parametrize(
    ("deleted", "scaled", "away", "kinds"),
    [
        ("Retain", "Retain", True, None),
        ("Delete", "Retain", True, ["StatefulSet"]),
        ("Retain", "Delete", False, None),
        ("Retain", "Delete", True, ["Pod"]),
        ("Delete", "Delete", True, ["Pod"]),
        ("Delete", "Delete", False, ["StatefulSet"]),
    ],
)
def test_who_owns_a_claim(deleted: str, scaled: str, away: bool, kinds: list[str] | None) -> None:
    policy = {"whenDeleted": deleted, "whenScaled": scaled}
    set_ = stateful_set(persistentVolumeClaimRetentionPolicy=policy)
    claim: Json = {"metadata": {"name": "data-db-1"}}
    one = {**pod(1), "apiVersion": "v1", "kind": "Pod"}
    found = retention.owners(set_, one, claim, scaled_away=away)
    assert (found and [r["kind"] for r in found]) == kinds
    if found:
        claim["metadata"]["ownerReferences"] = found
        assert retention.owners(set_, one, claim, scaled_away=away) is None


def test_the_claims_of_what_is_scaled_away_go_with_it() -> None:
    policy = {"whenDeleted": "Retain", "whenScaled": "Delete"}
    sim = started(1, persistentVolumeClaimRetentionPolicy=policy)
    sim.trouble = False
    sim.settle()
    sim.change(STATEFUL_SETS, "db", lambda s: s["spec"].update(replicas=1))
    sim.settle()
    assert [c["metadata"]["name"] for c in sim.cluster.all(PERSISTENT_VOLUME_CLAIMS)] == [
        "data-db-0"
    ]
    sim.change(STATEFUL_SETS, "db", lambda s: s["spec"].update(replicas=2))
    sim.settle()
    assert len(sim.cluster.all(PERSISTENT_VOLUME_CLAIMS)) == 2


# -- in trouble ----------------------------------------------------------------------------------


def is_ready(pod: Json) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def started(seed: int, **spec: Any) -> Simulation:
    sim = Simulation(seed, [StatefulSetController])
    sim.flaky = False
    claim = {"metadata": {"name": "data"}, "spec": {}}
    body = stateful_set(**spec)["spec"] | {"volumeClaimTemplates": [claim]}
    sim.cluster.create(STATEFUL_SETS, {"metadata": {"name": "db"}, "spec": body})
    return sim


def set_image(sim: Simulation, image: str) -> None:
    def change(set_: Json) -> None:
        set_["spec"]["template"]["spec"]["containers"][0]["image"] = image

    sim.change(STATEFUL_SETS, "db", change)


def number(pod: Json) -> int:
    return int(pod["metadata"]["name"].rpartition("-")[2])


@pytest.mark.parametrize("seed", seeds(40))
def test_order_is_kept_whatever_happens(seed: int) -> None:
    sim = started(seed)
    wanted = [3]

    def check(resource: Any, old: Json | None, new: Json | None) -> None:
        if resource is not PODS or new is None:
            return
        others = {number(p): p for p in sim.cluster.all(PODS) if p is not new}
        if old is None:
            below = [others.get(n) for n in range(number(new))]
            assert all(p and is_ready(p) for p in below), "made before those below were ready"
        elif "deletionTimestamp" in new["metadata"] and "deletionTimestamp" not in old["metadata"]:
            going = [p for p in others.values() if "deletionTimestamp" in p["metadata"]]
            assert not going, "two at a time"
            if number(new) >= max(wanted[-2:]):
                assert max(others, default=-1) < number(new), "not the last one"

    sim.cluster.observers.append(check)
    sim.run(250)
    for replicas, image in ((5, "db:3"), (2, "db:4"), (4, "db:3")):
        wanted.append(replicas)
        sim.change(STATEFUL_SETS, "db", lambda s, n=replicas: s["spec"].update(replicas=n))
        sim.run(150)
        set_image(sim, image)
        sim.run(250)
    sim.settle()
    found = sim.cluster.all(PODS)
    assert sorted(map(number, found)) == [0, 1, 2, 3]
    assert {p["spec"]["containers"][0]["image"] for p in found} == {"db:3"}
    status = sim.cluster.get(STATEFUL_SETS, "db")["status"]
    assert status["currentRevision"] == status["updateRevision"]
    assert status["availableReplicas"] == 4
    assert len(sim.cluster.all(CONTROLLER_REVISIONS)) == 3
    claims = {c["metadata"]["name"] for c in sim.cluster.all(PERSISTENT_VOLUME_CLAIMS)}
    assert {f"data-db-{n}" for n in range(4)} <= claims


@pytest.mark.parametrize("seed", seeds(15))
def test_in_parallel_with_flaky_pods_and_few_revisions_kept_it_comes_to_rest(seed: int) -> None:
    policy = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    sim = started(
        seed,
        podManagementPolicy="Parallel",
        revisionHistoryLimit=1,
        persistentVolumeClaimRetentionPolicy=policy,
    )
    sim.flaky = True
    for step in range(5):
        sim.run(100)
        set_image(sim, f"db:{step}")
        sim.change(STATEFUL_SETS, "db", lambda s, n=step: s["spec"].update(replicas=6 - n))
    sim.settle()
    assert sorted(map(number, sim.cluster.all(PODS))) == [0, 1]
    assert len(sim.cluster.all(CONTROLLER_REVISIONS)) == 2
    claims = {c["metadata"]["name"] for c in sim.cluster.all(PERSISTENT_VOLUME_CLAIMS)}
    assert {"data-db-0", "data-db-1"} <= claims

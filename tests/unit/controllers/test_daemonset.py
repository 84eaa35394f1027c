"""DaemonSet: nodes, placement, rollouts by values, and its promises in any trouble."""

from __future__ import annotations

from typing import Any

import pytest

from pykubelet.client.resources import DAEMON_SETS, NODES, PODS
from pykubelet.clock import rfc3339
from pykubelet.controllers.daemonset import DaemonSetController, nodes
from pykubelet.controllers.daemonset.decision import Decision, decide
from tests.unit.controllers.cluster import START
from tests.unit.controllers.simulation import Simulation, node, seeds, template

Json = dict[str, Any]
NOW = START


def daemon_set(surge: int | str = 0, unavailable: int | str = 1, **pod_spec: Any) -> Json:
    made = template("agent", "agent:1")
    made["spec"] |= pod_spec
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {
        "metadata": {"name": "agent", "namespace": "default", "uid": "d", "generation": 1},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": made,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
        },
    }


def pod(where: str, *, of: str = "new", state: str = "ready", name: str = "") -> Json:
    made = nodes.new_pod(daemon_set(), where, of)
    made["metadata"] |= {"name": name or f"{where}-{of}", "uid": f"{where}-{of}"}
    made["metadata"]["creationTimestamp"] = rfc3339(NOW - (100 if of == "old" else 50))
    made["spec"]["nodeName"] = where
    made["status"] = {"phase": "Running"}
    if state == "ready":
        made["status"]["conditions"] = [
            {"type": "Ready", "status": "True", "lastTransitionTime": rfc3339(NOW - 60)}
        ]
    elif state == "going":
        made["metadata"]["deletionTimestamp"] = rfc3339(NOW)
    elif state in ("Failed", "Succeeded"):
        made["status"]["phase"] = state
    return made


def ask(ds: Json, names: str, *own: Json, held: tuple[str, ...] = ()) -> Decision:
    return decide(ds, list(own), [node(name) for name in names], "new", NOW, held)


def deleted(found: Decision) -> list[str]:
    return [one["metadata"]["name"] for one in found.delete]


# -- nodes ---------------------------------------------------------------------------------------


def tainted(effect: str, key: str = "k") -> Json:
    made = node("a")
    made["spec"]["taints"] = [{"key": key, "effect": effect}]
    return made


def test_a_taint_that_is_not_tolerated_keeps_pods_away_and_noexecute_drives_them_off() -> None:
    assert nodes.fit(daemon_set(), tainted("NoSchedule")) == nodes.Fit(False, True)
    assert nodes.fit(daemon_set(), tainted("NoExecute")) == nodes.Fit(False, False)
    assert nodes.fit(daemon_set(), tainted("PreferNoSchedule")) == nodes.Fit(True, True)


def test_a_nodes_trouble_is_tolerated_unasked() -> None:
    for key, effect in [("unschedulable", "NoSchedule"), ("unreachable", "NoExecute")]:
        assert nodes.fit(daemon_set(), tainted(effect, f"node.kubernetes.io/{key}")).run
    no_network = tainted("NoSchedule", "node.kubernetes.io/network-unavailable")
    assert not nodes.fit(daemon_set(), no_network).run
    assert nodes.fit(daemon_set(hostNetwork=True), no_network).run


def test_selectors_choose_nodes() -> None:
    wanted = daemon_set(nodeSelector={"kubernetes.io/hostname": "a"})
    assert nodes.fit(wanted, node("a")).run
    assert nodes.fit(wanted, node("b")) == nodes.Fit(False, False)


def test_a_pod_is_meant_for_its_node_before_it_is_bound() -> None:
    made = nodes.new_pod(daemon_set(), "b", "h")
    assert nodes.node_of(made) == "b"
    assert made["metadata"]["labels"]["controller-revision-hash"] == "h"


# -- placement -----------------------------------------------------------------------------------


def test_each_node_without_a_pod_gets_one() -> None:
    assert ask(daemon_set(), "abc", pod("b")).create == ("a", "c")


def test_a_node_whose_pod_is_going_waits_for_its_end() -> None:
    assert ask(daemon_set(), "a", pod("a", state="going")).create == ()


def test_of_two_on_a_node_the_older_stays() -> None:
    found = ask(daemon_set(), "a", pod("a", of="old"), pod("a", of="new"))
    assert deleted(found) == ["a-new"]


def test_pods_that_ended_are_taken_away_unless_it_happened_a_moment_ago() -> None:
    assert deleted(ask(daemon_set(), "a", pod("a", state="Failed"))) == ["a-new"]
    assert deleted(ask(daemon_set(), "a", pod("a", state="Failed"), held=("a",))) == []


def test_status_counts_nodes() -> None:
    status = ask(daemon_set(), "abc", pod("a"), pod("b", of="old", state="starting")).status
    assert status["desiredNumberScheduled"] == 3
    assert status["currentNumberScheduled"] == 2
    assert status["numberReady"] == status["numberAvailable"] == 1
    assert status["numberUnavailable"] == 2
    assert status["updatedNumberScheduled"] == 1


# -- a new template ------------------------------------------------------------------------------


def test_without_surge_so_many_old_ones_go_as_may_be_missing() -> None:
    own = [pod(name, of="old") for name in "abcd"]
    assert len(deleted(ask(daemon_set(0, 2), "abcd", *own))) == 2
    own[0] = pod("a", state="starting")
    assert len(deleted(ask(daemon_set(0, 2), "abcd", *own))) == 1


def test_old_pods_that_serve_nobody_go_at_once() -> None:
    own = [pod("a", of="old"), pod("b", of="old", state="starting"), pod("c", state="starting")]
    assert deleted(ask(daemon_set(0, 1), "abc", *own)) == ["b-old"]


def test_with_surge_the_new_one_comes_first() -> None:
    own = [pod(name, of="old") for name in "abc"]
    found = ask(daemon_set(2, 0), "abc", *own)
    assert (len(found.create), deleted(found)) == (2, [])
    found = ask(daemon_set(1, 0), "abc", *own, pod("a"))
    assert deleted(found) == ["a-old"]
    found = ask(daemon_set(1, 0), "abc", *own, pod("a", state="starting"))
    assert (found.create, deleted(found)) == ((), [])


def test_on_delete_nothing_is_replaced() -> None:
    ds = daemon_set()
    ds["spec"]["updateStrategy"] = {"type": "OnDelete"}
    assert deleted(ask(ds, "a", pod("a", of="old"))) == []


# -- in trouble ----------------------------------------------------------------------------------


def is_ready(pod: Json) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


@pytest.mark.parametrize("seed", seeds(30))
def test_limits_are_kept_whatever_happens(seed: int) -> None:
    surge, missing = [(0, 1), (0, 2), (1, 0), (2, 0)][seed % 4]
    sim = Simulation(seed, [DaemonSetController], nodes=5)
    sim.flaky = False
    spec = daemon_set(surge, missing)["spec"]
    sim.cluster.create(DAEMON_SETS, {"metadata": {"name": "agent"}, "spec": spec})
    reached = False

    def check(*change: Any) -> None:
        nonlocal reached
        living = [p for p in sim.cluster.all(PODS) if "deletionTimestamp" not in p["metadata"]]
        assert len(living) <= 5 + surge
        serving = len({nodes.node_of(p) for p in living if is_ready(p)})
        reached = reached or serving == 5
        assert not reached or serving >= 5 - missing

    sim.cluster.observers.append(check)
    sim.run(250)
    for image in ("agent:2", "agent:3"):
        sim.change(
            DAEMON_SETS,
            "agent",
            lambda d, i=image: d["spec"]["template"]["spec"]["containers"][0].update(image=i),
        )
        sim.run(250)
    sim.settle()
    found = sim.cluster.all(PODS)
    assert sorted(map(nodes.node_of, found)) == [f"node-{n}" for n in range(5)]
    assert {p["spec"]["containers"][0]["image"] for p in found} == {"agent:3"}
    status = sim.cluster.get(DAEMON_SETS, "agent")["status"]
    assert status["updatedNumberScheduled"] == status["numberAvailable"] == 5


@pytest.mark.parametrize("seed", seeds(10))
def test_nodes_that_come_and_turn_away_are_followed(seed: int) -> None:
    sim = Simulation(seed, [DaemonSetController], nodes=3)
    spec = daemon_set()["spec"]
    sim.cluster.create(DAEMON_SETS, {"metadata": {"name": "agent"}, "spec": spec})
    sim.run(100)
    sim.cluster.create(NODES, node("late"))
    taints = [{"key": "k", "effect": "NoExecute"}]
    sim.change(NODES, "node-1", lambda n: n["spec"].update(taints=taints), "")
    sim.run(100)
    sim.settle()
    assert sorted(map(nodes.node_of, sim.cluster.all(PODS))) == ["late", "node-0", "node-2"]

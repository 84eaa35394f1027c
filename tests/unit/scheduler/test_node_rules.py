"""The rules about a node by itself, by values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykubelet.scheduler.plugins.image_locality import ImageLocality
from pykubelet.scheduler.plugins.node_affinity import NodeAffinity
from pykubelet.scheduler.plugins.node_ports import NodePorts, clash
from pykubelet.scheduler.plugins.node_resources_balanced_allocation import (
    NodeResourcesBalancedAllocation,
)
from pykubelet.scheduler.plugins.node_resources_fit import NodeResourcesFit
from pykubelet.scheduler.plugins.node_unschedulable import NodeUnschedulable
from pykubelet.scheduler.plugins.taint_toleration import TaintToleration
from tests.unit.scheduler.build import cluster, node, outcome, pod, reasons, rejection, scores

Json = dict[str, Any]
GI = 1024**3


class TestResources:
    def test_a_pod_that_asks_for_no_more_than_is_left_fits(self) -> None:
        view = cluster(node(cpu="2"), pod("other", cpu="1500m", on="n1"))
        assert reasons(NodeResourcesFit(), pod(cpu="500m"), view) == ()
        assert reasons(NodeResourcesFit(), pod(cpu="501m"), view) == ("Insufficient cpu",)

    def test_every_lack_is_named(self) -> None:
        view = cluster(node(cpu="1", memory="1Gi", room=1), pod("other", on="n1"))
        wanted = pod(cpu="2", memory="2Gi", requests={"example.com/gpu": "1"})
        assert reasons(NodeResourcesFit(), wanted, view) == (
            "Too many pods",
            "Insufficient cpu",
            "Insufficient memory",
            "Insufficient example.com/gpu",
        )

    def test_what_the_node_could_never_hold_is_no_matter_of_preemption(self) -> None:
        view = cluster(node(cpu="2"), pod("other", cpu="1", on="n1"))
        small = rejection(NodeResourcesFit(), pod(cpu="1500m"), view)
        large = rejection(NodeResourcesFit(), pod(cpu="3"), view)
        assert small is not None
        assert small.resolvable
        assert large is not None
        assert not large.resolvable

    def test_overhead_counts(self) -> None:
        view = cluster(node(cpu="1"))
        one = pod(cpu="900m", overhead={"cpu": "200m"})
        assert reasons(NodeResourcesFit(), one, view) == ("Insufficient cpu",)

    def test_a_sidecar_counts_beside_the_containers_and_an_init_container_alone(self) -> None:
        view = cluster(node(cpu="1"))
        sidecar = {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}
        init = {"name": "i", "resources": {"requests": {"cpu": "1"}}}
        assert reasons(NodeResourcesFit(), pod(cpu="500m", initContainers=[init]), view) == ()
        assert reasons(NodeResourcesFit(), pod(cpu="500m", initContainers=[sidecar]), view)

    def test_while_a_pod_is_resized_the_larger_of_wanted_and_allocated_is_taken(self) -> None:
        shrinking = pod("other", cpu="500m", on="n1", status={"containerStatuses": [
            {"name": "c", "allocatedResources": {"cpu": "1500m"},
             "resources": {"requests": {"cpu": "1500m"}}}]})  # fmt: skip
        growing = pod("other", cpu="1500m", on="n1", status={"containerStatuses": [
            {"name": "c", "allocatedResources": {"cpu": "500m"},
             "resources": {"requests": {"cpu": "500m"}}}]})  # fmt: skip
        for other in (shrinking, growing):
            view = cluster(node(cpu="2"), other)
            assert reasons(NodeResourcesFit(), pod(cpu="500m"), view) == ()
            assert reasons(NodeResourcesFit(), pod(cpu="600m"), view) == ("Insufficient cpu",)

    def test_a_resize_that_can_never_be_takes_only_what_is_allocated(self) -> None:
        status = {
            "conditions": [{"type": "PodResizePending", "reason": "Infeasible", "status": "True"}],
            "containerStatuses": [{"name": "c", "allocatedResources": {"cpu": "500m"},
                                   "resources": {"requests": {"cpu": "500m"}}}],
        }  # fmt: skip
        view = cluster(node(cpu="2"), pod("other", cpu="64", on="n1", status=status))
        assert reasons(NodeResourcesFit(), pod(cpu="1500m"), view) == ()

    def test_ignored_resources_are_not_looked_at(self) -> None:
        plugin = NodeResourcesFit(ignored_groups=frozenset(("example.com",)))
        view = cluster(node())
        assert reasons(plugin, pod(requests={"example.com/gpu": "9"}), view) == ()

    def test_emptier_nodes_are_better_and_fuller_ones_if_so_configured(self) -> None:
        view = cluster(
            node("n1", cpu="4", memory="10000"),
            node("n2", cpu="4", memory="10000"),
            pod("other", cpu="2", memory="5000", on="n2"),
        )
        one = pod(cpu="1", memory="1000")
        assert scores(NodeResourcesFit(), one, view) == {"n1": (75 + 90) // 2, "n2": (25 + 40) // 2}
        most = NodeResourcesFit("MostAllocated")
        assert scores(most, one, view) == {"n1": (25 + 10) // 2, "n2": (75 + 60) // 2}

    def test_pods_that_ask_for_nothing_count_with_a_guess_when_scored(self) -> None:
        view = cluster(node("n1", cpu="1", memory="1000Mi"), node("n2", cpu="1", memory="1000Mi"),
                       *(pod(f"p{n}", on="n2") for n in range(4)))  # fmt: skip
        found = scores(NodeResourcesFit(), pod(), view)
        assert found == {"n1": (90 + 80) // 2, "n2": (50 + 0) // 2}

    def test_the_score_follows_the_curve_that_is_drawn(self) -> None:
        curve = NodeResourcesFit(
            "RequestedToCapacityRatio", {"cpu": 1}, ((0, 0), (50, 10), (100, 0))
        )
        view = cluster(node(cpu="4"))
        for cpu, expected in (("1", 50), ("2", 100), ("3", 50), ("4", 0), ("8", 0)):
            assert scores_of(curve, cpu, view) == expected

    @given(st.lists(st.integers(0, 5000), max_size=8), st.integers(1, 8000), st.integers(1, 5000))
    def test_what_fits_is_never_more_than_there_is(
        self, taken: list[int], capacity: int, wanted: int
    ) -> None:
        others = [pod(f"p{n}", cpu=f"{cpu}m", on="n1") for n, cpu in enumerate(taken)]
        view = cluster(node(cpu=f"{capacity}m"), *others)
        fits = reasons(NodeResourcesFit(), pod(cpu=f"{wanted}m"), view) == ()
        assert fits == (sum(taken) + wanted <= capacity)

    def test_even_use_of_cpu_and_memory_is_better(self) -> None:
        view = cluster(
            node("n1", cpu="4", memory="4000"),
            node("n2", cpu="4", memory="4000"),
            pod("other", memory="2000", on="n2"),
        )
        found = scores(NodeResourcesBalancedAllocation(), pod(cpu="2"), view)
        assert found == {"n1": 75, "n2": 100}

    def test_balance_has_nothing_to_say_about_pods_that_ask_for_nothing(self) -> None:
        view = cluster(node("n1"), node("n2"))
        assert set(scores(NodeResourcesBalancedAllocation(), pod(), view).values()) == {0}


def scores_of(plugin: NodeResourcesFit, cpu: str, view: Any) -> int:
    # Scoring alone: a filter would refuse what is beyond the node.
    from pykubelet.scheduler import pods
    from tests.unit.scheduler.build import at

    score = plugin.score(pods.read(pod(cpu=cpu)), view)
    assert score is not None
    return score(at(view))


class TestTaints:
    TAINT = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}  # noqa: RUF012

    def test_an_untolerated_taint_keeps_a_pod_away(self) -> None:
        view = cluster(node(taints=[self.TAINT]))
        assert reasons(TaintToleration(), pod(), view) == ("node(s) had untolerated taint(s)",)

    def test_a_tolerated_one_does_not(self) -> None:
        view = cluster(node(taints=[self.TAINT]))
        for toleration in (
            {"key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoSchedule"},
            {"key": "dedicated", "operator": "Exists"},
            {"operator": "Exists"},
        ):
            assert reasons(TaintToleration(), pod(tolerations=[toleration]), view) == ()

    def test_a_taint_that_only_advises_makes_the_node_worse(self) -> None:
        soft = {"key": "k", "effect": "PreferNoSchedule"}
        view = cluster(node("n1", taints=[soft]), node("n2"))
        assert reasons(TaintToleration(), pod(), view) == ()
        assert scores(TaintToleration(), pod(), view) == {"n1": 0, "n2": 100}

    def test_a_cordoned_node_takes_only_who_tolerates_it(self) -> None:
        view = cluster(node(unschedulable=True))
        assert reasons(NodeUnschedulable(), pod(), view) == ("node(s) were unschedulable",)
        tolerant = pod(tolerations=[{"operator": "Exists"}])
        assert reasons(NodeUnschedulable(), tolerant, view) == ()


class TestNodeAffinity:
    OTHER = ("node(s) didn't match Pod's node affinity/selector",)

    @staticmethod
    def required(*expressions: Json) -> Json:
        terms = [{"matchExpressions": list(expressions)}]
        return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                                 {"nodeSelectorTerms": terms}}}  # fmt: skip

    def test_the_selector_and_the_affinity_both_have_to_hold(self) -> None:
        view = cluster(node(labels={"disk": "ssd", "cores": "8"}))
        more = {"key": "cores", "operator": "Gt", "values": ["4"]}
        assert reasons(NodeAffinity(), pod(nodeSelector={"disk": "ssd"}), view) == ()
        assert reasons(NodeAffinity(), pod(nodeSelector={"disk": "hdd"}), view) == self.OTHER
        both = pod(nodeSelector={"disk": "ssd"}, affinity=self.required(more))
        assert reasons(NodeAffinity(), both, view) == ()
        less = {"key": "cores", "operator": "Lt", "values": ["4"]}
        neither = pod(nodeSelector={"disk": "ssd"}, affinity=self.required(less))
        assert reasons(NodeAffinity(), neither, view) == self.OTHER

    def test_a_pod_that_names_its_node_by_a_field_needs_no_search(self) -> None:
        field = {"key": "metadata.name", "operator": "In", "values": ["n2"]}
        affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchFields": [field]}]}}}  # fmt: skip
        view = cluster(*(node(f"n{n}") for n in range(5)))
        found = outcome(pod(affinity=affinity), view)
        assert (found.node, found.evaluated) == ("n2", 1)  # type: ignore[union-attr]

    def test_what_is_preferred_is_weighed(self) -> None:
        wish = [
            {"weight": 30, "preference": {"matchExpressions": [
                {"key": "disk", "operator": "In", "values": ["ssd"]}]}},
            {"weight": 10, "preference": {"matchExpressions": [
                {"key": "gpu", "operator": "Exists"}]}},
        ]  # fmt: skip
        affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": wish}}
        view = cluster(
            node("n1", labels={"disk": "ssd", "gpu": ""}),
            node("n2", labels={"gpu": ""}),
            node("n3"),
        )
        found = scores(NodeAffinity(), pod(affinity=affinity), view)
        assert found == {"n1": 100, "n2": 25, "n3": 0}

    def test_a_profile_can_add_an_affinity_of_its_own(self) -> None:
        added = self.required({"key": "pool", "operator": "Exists"})["nodeAffinity"]
        view = cluster(node())
        assert reasons(NodeAffinity(added), pod(), view) == (
            "node(s) didn't match scheduler-enforced node affinity",
        )


class TestPorts:
    def test_a_host_port_is_taken_once(self) -> None:
        view = cluster(node(), pod("other", on="n1", ports=[{"hostPort": 80}]))
        taken = ("node(s) didn't have free ports for the requested pod ports",)
        assert reasons(NodePorts(), pod(ports=[{"hostPort": 80}]), view) == taken
        assert reasons(NodePorts(), pod(ports=[{"hostPort": 80, "protocol": "UDP"}]), view) == ()
        assert reasons(NodePorts(), pod(ports=[{"hostPort": 81}]), view) == ()

    @pytest.mark.parametrize(
        ("mine", "other", "expected"),
        [("0.0.0.0", "10.0.0.1", True), ("10.0.0.1", "10.0.0.2", False), ("::1", "::1", True)],
    )
    def test_ports_clash_where_their_addresses_overlap(
        self, mine: str, other: str, expected: bool
    ) -> None:
        assert clash((mine, "TCP", 80), (other, "TCP", 80)) is expected

    def test_a_port_is_free_again_when_its_pod_is_gone(self) -> None:
        view = cluster(node(), pod("other", on="n1", ports=[{"hostPort": 80}]))
        view.drop_pod("default/other")
        assert reasons(NodePorts(), pod(ports=[{"hostPort": 80}]), view) == ()


class TestImages:
    def test_a_large_image_that_is_there_draws_the_pod(self) -> None:
        view = cluster(node("n1", images={"app:1": GI}), node("n2"))
        found = scores(ImageLocality(), pod(), view)
        assert found["n2"] == 0
        # Half of the nodes have it: it counts half, 512 of 977 MB above the least.
        assert found["n1"] == 100 * (GI // 2 - 23 * 1024**2) // (977 * 1024**2)

    def test_a_small_one_does_not_matter(self) -> None:
        view = cluster(node("n1", images={"app:1": 20 * 1024**2}), node("n2"))
        assert scores(ImageLocality(), pod(), view) == {"n1": 0, "n2": 0}

    def test_an_image_without_a_tag_is_the_latest(self) -> None:
        view = cluster(node("n1", images={"reg:5000/app:latest": GI}), node("n2"))
        assert scores(ImageLocality(), pod(image="reg:5000/app"), view)["n1"] > 0

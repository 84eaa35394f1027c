"""The rules about volumes, by values."""

from __future__ import annotations

from typing import Any

from pykubelet.scheduler.plugins.node_volume_limits import NodeVolumeLimits
from pykubelet.scheduler.plugins.volume_binding import VolumeBinding, VolumePlan
from pykubelet.scheduler.plugins.volume_restrictions import VolumeRestrictions
from pykubelet.scheduler.plugins.volume_zone import VolumeZone
from pykubelet.scheduler.pods import read
from tests.unit.scheduler.build import ZONE, at, cluster, node, pod, reasons, rejection

Json = dict[str, Any]
NONE_FOUND = ("node(s) didn't find available persistent volumes to bind",)


def claim(
    name: str = "data", volume: str = "", size: str = "1Gi", of: str = "local", **more: Any
) -> Json:
    bound = {"pv.kubernetes.io/bind-completed": "yes"} if volume else {}
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": of,
        "resources": {"requests": {"storage": size}},
        **({"volumeName": volume} if volume else {}),
    }
    metadata = {"name": name, "namespace": "default", "uid": f"u-{name}",
                "annotations": {**bound, **more.pop("annotations", {})}}  # fmt: skip
    return {"kind": "PersistentVolumeClaim", "metadata": metadata, "spec": {**spec, **more}}


def volume(name: str = "v1", size: str = "1Gi", on: str = "", **more: Any) -> Json:
    spec: Json = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "local",
        "capacity": {"storage": size},
    }
    if on:
        field = {"key": "kubernetes.io/hostname", "operator": "In", "values": [on]}
        terms = [{"matchExpressions": [field]}]
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
    labels = more.pop("labels", {})
    return {
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": labels},
        "spec": {**spec, **more},
        "status": {"phase": "Available"},
    }


def storage_class(
    name: str = "local",
    provisioner: str = "kubernetes.io/no-provisioner",
    mode: str = "WaitForFirstConsumer",
    **more: Any,
) -> Json:
    return {"kind": "StorageClass", "metadata": {"name": name}, "provisioner": provisioner,
            "volumeBindingMode": mode, **more}  # fmt: skip


class TestBinding:
    plugin = VolumeBinding()

    def test_a_claim_that_is_not_there_or_not_bound_is_said(self) -> None:
        one = pod(claims=["data"])
        view = cluster(node())
        assert reasons(self.plugin, one, view) == ('persistentvolumeclaim "data" not found',)
        view = cluster(node(), claim(), storage_class(mode="Immediate"))
        assert reasons(self.plugin, one, view) == (
            "pod has unbound immediate PersistentVolumeClaims",
        )

    def test_a_bound_claim_pins_the_pod_to_where_its_volume_is(self) -> None:
        view = cluster(node("n1"), node("n2"), claim(volume="v1"), volume(on="n2"))
        one = pod(claims=["data"])
        assert reasons(self.plugin, one, view, "n2") == ()
        found = rejection(self.plugin, one, view, "n1")
        assert found is not None
        assert found.reasons == ("node(s) didn't match PersistentVolume's node affinity",)
        assert not found.resolvable

    def test_a_waiting_claim_is_planned_the_smallest_volume_that_is_large_enough(self) -> None:
        view = cluster(
            node("n1"), claim(size="2Gi"), storage_class(),
            volume("small", "1Gi"), volume("large", "9Gi"), volume("fit", "3Gi"),
        )  # fmt: skip
        plan = self.plugin.plan(read(pod(claims=["data"])), at(view), view)
        assert plan == VolumePlan(bind=(("fit", "default/data"),))

    def test_two_claims_never_get_one_volume(self) -> None:
        view = cluster(node("n1"), claim("a"), claim("b"), storage_class(), volume("v1"))
        one = pod(claims=["a", "b"])
        assert reasons(self.plugin, one, view) == NONE_FOUND
        view.catalog.put("PersistentVolume", "v2", volume("v2"))
        plan = self.plugin.plan(read(one), at(view), view)
        assert sorted(v for v, _ in plan.bind) == ["v1", "v2"]

    def test_a_volume_promised_to_another_claim_is_not_free(self) -> None:
        view = cluster(node("n1"), claim(), storage_class(), volume("v1"))
        view.catalog.reserved["v1"] = "default/other"
        assert reasons(self.plugin, pod(claims=["data"]), view) == NONE_FOUND

    def test_local_volumes_decide_on_which_nodes_a_pod_may_be(self) -> None:
        view = cluster(node("n1"), node("n2"), claim(), storage_class(), volume(on="n2"))
        assert reasons(self.plugin, pod(claims=["data"]), view, "n1") == NONE_FOUND
        assert reasons(self.plugin, pod(claims=["data"]), view, "n2") == ()

    def test_a_provisioner_makes_a_volume_where_its_topologies_allow(self) -> None:
        topology = [{"matchLabelExpressions": [{"key": ZONE, "values": ["a"]}]}]
        view = cluster(
            node("n1", zone="a"), node("n2", zone="b"), claim(of="host"),
            storage_class("host", "pykubelet/host-path", allowedTopologies=topology),
        )  # fmt: skip
        one = pod(claims=["data"])
        assert reasons(self.plugin, one, view, "n2") == NONE_FOUND
        assert self.plugin.plan(read(one), at(view), view).provision == ("default/data",)

    def test_a_claim_marked_for_a_node_is_made_there_and_nowhere_else(self) -> None:
        marked = claim(of="host", annotations={"volume.kubernetes.io/selected-node": "n1"})
        view = cluster(node("n1"), node("n2"), marked, storage_class("host", "p"))
        assert reasons(self.plugin, pod(claims=["data"]), view, "n1") == ()
        assert reasons(self.plugin, pod(claims=["data"]), view, "n2") == NONE_FOUND

    def test_an_ephemeral_volume_waits_for_its_claim(self) -> None:
        one = pod(volumes=[{"name": "tmp", "ephemeral": {}}])
        assert reasons(self.plugin, one, cluster(node())) == (
            'waiting for ephemeral volume controller to create the persistentvolumeclaim "p1-tmp"',
        )


def test_a_volume_of_a_zone_is_used_there() -> None:
    view = cluster(
        node("n1", zone="a"), node("n2", zone="b"), claim(volume="v1"),
        volume(labels={ZONE: "a__c"}),
    )  # fmt: skip
    one = pod(claims=["data"])
    assert reasons(VolumeZone(), one, view, "n1") == ()
    assert reasons(VolumeZone(), one, view, "n2") == ("node(s) had no available volume zone",)


def test_a_claim_for_one_pod_alone_has_one_pod_in_the_whole_cluster() -> None:
    alone = claim(volume="v1", accessModes=["ReadWriteOncePod"])
    view = cluster(node("n1"), node("n2"), alone, pod("other", claims=["data"], on="n2"))
    for name in ("n1", "n2"):
        assert reasons(VolumeRestrictions(), pod(claims=["data"]), view, name) == (
            "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod "
            "access mode",
        )
    view.drop_pod("default/other")
    assert reasons(VolumeRestrictions(), pod(claims=["data"]), view) == ()


def test_a_disk_that_can_be_written_from_one_place_is_on_a_node_once() -> None:
    def disk(read_only: bool) -> Json:
        source = {"pdName": "d", "readOnly": read_only}
        return {"volumes": [{"name": "v", "gcePersistentDisk": source}]}

    view = cluster(node(), pod("other", on="n1", **disk(False)))
    assert reasons(VolumeRestrictions(), pod(**disk(True)), view) == (
        "node(s) had no available disk",
    )
    view = cluster(node(), pod("other", on="n1", **disk(True)))
    assert reasons(VolumeRestrictions(), pod(**disk(True)), view) == ()


def test_a_node_takes_as_many_volumes_as_its_driver_attaches() -> None:
    csi_node = {"kind": "CSINode", "metadata": {"name": "n1"},
                "spec": {"drivers": [{"name": "d", "allocatable": {"count": 1}}]}}  # fmt: skip
    disks = [volume(f"v{n}", csi={"driver": "d", "volumeHandle": f"h{n}"}) for n in (1, 2)]
    view = cluster(node(), csi_node, *disks, claim("a", "v1"), claim("b", "v2"),
                   pod("other", claims=["a"], on="n1"))  # fmt: skip
    assert reasons(NodeVolumeLimits(), pod(claims=["b"]), view) == (
        "node(s) exceed max volume count",
    )
    assert reasons(NodeVolumeLimits(), pod(claims=["a"]), view) == ()

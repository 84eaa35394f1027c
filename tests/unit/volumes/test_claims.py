"""From a claim to what is behind it, by value (hostPath stands for any backing)."""

from __future__ import annotations

from pathlib import Path

import pytest

from pykubelet.kubelet.volumes.claim import fits_node
from pykubelet.kubelet.volumes.model import Mounted, Volume, VolumeError
from pykubelet.kubelet.volumes.registry import TYPES
from tests.support.world import Json, World, pod


@pytest.fixture
def world(tmp_path: Path) -> World:
    it = World()
    it.put_claim("data", hostPath={"path": str(tmp_path)})
    return it


def claimed(world: World, key: str = "persistentVolumeClaim", **source: object) -> Mounted:
    kind = TYPES[key]
    assert kind.set_up is not None
    return kind.set_up(
        Volume(
            pod=pod(),
            name="v",
            source={"claimName": "data", **source},
            folder=Path("/nowhere"),
            state=Path("/nowhere"),
            sources=world,
        )
    )


def test_a_bound_claim_leads_to_its_volume(world: World, tmp_path: Path) -> None:
    assert claimed(world) == Mounted(path=str(tmp_path), owned=False)
    assert claimed(world, readOnly=True).read_only


def test_a_local_volume_is_handed_over_as_it_is(world: World, tmp_path: Path) -> None:
    world.put_claim("data", local={"path": str(tmp_path)})
    assert claimed(world) == Mounted(path=str(tmp_path), owned=False)


def refusal(world: World, key: str = "persistentVolumeClaim") -> VolumeError:
    with pytest.raises(VolumeError) as caught:
        claimed(world, key)
    return caught.value


def test_what_is_not_there_or_not_bound_yet_may_come(world: World) -> None:
    claim = world.claims["shop/data"]
    world.persistent.clear()
    assert 'persistentvolume "pv-data" not found' in str(refusal(world))
    del claim["spec"]["volumeName"]
    error = refusal(world)
    assert str(error).endswith("error processing PVC shop/data: PVC is not bound")
    assert error.waiting_may_help
    world.claims.clear()
    assert 'persistentvolumeclaim "data" not found' in str(refusal(world))


def test_a_volume_that_another_claim_holds_is_refused(world: World) -> None:
    world.persistent["pv-data"]["spec"]["claimRef"]["uid"] = "another"
    assert 'PV "pv-data" is bound to another claim' in str(refusal(world))


def test_a_backing_that_this_node_can_not_mount_is_named(world: World) -> None:
    world.put_claim("data", csi={"driver": "x"})
    error = refusal(world)
    assert "is of type csi" in str(error)
    assert not error.waiting_may_help


def test_a_path_that_is_not_there_is_named(world: World, tmp_path: Path) -> None:
    world.put_claim("data", local={"path": f"{tmp_path}/gone"})
    assert f'local volume path "{tmp_path}/gone": No such file' in str(refusal(world))
    world.put_claim("data", local={"path": str(tmp_path)}, volumeMode="Block")
    assert "is not a block device" in str(refusal(world))


def test_a_raw_block_volume_is_a_device(world: World) -> None:
    loops = sorted(Path("/dev").glob("loop[0-9]*"))
    if not loops:
        pytest.skip("this host has no loop devices")
    world.put_claim("data", local={"path": str(loops[0])}, volumeMode="Block")
    assert claimed(world) == Mounted(device=str(loops[0]), owned=False)


def test_an_ephemeral_volumes_claim_has_to_be_the_pods_own(world: World, tmp_path: Path) -> None:
    world.put_claim("web-v", hostPath={"path": str(tmp_path)})
    assert "pod is not owner" in str(refusal(world, "ephemeral"))
    owner = {"uid": "uid-1", "controller": True}
    world.claims["shop/web-v"]["metadata"]["ownerReferences"] = [owner]
    assert claimed(world, "ephemeral").path == str(tmp_path)


# -- node affinity ------------------------------------------------------------------------------


def fits(*expressions: Json, fields: list[Json] | None = None) -> bool:
    term: Json = {"matchExpressions": list(expressions)}
    if fields:
        term["matchFields"] = fields
    return fits_node({"required": {"nodeSelectorTerms": [term]}}, World().node())


@pytest.mark.parametrize(
    ("operator", "key", "values", "expected"),
    [
        ("In", "kubernetes.io/hostname", ["node-1", "x"], True),
        ("In", "kubernetes.io/hostname", ["x"], False),
        ("NotIn", "kubernetes.io/hostname", ["x"], True),
        ("NotIn", "absent", ["x"], True),
        ("Exists", "cores", None, True),
        ("Exists", "absent", None, False),
        ("DoesNotExist", "absent", None, True),
        ("Gt", "cores", ["3"], True),
        ("Gt", "cores", ["4"], False),
        ("Lt", "cores", ["5"], True),
        ("Lt", "kubernetes.io/hostname", ["5"], False),
        ("Gt", "absent", [], False),
        ("Like", "cores", ["4"], False),
    ],
)
def test_one_condition(operator: str, key: str, values: list[str] | None, expected: bool) -> None:
    assert fits({"key": key, "operator": operator, "values": values}) is expected


def test_conditions_of_a_term_all_hold_and_one_term_is_enough() -> None:
    here = {"key": "cores", "operator": "Exists"}
    elsewhere = {"key": "absent", "operator": "Exists"}
    assert not fits(here, elsewhere)
    terms = [{"matchExpressions": [elsewhere]}, {"matchExpressions": [here]}]
    assert fits_node({"required": {"nodeSelectorTerms": terms}}, World().node())
    assert not fits()
    named = {"key": "metadata.name", "operator": "In", "values": ["node-1"]}
    assert fits(fields=[named])
    assert fits_node(None, World().node())


def test_a_volume_of_another_node_is_refused(world: World) -> None:
    elsewhere = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["node-2"]}
    terms = [{"matchExpressions": [elsewhere]}]
    world.persistent["pv-data"]["spec"]["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
    assert "storage node affinity check failed" in str(refusal(world))

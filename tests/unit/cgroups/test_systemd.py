"""The D-Bus requests that make and change a pod's slice; the VM lab has a systemd to answer."""

from __future__ import annotations

from pykubelet.kubelet.cgroups import systemd
from pykubelet.kubelet.cgroups.limits import PodLimits

NAME = "kubepods-burstable-podu_1.slice"


def test_limits_become_properties_in_systemds_units() -> None:
    found = systemd.properties(
        PodLimits(
            "Burstable", cpu_shares=1024, cpu_quota=25_500, memory=1 << 30, pids=100,
            unified={"memory.low": "4096", "memory.oom.group": "1"},
        )
    )  # fmt: skip
    assert ("CPUWeight", "t", "100") in found
    assert ("CPUQuotaPerSecUSec", "t", "260000") in found  # in steps of 10 ms, rounded up
    assert ("MemoryMax", "t", str(1 << 30)) in found
    assert ("TasksMax", "t", "100") in found
    assert ("MemoryLow", "t", "4096") in found
    assert not [p for p in found if "oom" in p[0].lower()]


def test_no_limit_is_infinity_so_that_an_old_one_goes() -> None:
    found = systemd.properties(PodLimits("BestEffort", cpu_quota=-1, memory=-1, pids=-1))
    for name in ("CPUQuotaPerSecUSec", "MemoryMax", "TasksMax"):
        assert (name, "t", str(2**64 - 1)) in found


def test_a_slice_is_started_below_its_parent_with_all_accounting() -> None:
    call = systemd.start_call(NAME, PodLimits("Burstable", cpu_shares=2))
    assert call[:4] == ["StartTransientUnit", "ssa(sv)a(sa(sv))", NAME, "replace"]
    assert call[-5:] == ["Wants", "as", "1", "kubepods-burstable.slice", "0"]
    assert "MemoryAccounting" in call
    triples = len(systemd.properties(PodLimits("Burstable", cpu_shares=2))) + 6
    assert call[4] == str(triples + 1)


def test_a_change_lasts_until_the_next_boot() -> None:
    call = systemd.set_call(NAME, PodLimits("Burstable", memory=1))
    assert call[:4] == ["SetUnitProperties", "sba(sv)", NAME, "true"]


def test_the_topmost_slice_names_no_parent() -> None:
    assert systemd.parent_slice("kubepods.slice") == ""
    assert systemd.start_call("kubepods.slice", PodLimits())[-1] == "0"

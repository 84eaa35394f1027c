"""Ready, the three pressures, the network."""

from __future__ import annotations

from typing import Any

from pykubelet.kubelet.node.conditions import Facts, changed, conditions, is_ready, steady

NOW = 1_800_000_000.0


def by_type(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {c["type"]: c for c in found}


def test_a_node_is_ready_when_the_runtime_answers_and_the_network_is_set_up() -> None:
    """Complaint 25: no pod, hanging or not, is asked about it: there is no such fact."""
    found = conditions(Facts(), [], NOW)
    assert is_ready(found)
    assert by_type(found)["Ready"]["reason"] == "KubeletReady"
    assert [c["status"] for c in found[1:]] == ["False"] * 4


def test_a_runtime_that_does_not_answer_makes_it_not_ready_and_says_why() -> None:
    ready = by_type(conditions(Facts(runtime_answers=False, runtime_message="refused"), [], NOW))
    assert ready["Ready"]["status"] == "False"
    assert ready["Ready"]["reason"] == "KubeletNotReady"
    assert ready["Ready"]["message"] == "container runtime is down: refused"
    assert ready["NetworkUnavailable"]["status"] == "False"  # not known to be


def test_a_network_that_is_not_set_up_is_named_in_both_conditions() -> None:
    found = by_type(conditions(Facts(network_ready=False, network_message="no config"), [], NOW))
    assert "network not ready: no config" in found["Ready"]["message"]
    assert found["NetworkUnavailable"]["status"] == "True"


def test_several_problems_are_listed_together() -> None:
    facts = Facts(runtime_answers=False, shutting_down=True)
    message = by_type(conditions(facts, [], NOW))["Ready"]["message"]
    assert message == "[container runtime is down, node is shutting down]"


def test_pressure_has_upstreams_reasons() -> None:
    facts = Facts(pressures=frozenset({"MemoryPressure", "PIDPressure"}))
    found = by_type(conditions(facts, [], NOW))
    assert found["MemoryPressure"]["reason"] == "KubeletHasInsufficientMemory"
    assert found["DiskPressure"]["reason"] == "KubeletHasNoDiskPressure"
    assert found["PIDPressure"]["status"] == "True"
    assert found["Ready"]["status"] == "True"


def test_the_transition_time_moves_only_with_the_status() -> None:
    first = conditions(Facts(), [], NOW)
    second = conditions(Facts(), first, NOW + 60)
    assert (
        by_type(second)["Ready"]["lastTransitionTime"]
        == by_type(first)["Ready"]["lastTransitionTime"]
    )
    assert by_type(second)["Ready"]["lastHeartbeatTime"] == "2027-01-15T08:01:00Z"
    third = conditions(Facts(runtime_answers=False), second, NOW + 120)
    assert by_type(third)["Ready"]["lastTransitionTime"] == "2027-01-15T08:02:00Z"


def test_others_conditions_are_kept() -> None:
    theirs = {"type": "KernelDeadlock", "status": "False"}
    assert theirs in conditions(Facts(), [theirs], NOW)


def test_only_what_is_said_anew_counts_as_changed() -> None:
    first = conditions(Facts(), [], NOW)
    assert changed(first, conditions(Facts(), first, NOW + 10)) == []
    later = conditions(Facts(pressures=frozenset({"DiskPressure"})), first, NOW + 20)
    assert [c["type"] for c in changed(first, later)] == ["DiskPressure"]


def test_a_heartbeat_alone_is_no_news() -> None:
    first = {"capacity": {"cpu": "4"}, "conditions": conditions(Facts(), [], NOW)}
    later = {"capacity": {"cpu": "4"}, "conditions": conditions(Facts(), [], NOW)}
    for condition in later["conditions"]:
        condition["lastHeartbeatTime"] = "2036-01-01T00:00:00Z"
    assert steady(first) == steady(later)
    later["capacity"] = {"cpu": "5"}
    assert steady(first) != steady(later)

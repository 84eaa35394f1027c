"""What a start-up check says, and what it lets pass."""

from __future__ import annotations

from pykubelet.kubelet.node.host import Facts, findings
from pykubelet.kubelet.node.inotify import Inotify


def said(facts: Facts, **settings: object) -> str:
    return "\n".join(f"{f.level}: {f}" for f in findings(facts, **settings))  # type: ignore[arg-type]


def test_a_good_host_is_not_talked_about() -> None:
    assert findings(Facts()) == []


def test_swap_is_no_reason_not_to_start() -> None:
    """Complaint 20: the node agent refuses to start with swap on."""
    assert said(Facts(swap=1 << 30)).startswith("note: swap is on (1024 MiB)")
    assert said(Facts(swap=1 << 30), fail_swap_on=True).startswith("error: swap is on")


def test_exhausted_inotify_instances_are_named_for_what_they_are() -> None:
    """Complaint 28: "too many open files" which are inotify limits."""
    told = said(Facts(inotify=Inotify(False, 128, 8192, 128, (("kubelet", 100), ("dockerd", 28)))))
    assert "no inotify instance is left of 128 for this user (kubelet 100, dockerd 28 have" in told
    assert "sysctl -w fs.inotify.max_user_instances=1024" in told
    assert told.startswith("warning")


def test_few_instances_left_are_warned_of_in_time() -> None:
    assert "only 8 of 128" in said(Facts(inotify=Inotify(True, 128, 8192, 120, (("app", 90),))))
    assert said(Facts(inotify=Inotify(True, 128, 8192, 20))) == ""


def test_a_taken_port_says_by_whom() -> None:
    told = said(Facts(taken_ports={10250: "kubelet (pid 7)"}))
    assert told.startswith("error: port 10250 is taken by kubelet (pid 7); stop that")


def test_a_firewall_may_stay_and_the_exact_rules_are_printed() -> None:
    """Complaint 29: "turn the firewall off"."""
    told = said(Facts(firewalls=("firewalld", "ufw")), pod_cidr="10.88.0.0/16")
    assert "--zone=trusted --add-source=10.88.0.0/16" in told
    assert "ufw route allow from 10.88.0.0/16" in told
    assert "can stay on" in told


def test_cgroup_v1_is_a_warning_unless_it_was_forbidden() -> None:
    facts = Facts(cgroup_version=1, cgroup_notes=("pods get no protection.",))
    assert said(facts) == "warning: pods get no protection."
    assert said(facts, fail_cgroup_v1=True).startswith("error: this host has cgroup v1")


def test_a_new_boot_id_is_a_reboot_but_a_first_start_is_not() -> None:
    """Complaint 23: after a reboot pods are "Running" but dead for minutes."""
    assert Facts(boot_id="b", last_boot_id="a").rebooted
    assert not Facts(boot_id="b", last_boot_id="b").rebooted
    assert not Facts(boot_id="b").rebooted
    assert "rebooted" in said(Facts(boot_id="b", last_boot_id="a"))


def test_the_worst_comes_first() -> None:
    levels = [f.level for f in findings(Facts(root=False, swap=1, ip_forward=False))]
    assert levels == ["error", "warning", "note"]

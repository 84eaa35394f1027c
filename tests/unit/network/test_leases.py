"""The store of leases: what survives what."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from pykubelet.network.leases import Lease, LeaseStore, PortMapping


def lease(container: str, address: str = "10.0.0.2/24") -> Lease:
    ports = (PortMapping(80, 8080),)
    return Lease("pods", container, "eth0", "/x", "pk0", "br0", (address,), ("10.0.0.1",), ports)


def names(store: LeaseStore) -> set[str]:
    with store.locked() as leases:
        return {lease.container for lease in leases}


def test_a_lease_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    given = lease("a")
    with LeaseStore(tmp_path, "boot").locked() as leases:
        leases.put(given)
    with LeaseStore(tmp_path, "boot").locked() as leases:
        assert leases.get(given.key) == given


def test_a_reboot_frees_every_address(tmp_path: Path) -> None:
    """Complaint 18: IP addresses leak after a reboot until none is left."""
    with LeaseStore(tmp_path, "before").locked() as leases:
        leases.put(lease("a"))
    store = LeaseStore(tmp_path, "after")
    assert names(store) == set()
    assert [p.name for p in tmp_path.iterdir()] == ["after"]


def test_two_users_see_each_others_changes(tmp_path: Path) -> None:
    one, other = LeaseStore(tmp_path, "boot"), LeaseStore(tmp_path, "boot")
    assert names(other) == set()
    with one.locked() as leases:
        leases.put(lease("a"))
    assert names(other) == {"a"}
    with other.locked() as leases:
        leases.drop(("pods", "a", "eth0"))
    assert names(one) == set()


def test_what_was_handed_out_last_is_known_to_everyone(tmp_path: Path) -> None:
    with LeaseStore(tmp_path, "boot").locked() as leases:
        leases.put(lease("a", "10.0.0.7/24"))
        leases.drop(("pods", "a", "eth0"))
    with LeaseStore(tmp_path, "boot").locked() as leases:
        assert [str(a) for a in leases.last("pods")] == ["10.0.0.7"]


def test_a_half_written_or_garbled_lease_is_dropped_and_the_rest_kept(tmp_path: Path) -> None:
    store = LeaseStore(tmp_path, "boot")
    with store.locked() as leases:
        leases.put(lease("a"))
    folder = tmp_path / "boot" / "leases"
    (folder / ".pods:b:eth0").write_text('{"netw')
    (folder / "pods:c:eth0").write_text("{}")
    assert names(LeaseStore(tmp_path, "boot")) == {"a"}
    assert sorted(p.name for p in folder.iterdir()) == [".lock", "pods:a:eth0"]


def test_a_garbled_counter_only_costs_a_reading(tmp_path: Path) -> None:
    store = LeaseStore(tmp_path, "boot")
    with store.locked() as leases:
        leases.put(lease("a"))
    (tmp_path / "boot" / "leases" / ".lock").write_bytes(b"\xff\xfe garbage")
    assert names(store) == {"a"}


def test_a_writer_killed_at_any_moment_leaves_a_store_that_others_read_rightly(
    tmp_path: Path,
) -> None:
    store = LeaseStore(tmp_path, "boot")
    names(store)  # it has its picture
    script = (
        "import os, sys\n"
        "from pykubelet.network.leases import Lease, LeaseStore\n"
        "lease = Lease('pods', 'x', 'eth0', '/x', 'pk0', 'br0', ('10.0.0.9/24',), ())\n"
        "with LeaseStore(sys.argv[1], 'boot').locked() as leases:\n"
        "    leases.put(lease)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert names(store) == {"x"}


def test_threads_take_turns(tmp_path: Path) -> None:
    store = LeaseStore(tmp_path, "boot")

    def take(number: int) -> None:
        with store.locked() as leases:
            address = f"10.0.0.{len(leases.taken('pods')) + 2}/24"
            leases.put(lease(f"c{number}", address))

    threads = [threading.Thread(target=take, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.locked() as leases:
        assert len(leases.taken("pods")) == 20

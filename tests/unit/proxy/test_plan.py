"""The plan: conflicts, stable slots, and that many small changes come to the same as one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pykubelet.proxy.iptables import rules as iptables
from pykubelet.proxy.model import Endpoint, LocalTraffic, ServicePort, Settings
from pykubelet.proxy.nftables.elements import contribution, difference
from pykubelet.proxy.plan import Change, Plan, Ports, settled

SETTINGS = Settings(LocalTraffic(("10.244.0.0/16",)))


def port(name: str, **more: object) -> ServicePort:
    given_: dict[str, object] = {
        "created": "2026-01-01T00:00:00Z",
        "family": 4,
        "protocol": "tcp",
        "port": 80,
        "cluster_ip": f"10.96.0.{ord(name[0])}",
        **more,
    }
    return ServicePort(namespace="ns", name=name, port_name="", **given_)  # type: ignore[arg-type]


def endpoints(*numbers: int) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(f"10.0.0.{n}", 8080) for n in numbers)


def test_what_has_not_changed_is_not_told() -> None:
    plan = Plan()
    first = (port("a", endpoints=endpoints(1, 2), served=True),)
    assert plan.update({"ns/a": first}) == [Change("ns/a", (), first)]
    assert plan.update({"ns/a": first, "ns/gone": ()}) == []
    assert plan.update({"ns/a": ()}) == [Change("ns/a", first, ())]
    assert not plan.ports


def test_the_same_endpoints_in_another_order_are_no_change() -> None:
    plan = Plan()
    plan.update({"ns/a": (port("a", endpoints=endpoints(1, 2, 3)),)})
    assert plan.update({"ns/a": (port("a", endpoints=endpoints(3, 1, 2)),)}) == []


@given(
    st.lists(st.integers(0, 20), unique=True, max_size=12),
    st.lists(st.integers(0, 20), unique=True, max_size=12),
)
def test_endpoints_keep_their_slots(old: list[int], new: list[int]) -> None:
    before, after = endpoints(*old), settled(endpoints(*old), endpoints(*new))
    assert sorted(after) == sorted(endpoints(*new))
    for slot, endpoint in enumerate(before[: len(new)]):
        if endpoint in after:
            assert after[slot] == endpoint


def test_the_older_service_has_a_contested_address_and_the_next_inherits_it() -> None:
    plan = Plan()
    young = port("a", external_ips=("1.2.3.4",), created="2026-02-02T00:00:00Z")
    old = port("b", external_ips=("1.2.3.4", "1.2.3.5"))
    plan.update({"ns/a": (young,)})
    changed = {change.key: change.new[0].external_ips for change in plan.update({"ns/b": (old,)})}
    assert changed == {"ns/b": ("1.2.3.4", "1.2.3.5"), "ns/a": ()}
    back = plan.update({"ns/b": (port("b", external_ips=("1.2.3.5",)),)})
    assert {change.key: change.new[0].external_ips for change in back} == {
        "ns/b": ("1.2.3.5",),
        "ns/a": ("1.2.3.4",),
    }


def test_a_service_made_anew_under_its_name_goes_to_the_end_of_the_queue() -> None:
    plan = Plan()
    plan.update({"ns/a": (port("a", node_port=30080),)})
    plan.update({"ns/b": (port("b", node_port=30080, created="2026-02-02T00:00:00Z"),)})
    plan.update({"ns/a": (port("a", node_port=30080, created="2026-03-03T00:00:00Z"),)})
    assert {key: ports[0].node_port for key, ports in plan.ports.items()} == {
        "ns/a": 0,
        "ns/b": 30080,
    }


@st.composite
def wanted_ports(draw: st.DrawFn) -> Ports:
    """Of a service whose name decides nothing: addresses from a small pool, so that they clash."""
    name = draw(st.sampled_from("abcd"))
    chosen = draw(st.lists(st.integers(1, 5), unique=True, max_size=4))
    local = [n for n in chosen if n % 2]
    return (
        port(
            name,
            created=draw(st.sampled_from(["1", "2"])),
            protocol=draw(st.sampled_from(["tcp", "udp"])),
            node_port=draw(st.sampled_from([0, 30080, 30081])),
            external_ips=tuple(draw(st.sets(st.sampled_from(["1.1.1.1", "1.1.1.2"])))),
            balancer_ips=tuple(draw(st.sets(st.sampled_from(["1.1.1.2", "1.1.1.3"])))),
            source_ranges=draw(st.sampled_from([(), ("10.0.0.0/8",)])),
            affinity_seconds=draw(st.sampled_from([0, 10])),
            internal_local=draw(st.booleans()),
            external_local=draw(st.booleans()),
            endpoints=endpoints(*chosen),
            local=endpoints(*local),
            served=bool(chosen),
        ),
    )


steps = st.lists(
    st.dictionaries(
        st.sampled_from(["ns/a", "ns/b", "ns/c"]), st.just(()) | wanted_ports(), max_size=3
    ),
    max_size=8,
)


def _distinct(wanted: dict[str, Ports]) -> dict[str, Ports]:
    """A service's own addresses differ from each other, which the services room sees to."""
    made = {}
    for key, ports in wanted.items():
        made[key] = tuple(
            ServicePort(
                **{
                    **{f: getattr(p, f) for f in p.__slots__},
                    "name": key[3:],
                    "balancer_ips": tuple(ip for ip in p.balancer_ips if ip not in p.external_ips),
                }
            )
            for p in ports
        )
    return made


@given(steps)
def test_many_changes_come_to_the_same_as_starting_with_the_last(
    given_: list[dict[str, Ports]],
) -> None:
    """For the plan, for nftables' elements and for iptables' chains."""
    plan, latest = Plan(), {}
    elements: dict[tuple[str, str], str] = {}
    chains: dict[str, list[str]] = {}
    for step in map(_distinct, given_):
        latest.update(step)
        changes = plan.update(step)
        old = contribution(p for change in changes for p in change.old).elements
        new = contribution(p for change in changes for p in change.new).elements
        found = difference(old, new)
        for name, keys in found.out.items():
            for text in keys:
                del elements[name, text]
        for name, lines in found.in_.items():
            for line in lines:
                text, _, value = line.partition(" : ")
                assert (name, text) not in elements
                elements[name, text] = value
        for change in changes:
            for chain in iptables.rules(change.old, SETTINGS, 4).chains:
                chains.pop(chain, None)
        for change in changes:
            chains.update(iptables.rules(change.new, SETTINGS, 4).chains)
    fresh = Plan()
    fresh.update(latest)
    assert {k: _unordered(v) for k, v in plan.ports.items()} == {
        k: _unordered(v) for k, v in fresh.ports.items()
    }
    everything = [p for ports in plan.ports.values() for p in ports]
    assert elements == contribution(everything).elements
    assert chains == iptables.rules(everything, SETTINGS, 4).chains
    owners = [f for p in everything for f in p.frontends()]
    assert len(owners) == len(set(owners))


def _unordered(ports: Ports) -> list[object]:
    return [
        {f: sorted(v) if isinstance(v := getattr(p, f), tuple) else v for f in p.__slots__}
        for p in ports
    ]

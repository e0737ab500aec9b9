"""What the rules hold against a plan that is in force, when the machine changes around it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from netaddr import IPNetwork

from wizard.plan.machine import Address, Facts, Listener, Nic, NicOwner, Route
from wizard.plan.model import Plan
from wizard.plan.rules import in_force

OUT = Route(IPNetwork("0.0.0.0/0"), "eth0", "10.77.0.1")


@pytest.fixture
def applied(plan: Plan, facts: Facts) -> Facts:
    """The machine that the plan is in force on: our address, our dnsmasq."""
    address = Address(IPNetwork("192.168.0.200/24"))
    nics = tuple(replace(n, addresses=(address,)) if n.name == "eth1" else n for n in facts.nics)
    ours = tuple(Listener("udp", "0.0.0.0", port, "dnsmasq", 500, nic="eth1") for port in (53, 67))  # noqa: S104
    return replace(
        facts,
        nics=nics,
        routes=(*facts.routes, Route(IPNetwork("192.168.0.0/24"), "eth1")),
        listeners=(*facts.listeners, *ours),
        applied_cluster="eth1",
        our_pids=frozenset({500}),
        nameservers=("10.77.0.1", "192.168.0.101", "192.168.0.200"),
    )


def codes(plan: Plan, facts: Facts) -> list[str]:
    return [finding.code for finding in in_force.harmful_findings(plan, facts)]


def with_address(facts: Facts, nic: str, address: str) -> Facts:
    given = Address(IPNetwork(address))
    return replace(
        facts, nics=tuple(replace(n, addresses=(*n.addresses, given)) if n.name == nic else n for n in facts.nics)
    )


def without_way_out(facts: Facts) -> Facts:
    nics = tuple(replace(n, default_route=False) for n in facts.nics)
    return replace(facts, nics=nics, routes=tuple(r for r in facts.routes if r.destination.prefixlen))


def test_what_is_ours_is_not_held_against_us(plan: Plan, applied: Facts) -> None:
    assert codes(plan, applied) == []


def test_a_machine_that_changes_around_it_is_said(plan: Plan, applied: Facts) -> None:
    tun = Nic("tun0", 9, "tunnel")
    for changed, code in (
        (with_address(applied, "eth0", "192.168.0.57/24"), "subnet-overlap"),
        (replace(applied, routes=(*applied.routes, Route(IPNetwork("192.168.0.0/25"), "tun0"))), "subnet-overlap"),
        (replace(applied, nameservers=("192.168.0.9",)), "nameserver-in-subnet"),
        (
            replace(
                without_way_out(applied),
                nics=(*without_way_out(applied).nics, tun),
                routes=(*without_way_out(applied).routes, replace(OUT, nic="tun0")),
            ),
            "corporate-no-default-route",
        ),
    ):
        assert codes(plan, changed) == [code]


def test_another_manager_on_the_cluster_nic_harms_until_an_apply(plan: Plan, applied: Facts) -> None:
    """For an apply it is a warning, as an apply ends it."""
    owner = NicOwner("eth1", "networkmanager", "NetworkManager has eth1 connected")
    changed = replace(applied, applied_backend="ifupdown", owners=(owner,), network_managers=("NetworkManager",))
    assert codes(plan, changed) == ["nic-managed-elsewhere"]
    assert codes(plan, replace(changed, applied_backend="networkmanager")) == []


def test_on_the_road_nobody_misses_a_way_out(plan: Plan, applied: Facts) -> None:
    assert codes(plan, without_way_out(applied)) == []


def test_what_only_an_apply_needs_harms_nothing_that_works(plan: Plan, applied: Facts) -> None:
    assert codes(plan, replace(applied, missing_tools=("ifup",), network_managers=())) == []

"""Slices, ranges, free addresses and free networks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from netaddr import EUI, IPAddress, IPNetwork

from tests.unit.growth import times_dearer
from wizard.plan import addresses
from wizard.plan.addresses import SubnetFull
from wizard.plan.machine import Address, Facts, Nic, Route
from wizard.plan.model import Interfaces, Network, Node, Plan, Role


def network(cidr: str, gateway: str = "192.168.0.200", **rest: Any) -> Network:
    return replace(Network(IPNetwork(cidr), IPAddress(gateway)), **rest)


def make(cidr: str, gateway: str, ips: list[str | None], **rest: Any) -> Plan:
    nodes = tuple(
        Node(f"n{i}", (Role.COMPUTE,), EUI(i + 1, version=48), None if ip is None else IPAddress(ip))
        for i, ip in enumerate(ips)
    )
    return Plan(Interfaces("eth0", "eth1"), network(cidr, gateway, **rest), nodes)


@pytest.mark.parametrize(
    ("part", "first", "last"),
    [
        ("192.168.0.64/26", "192.168.0.65", "192.168.0.126"),
        ("192.168.0.0/24", "192.168.0.1", "192.168.0.254"),
        ("192.168.0.0/25", "192.168.0.1", "192.168.0.126"),
        ("192.168.0.64/31", "192.168.0.64", "192.168.0.65"),
        ("192.168.0.64/32", "192.168.0.64", "192.168.0.64"),
        ("192.168.0.0/31", "192.168.0.1", "192.168.0.1"),
        ("192.168.0.254/31", "192.168.0.254", "192.168.0.254"),
    ],
)
def test_the_range_is_the_slices_usable_hosts(part: str, first: str, last: str) -> None:
    found = addresses.dynamic_range(network("192.168.0.0/24", dhcp_slice=IPNetwork(part)))
    assert found == (IPAddress(first), IPAddress(last))


@pytest.mark.parametrize("part", ["192.168.0.0/32", "192.168.0.255/32"])
def test_a_slice_without_a_host_gives_an_empty_range(part: str) -> None:
    first, last = addresses.dynamic_range(network("192.168.0.0/24", dhcp_slice=IPNetwork(part)))
    assert first > last


def test_an_explicit_range_is_taken_as_it_is() -> None:
    ends = (IPAddress("192.168.0.9"), IPAddress("192.168.0.5"))
    assert addresses.dynamic_range(network("192.168.0.0/24", dhcp_range=ends)) == ends


@pytest.mark.parametrize(
    ("cidr", "gateway", "part"),
    [
        ("192.168.0.0/24", "192.168.0.200", "192.168.0.64/26"),
        ("192.168.0.0/24", "192.168.0.100", "192.168.0.128/26"),
        ("10.1.0.0/16", "10.1.255.254", "10.1.64.0/18"),
        ("10.1.0.0/28", "10.1.0.14", "10.1.0.4/30"),
    ],
)
def test_the_default_slice_is_the_second_quarter_clear_of_the_gateway(cidr: str, gateway: str, part: str) -> None:
    assert addresses.default_slice(IPNetwork(cidr), IPAddress(gateway)) == IPNetwork(part)


@pytest.mark.parametrize(
    ("cidr", "gateway"),
    [("192.168.7.0/24", "192.168.7.200"), ("10.0.0.0/16", "10.0.255.254"), ("10.0.0.0/28", "10.0.0.14")],
)
def test_the_default_gateway(cidr: str, gateway: str) -> None:
    assert addresses.default_gateway(IPNetwork(cidr)) == IPAddress(gateway)


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_the_defaults_of_every_network_that_can_be_written(address: int, prefix: int) -> None:
    cidr = IPNetwork((address, prefix), version=4).cidr
    gateway = addresses.default_gateway(cidr)
    part = addresses.default_slice(cidr, gateway)
    first, last = addresses.dynamic_range(Network(cidr, gateway))
    assert gateway in cidr
    assert part in cidr
    if prefix <= 28:
        assert cidr.first < int(gateway) < cidr.last
        assert cidr.first < int(first) <= int(last) < cidr.last
        assert not first <= gateway <= last


def test_nodes_without_an_address_get_the_lowest_that_nothing_has() -> None:
    plan = make("192.168.0.0/24", "192.168.0.1", [None, "192.168.0.2", None, "192.168.0.4", None])
    # One more follows its sisters.
    assert addresses.next_free(plan) == IPAddress("192.168.0.5")
    assert [str(node.ip) for node in addresses.assign(plan).nodes] == [
        "192.168.0.3",
        "192.168.0.2",
        "192.168.0.5",
        "192.168.0.4",
        "192.168.0.6",
    ]


def test_given_addresses_pass_over_the_dynamic_range() -> None:
    ends = (IPAddress("192.168.0.2"), IPAddress("192.168.0.9"))
    plan = make("192.168.0.0/24", "192.168.0.200", [None, None], dhcp_range=ends)
    assert [str(node.ip) for node in addresses.assign(plan).nodes] == ["192.168.0.1", "192.168.0.10"]


@pytest.mark.parametrize(
    ("first", "last", "highest", "given_out"),
    [
        ("192.168.0.1", "192.168.0.1", None, "192.168.0.2"),
        ("192.168.0.1", "192.168.0.198", None, "192.168.0.199"),
        ("192.168.0.1", "192.168.0.199", None, "192.168.0.201"),
        ("192.168.0.1", "192.168.0.254", None, None),
        ("192.168.0.9", "192.168.0.5", None, "192.168.0.2"),
        ("192.168.0.65", "192.168.0.126", "192.168.0.9", "192.168.0.10"),
        ("192.168.0.65", "192.168.0.126", "192.168.0.104", "192.168.0.127"),
        ("192.168.0.65", "192.168.0.126", "192.168.0.199", "192.168.0.201"),
        ("192.168.0.65", "192.168.0.126", "192.168.0.254", "192.168.0.2"),
        ("192.168.0.2", "192.168.0.253", "192.168.0.254", "192.168.0.1"),
    ],
)
def test_one_node_more_comes_after_the_others_beside_the_range_and_first_of_all_last(
    first: str, last: str, highest: str | None, given_out: str | None
) -> None:
    ips: list[str | None] = [] if highest is None else [highest]
    plan = make("192.168.0.0/24", "192.168.0.200", ips, dhcp_range=(IPAddress(first), IPAddress(last)))
    assert addresses.next_free(plan) == (None if given_out is None else IPAddress(given_out))


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        ("192.168.0.0/24", "192.168.0.255/32", True),
        ("192.168.0.0/24", "192.168.0.0/32", True),
        ("192.168.0.0/24", "192.168.1.0/32", False),
        ("192.168.0.0/24", "192.167.255.255/32", False),
        ("192.168.0.0/24", "192.168.0.0/16", True),
        ("0.0.0.0/0", "::/0", False),
    ],
)
def test_overlap_at_the_edges(one: str, other: str, meets: bool) -> None:
    assert addresses.overlap(IPNetwork(one), IPNetwork(other)) is meets
    assert addresses.overlap(IPNetwork(other), IPNetwork(one)) is meets


def test_a_single_address_keeps_its_whole_24_from_being_proposed() -> None:
    hosts = ("192.168.64.0/32", "192.168.65.255/32", "192.168.66.7/32")
    facts = Facts(routes=tuple(Route(IPNetwork(host), "tun0") for host in hosts))
    assert addresses.free_networks(facts, 1) == [IPNetwork("192.168.67.0/24")]


def test_a_plan_with_all_addresses_is_left_alone(plan: Plan) -> None:
    assert addresses.assign(plan) is plan


def test_a_full_network_says_so() -> None:
    plan = make("192.168.0.0/28", "192.168.0.14", [None] * 12)
    with pytest.raises(SubnetFull) as full:
        addresses.assign(plan)
    assert "n11" in full.value.message
    assert "larger subnet" in full.value.remedy
    assert addresses.next_free(addresses.assign(replace(plan, nodes=plan.nodes[:11]))) is None


@given(
    st.integers(16, 28),
    st.lists(st.one_of(st.none(), st.integers(1, 14)), max_size=12),
    st.integers(1, 14),
)
def test_what_is_given_is_always_a_free_host(prefix: int, hosts: list[int | None], gateway: int) -> None:
    start = IPNetwork(f"10.9.0.0/{prefix}").first
    ips = [None if host is None else str(IPAddress(start + host)) for host in hosts]
    plan = make(f"10.9.0.0/{prefix}", str(IPAddress(start + gateway)), ips)
    try:
        assigned = addresses.assign(plan)
    except SubnetFull:
        return
    first, last = addresses.dynamic_range(plan.network)
    given_out = [after.ip for before, after in zip(plan.nodes, assigned.nodes, strict=True) if before.ip is None]
    taken = {node.ip for node in plan.nodes if node.ip is not None}
    assert len(set(given_out)) == len(given_out)
    for ip in given_out:
        assert ip is not None
        assert plan.network.cidr.first < int(ip) < plan.network.cidr.last
        assert ip not in taken
        assert ip != plan.network.gateway
        assert not first <= ip <= last


def test_giving_addresses_costs_by_the_nodes_and_not_by_their_pairs() -> None:
    small, large = (make("10.0.0.0/16", "10.0.0.1", [None] * count) for count in (1_000, 10_000))
    assert len({node.ip for node in addresses.assign(large).nodes}) == 10_000
    assert times_dearer(addresses.assign, small, large) < 40


def test_free_networks_overlap_nothing_here(facts: Facts) -> None:
    free = addresses.free_networks(facts, 500)
    assert len(set(free)) == 500
    assert all(net.prefixlen == 24 and net.first == int(net.ip) for net in free)
    busy = [IPNetwork("10.77.0.0/24"), IPNetwork("172.17.0.0/16")]
    assert not any(addresses.overlap(net, other) for net in free for other in busy)


def test_a_vpn_that_takes_all_of_192_168_moves_the_proposal_to_10() -> None:
    facts = Facts(routes=(Route(IPNetwork("192.168.0.0/16"), "tun0"),))
    (free,) = addresses.free_networks(facts, 1)
    assert free in IPNetwork("10.0.0.0/8")


def test_where_nothing_private_is_left_nothing_is_proposed() -> None:
    routes = (Route(IPNetwork("192.168.0.0/16"), "tun0"), Route(IPNetwork("10.0.0.0/8"), "tun0"))
    assert addresses.free_networks(Facts(routes=routes)) == []


@pytest.mark.parametrize("destination", ["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "224.0.0.0/4", "::/0", "fd00::/8"])
def test_routes_to_everywhere_and_other_families_keep_no_network_busy(destination: str) -> None:
    assert addresses.busy_networks(Facts(routes=(Route(IPNetwork(destination), "tun0"),))) == ()


def test_what_lies_within_another_of_the_same_nic_is_named_once() -> None:
    nic = Nic("eth0", 2, "ethernet", addresses=(Address(IPNetwork("10.1.2.3/24")),))
    routes = (
        Route(IPNetwork("10.1.2.0/24"), "eth0"),
        Route(IPNetwork("10.1.2.3/32"), "eth0", table="local"),
        Route(IPNetwork("10.1.2.255/32"), "eth0", table="local"),
        Route(IPNetwork("10.1.2.0/24"), "eth5", table="100"),
    )
    busy = addresses.busy_networks(Facts(nics=(nic,), routes=routes))
    assert [each.what for each in busy] == [
        "the address 10.1.2.3/24 of eth0",
        "the route 10.1.2.0/24 over eth5 (table 100)",
    ]
    assert [each.nic for each in addresses.busy_networks(Facts(nics=(nic,), routes=routes), "eth0")] == ["eth5"]


def test_the_default_routes_are_those_of_ipv4_in_the_main_table() -> None:
    def over(nic: str, destination: str = "0.0.0.0/0", table: str = "main") -> Route:
        return Route(IPNetwork(destination), nic, table=table)

    first, second, policy = over("eth0"), over("wlan0"), over("eth0", table="100")
    routes = [first, over("eth0", "::/0"), over("eth0", "0.0.0.0/1"), policy, second]

    assert addresses.default_routes(routes) == [first, second]
    assert addresses.default_routes(routes, "eth0") == [first]
    assert addresses.default_routes(routes, "eth0", any_table=True) == [first, policy]
